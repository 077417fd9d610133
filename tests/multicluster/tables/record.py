"""Record the tables of a cluster: ``python -m tests.multicluster.tables.record KUBECONFIG``.

The objects are created in the namespace ``default`` of an empty cluster without controllers, whose clock is this machine's. Their
status is written through the status subresource.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

from kcp.client import APIResource, Client
from kcp.client.kubeconfig.resolving import load_configuration
from tests.multicluster.tables import RECORDING, manifests

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def path_of(resource: APIResource) -> str:
    """The path of a collection."""
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    return f"{root}/namespaces/default/{resource.plural}" if resource.namespaced else f"{root}/{resource.plural}"


async def create(client: Client, manifest: dict[str, Any], path: str) -> None:
    """Create an object with its status, and delete it where it waits for a finalizer."""
    status, leaving = manifest.pop("status", None), manifest.pop("x-delete", False)
    created = (await client.raw("POST", path, json.dumps(manifest).encode())).json()
    name = created["metadata"]["name"]
    if status is not None:
        await client.raw("PUT", f"{path}/{name}/status", json.dumps({**created, "status": status}).encode())
    if leaving:
        await client.raw("DELETE", f"{path}/{name}")


async def table(client: Client, path: str) -> tuple[int, dict[str, Any]]:
    """A table with whole objects, and the second in which it was answered."""
    while True:
        now = int(time.time())
        answer = (await client.raw("GET", f"{path}?includeObject=Object", accept=TABLE)).json()
        if int(time.time()) == now:
            return now, answer


async def record(kubeconfig: Path) -> None:
    """Create the objects and write the recording."""
    async with Client(load_configuration(kubeconfig)) as client:
        names: dict[APIResource, set[str]] = {}
        for manifest in manifests(time.time()):
            resource = (await client.of_object(manifest)).resource
            names.setdefault(resource, set()).add(manifest["metadata"]["name"])
            await create(client, manifest, path_of(resource))
        found = [await recorded(client, resource, wanted) for resource, wanted in names.items()]
        empty = [
            await recorded(client, resource, set())
            for resource in (await client.discovery.all()).resources
            if "list" in resource.verbs
        ]
    content = {"tables": found, "empty": empty}
    RECORDING.write_bytes(gzip.compress(json.dumps(content, sort_keys=True).encode(), mtime=0))


async def recorded(client: Client, resource: APIResource, names: set[str]) -> dict[str, Any]:
    """The table of a resource, without objects that the cluster made itself."""
    now, answer = await table(client, path_of(resource))
    rows = [row for row in answer["rows"] or () if row["object"]["metadata"]["name"] in names]
    for row in rows:
        row["object"]["metadata"].pop("managedFields", None)
    columns = [
        {key: value for key, value in each.items() if key != "description"} for each in answer["columnDefinitions"]
    ]
    return {
        "api_version": resource.api_version,
        "kind": resource.kind,
        "plural": resource.plural,
        "namespaced": resource.namespaced,
        "now": now,
        "columns": columns,
        "rows": [{"cells": row["cells"], "object": row["object"]} for row in rows],
    }


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1])))
