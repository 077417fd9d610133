"""What a further logical cluster with the same definitions adds to the memory of a server."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from bench.definitions.clock import Client
from bench.definitions.generator import SMALL_SIZES, samples
from bench.processes import resident_megabytes
from kcp.cli.start import configuration_of
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.catalog import DEFINITIONS
from kcp.server.process.cyclic_garbage import CyclicGarbage
from kcp.server.process.running import ServerProcess
from kcp.store.contract import ABSENT, Change, Range, Record, Store

BOUND: Final = 30.0
"""Kilobytes for each further logical cluster."""
_DEFINITIONS: Final = 480
_PATH: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_STEPS: Final = 10
_BATCH: Final = 60


async def measure_memory(clusters: int) -> None:
    """Give so many logical clusters the same definitions, read documents and a type in each, and print how memory grows.

    The definitions are created over HTTP in one logical cluster; the others get what the log has of them, as by an import.
    """
    made = samples(_DEFINITIONS, sizes=SMALL_SIZES)
    garbage = asyncio.ensure_future(CyclicGarbage().run())  # as in a process that is nothing but a server
    with tempfile.TemporaryDirectory(prefix="kcp-bench-") as root:
        process = ServerProcess(configuration_of(["--root-directory", root, "--secure-port", "0"]))
        await process.start()
        client = Client(Path(process.kubeconfig))
        await client.open()
        for definition in made:
            await client.request("POST", f"/clusters/bench{_PATH}", definition.body)
        assert process.composition is not None
        store = process.composition.registry.store
        records = store.scan(Range(DEFINITIONS, LogicalClusterName("bench"))).records
        print(f"{'logical clusters':>20} {'resident MB':>12} {'kB for each':>12} {'bound kB':>9}")
        step, before = max(1, clusters // _STEPS), resident_megabytes()
        for first in range(0, clusters, step):
            for number in range(first, first + step):
                await _copy(store, records, LogicalClusterName(f"bench{number}"))
                for path in ("/apis", made[0].collection, "/openapi/v3"):
                    await client.request("GET", f"/clusters/bench{number}{path}")
            now = resident_megabytes()
            print(f"{first + step:20} {now:12.1f} {(now - before) * 1024 / step:12.1f} {BOUND:9.0f}", flush=True)
            before = now
        client.close()
        await process.stop()
    garbage.cancel()


async def _copy(store: Store, records: list[Record], cluster: LogicalClusterName) -> None:
    for start in range(0, len(records), _BATCH):
        changes = [
            Change(record.key._replace(cluster=cluster), record.value, ABSENT, record.tag)
            for record in records[start : start + _BATCH]
        ]
        await store.write(changes)
