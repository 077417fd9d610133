"""``python -m bench.definitions``: how long definitions, their documents and the first uses of their types hold the event loop.

All definitions are in one logical cluster of a server in this process. The bound of every row is 50 ms of the loop's processor
time. ``--clusters`` measures instead what each further logical cluster with the same 480 definitions adds to the memory.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import orjson
import uvloop

from bench.definitions.clock import Client, LoopClock, Measurements, Row
from bench.definitions.generator import Sample, samples
from bench.definitions.memory import measure_memory
from kcp.cli.start import configuration_of
from kcp.server.process.cyclic_garbage import CyclicGarbage
from kcp.server.process.running import ServerProcess

PREFIX: Final = "/clusters/bench"
PATH: Final = PREFIX + "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_V2_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_V3_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
_APPLY: Final = "application/apply-patch+yaml"
_SOME: Final = 16
"""One in this many definitions is changed and deleted."""
_LARGEST: Final = 10
"""Number of the largest definitions, which are used first after the start."""


@asynccontextmanager
async def running(root: str, clock: LoopClock) -> AsyncIterator[Measurements]:
    """A server in this process on a directory, and a client of it. The start is a row."""
    process = ServerProcess(configuration_of(["--root-directory", root, "--secure-port", "0"]))
    await asyncio.sleep(0.01)
    clock.take()
    began = time.perf_counter()
    await process.start()
    started, seconds = clock.take(), time.perf_counter() - began
    client = Client(Path(process.kubeconfig))
    await client.open()
    await asyncio.sleep(0.1)
    measured = Measurements(clock, client)
    measured.rows["start of the server"] = Row("start of the server", [started], [seconds])
    try:
        yield measured
    finally:
        client.close()
        await process.stop()


async def write_all(measured: Measurements, made: list[Sample]) -> None:
    """Create definitions, use each type at once, and change some of them while all are there."""
    for number, definition in enumerate(made):
        await measured.request("create a definition", "POST", PATH, definition.body)
        collection = PREFIX + definition.collection
        await measured.request("the first list of its objects", "GET", collection)
        await measured.request("the first create of an object", "POST", collection, definition.object("a"))
        await measured.request("create a second object", "POST", collection, definition.object("b"))
        if number % _SOME == 0:
            applied = definition.object("c")
            path = f"{collection}/c?fieldManager=bench"
            await measured.request("the first apply of an object", "PATCH", path, applied, media_type=_APPLY)
    for definition in made[::_SOME]:
        path = f"{PATH}/{definition.name}"
        changed = orjson.loads(await measured.request("get a definition", "GET", path))
        changed["metadata"]["labels"] = {"changed": "true"}
        answer = await measured.request("update of a definition's labels", "PUT", path, changed)
        changed = orjson.loads(answer)
        changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "Changed."
        await measured.request("update of a definition's schema", "PUT", path, changed)
        collection = PREFIX + definition.collection
        await measured.request("the first list after the update", "GET", collection)
        patch = {"metadata": {"labels": {"again": "true"}}}
        await measured.request(
            "merge patch of a definition", "PATCH", path, patch, media_type="application/merge-patch+json"
        )
    await measured.request("list of all definitions", "GET", f"{PATH}?limit=500")


async def read_documents(measured: Measurements, when: str, *, parts: bool = True) -> None:
    """Read discovery and OpenAPI."""
    await measured.request(f"discovery, aggregated, {when}", "GET", f"{PREFIX}/apis", accept=_AGGREGATED)
    await measured.request(f"discovery, groups, {when}", "GET", f"{PREFIX}/apis")
    index = orjson.loads(await measured.request(f"OpenAPI v3, index, {when}", "GET", f"{PREFIX}/openapi/v3"))
    if parts:
        for name, entry in index["paths"].items():
            if name.startswith("apis/"):
                await measured.request(f"discovery, a group version, {when}", "GET", f"{PREFIX}/{name}")
            url = entry["serverRelativeURL"]
            await measured.request(f"OpenAPI v3, a group version, JSON, {when}", "GET", url)
            await measured.request(f"OpenAPI v3, a group version, protobuf, {when}", "GET", url, accept=_V3_PROTOBUF)
    await measured.request(f"OpenAPI v2, JSON, {when}", "GET", f"{PREFIX}/openapi/v2")
    await measured.request(f"OpenAPI v2, protobuf, {when}", "GET", f"{PREFIX}/openapi/v2", accept=_V2_PROTOBUF)


async def measure(count: int) -> None:
    """Measure with so many definitions in one logical cluster, restart the server, measure again, delete; print the table."""
    made = samples(count)
    garbage = asyncio.ensure_future(CyclicGarbage().run())  # as in a process that is nothing but a server
    clock = LoopClock()
    with tempfile.TemporaryDirectory(prefix="kcp-bench-") as root:
        async with running(root, clock) as measured:
            await write_all(measured, made)
            measured.table()
            await read_documents(measured, "first")
            await read_documents(measured, "again", parts=False)
            await touch(measured, made[0])
            await read_documents(measured, "after a change", parts=False)
            measured.table()
        async with running(root, clock) as measured:
            await measured.request("first list of objects after the start", "GET", PREFIX + made[-1].collection)
            await read_documents(measured, "after the start", parts=False)
            for definition in sorted(made, key=lambda each: len(each.body))[-_LARGEST:]:
                collection, obj = PREFIX + definition.collection, definition.object("d")
                await measured.request("first create of an object after the start", "POST", collection, obj)
            for definition in made[::_SOME]:
                path = f"{PATH}/{definition.name}"
                await measured.request("delete of a definition", "DELETE", path)
            measured.table()
    garbage.cancel()


async def touch(measured: Measurements, definition: Sample) -> None:
    """Change the schema of one definition."""
    path = f"{PATH}/{definition.name}"
    changed = orjson.loads(await measured.request("get a definition", "GET", path))
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "Changed again."
    await measured.request("update of a definition's schema", "PUT", path, changed)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.definitions", description=__doc__)
    parser.add_argument("--count", type=int, default=800, help="how many definitions in one logical cluster")
    parser.add_argument("--clusters", type=int, default=0, help="measure the memory of so many logical clusters")
    options = parser.parse_args()
    if options.clusters:
        uvloop.run(measure_memory(options.clusters))
        return
    uvloop.run(measure(options.count))


if __name__ == "__main__":
    main()
