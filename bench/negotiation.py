"""``python -m bench.negotiation``: what negotiating the APIs of many clusters costs.

    python -m bench.negotiation --clusters 100
    python -m bench.negotiation --clusters 10 --resources 10 --versions 10

It starts a kcp, records the resources of simulated clusters in it, and negotiates them in this process. The clusters have
releases that differ in a field each; ``--versions`` is the number of different ones. Time ends when each import has its
conditions, and then again when a cluster has gone. The processor time and the memory are those of this process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.processes import kcp_server, resident_megabytes
from kcp.client import APIResource, Client, Informers, load_configuration
from kcp.multicluster.negotiation import NegotiationController
from kcp.multicluster.negotiation.api import IMPORTS, import_name
from kcp.multicluster.negotiation.installing import install
from kcp.multicluster.negotiation.specs import CommonSpec

_CONTAINER: Final = 60
"""Fields of each of the objects that a schema has, to be as large as that of a Deployment."""
_OBJECTS: Final = 40


def schema(release: int) -> dict[str, Any]:
    """A schema of about 60 KB, without the fields that are younger than a release."""
    fields = {f"field{number}": {"type": "string", "description": "A field."} for number in range(_CONTAINER)}
    parts: dict[str, Any] = {
        f"part{number}": {"type": "array", "items": {"type": "object", "properties": fields}}
        for number in range(_OBJECTS // 2)
    }
    younger = {f"since{number}": {"type": "string"} for number in range(release)}
    spec = {"type": "object", "properties": {**parts, **younger}}
    return {"type": "object", "properties": {"spec": spec, "status": {"type": "object", "properties": parts}}}


def body(resource: int, cluster: int, release: int) -> dict[str, Any]:
    """An import of a resource of a cluster."""
    plural = f"widget{resource}s"
    return {
        "metadata": {"name": import_name(plural, f"cluster-{cluster}", "v1", "example.com")},
        "spec": {
            "location": f"cluster-{cluster}",
            "groupVersion": {"group": "example.com", "version": "v1"},
            "scope": "Namespaced",
            "plural": plural,
            "singular": f"widget{resource}",
            "kind": f"Widget{resource}",
            "listKind": f"Widget{resource}List",
            "subResources": [{"name": "status"}],
            "openAPIV3Schema": schema(release),
        },
    }


async def _measure(kubeconfig: Path, clusters: int, resources: int, versions: int) -> None:
    async with Client(load_configuration(kubeconfig)) as client, Client(load_configuration(kubeconfig)) as other:
        await install(client)
        imports = client.resource(IMPORTS)
        count = clusters * resources
        size = len(CommonSpec(body(0, 0, versions - 1)["spec"]).data)
        for cluster in range(clusters):
            for resource in range(resources):
                await imports.create(body(resource, cluster, cluster % versions))
        gc.collect()
        before = resident_megabytes()
        settled = asyncio.Event()
        controller = NegotiationController(other, auto_publish=True)
        started, processor = time.perf_counter(), time.process_time()
        async with Informers(client) as informers:
            followed = informers.informer(IMPORTS, transform=_conditions)
            followed.add_handler(lambda _change: settled.set())
            async with controller.running():
                while len(followed.cache) < count or not all(b'"Available"' in each.data for each in followed.cache):
                    settled.clear()
                    await settled.wait()
                seconds, used = time.perf_counter() - started, time.process_time() - processor
                gc.collect()
                after = resident_megabytes()
                print(
                    f"imports                                {count} of {size} bytes, {versions} different for each resource"
                )
                print(f"negotiated and published               {seconds:.1f} s, {used:.1f} s of processor time")
                print(f"memory before, after                   {before:.0f} MB, {after:.0f} MB")
                started, processor = time.perf_counter(), time.process_time()
                for resource in range(resources):
                    await imports.delete(body(resource, 0, 0)["metadata"]["name"])
                await _widened(client, resources, clusters, versions)
                seconds, used = time.perf_counter() - started, time.process_time() - processor
                print(f"negotiated again without one cluster   {seconds:.1f} s, {used:.1f} s of processor time")


def _conditions(api_object: dict[str, Any]) -> dict[str, Any]:
    """What of an import the measurement looks at."""
    status = api_object.get("status") or {}
    true = [each["type"] for each in status.get("conditions") or () if each["status"] == "True"]
    return {"metadata": api_object["metadata"], "true": true}


async def _widened(client: Client, resources: int, clusters: int, versions: int) -> None:
    """Wait until each definition has what the clusters without the first have in common."""
    definitions = client.resource(
        APIResource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
    )
    oldest = min((cluster % versions for cluster in range(1, clusters)), default=0)
    for resource in range(resources):
        while True:
            found = await definitions.get(f"widget{resource}s.example.com")
            spec = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            if sum(name.startswith("since") for name in spec["properties"]) == oldest:
                break
            await asyncio.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--resources", type=int, default=1)
    parser.add_argument("--versions", type=int, default=3)
    options = parser.parse_args()
    with kcp_server() as server:
        kubeconfig = server.root / "data" / "admin.kubeconfig"
        uvloop.run(_measure(kubeconfig, options.clusters, options.resources, options.versions))


if __name__ == "__main__":
    main()
