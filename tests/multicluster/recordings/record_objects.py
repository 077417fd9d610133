"""Records what a Kubernetes cluster stores of the manifests and of the strategic merge patches in ``tests/multicluster/objects``.

Run it against an empty cluster that serves all versions (``--runtime-config=api/all=true``) with all features
(``--feature-gates=AllAlpha=true,AllBeta=true``), whose kubeconfig is the argument:

    python -m tests.multicluster.recordings.record_objects cluster.kubeconfig
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import sys
from pathlib import Path
from typing import Any

from kcp.api.protobuf import CONTENT_TYPE
from kcp.client import AlreadyExistsError, Client, StatusError, load_configuration
from tests.multicluster.objects import NAMESPACE, Object, manifests, patched_copy, patches
from tests.multicluster.recordings import OBJECTS

PREPARED: tuple[Object, ...] = (
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "space"}},
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NAMESPACE}},
)
"""Objects that others need, and that a controller of the cluster may have created."""


async def create(client: Client, manifest: Object) -> Object:
    """Create an object; its namespace is the tests' unless it names one."""
    resource = await client.of_object({**manifest, "metadata": {"namespace": NAMESPACE, **manifest["metadata"]}})
    return await resource.create(manifest, field_validation="Strict")


async def in_both_forms(client: Client, manifest: Object) -> list[Any]:
    """An object as JSON, and as protobuf in base64, at one resource version."""
    resource = await client.of_object({**manifest, "metadata": {"namespace": NAMESPACE, **manifest["metadata"]}})
    path = resource.path(manifest["metadata"]["name"])
    while True:
        before, answer = await client.raw("GET", path), await client.raw("GET", path, accept=CONTENT_TYPE)
        if (await client.raw("GET", path)).body == before.body:
            return [before.json(), base64.b64encode(answer.body).decode()]


async def patch_all(client: Client) -> list[Any]:
    """The objects that the strategic merge patches make; the code of a refused patch."""
    results: list[Any] = []
    for number, patch in enumerate(patches()):
        made = await create(client, patched_copy(patch, f"patched-{number}"))
        resource = await client.of_object(made)
        try:
            results.append(await resource.patch(made["metadata"]["name"], patch.patch, strategic=True))
        except StatusError as error:
            results.append(error.code)
    return results


async def record(kubeconfig: Path) -> None:
    """Write the recording."""
    async with Client(load_configuration(kubeconfig, qps=0.0)) as client:
        for manifest in PREPARED:
            try:
                await create(client, manifest)
            except AlreadyExistsError:
                print("there is already", manifest["metadata"]["name"])
        stored = {name: await create(client, manifest) for name, manifest in manifests().items()}
        protobuf = {name: await in_both_forms(client, manifest) for name, manifest in manifests().items()}
        patched = await patch_all(client)
    recorded = {"stored": stored, "protobuf": protobuf, "patched": patched}
    content = json.dumps(recorded, sort_keys=True).encode()
    OBJECTS.write_bytes(gzip.compress(content, mtime=0))
    print(f"{OBJECTS.name}: {len(stored)} objects, {len(patched)} patches, {OBJECTS.stat().st_size} bytes")


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1])))
