"""``python -m bench.informers``: what an informer costs its process: memory for each object, processor time for each event.

    python -m bench.informers --objects 50000 --events 20000

It starts a kcp, fills it from another process, and follows the ConfigMaps in this one. The processor time is that of this process
alone; memory is what is resident before the informer starts and after it has all objects, and at the peak.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.client import Connection, Peer
from bench.processes import kcp_server, peer_of, resident_megabytes
from kcp.client import APIResource, Client, Informers, load_configuration

CONFIG_MAPS: Final = APIResource("", "v1", "configmaps", "ConfigMap")
PATH: Final = "/api/v1/namespaces/default/configmaps"
_WRITERS: Final = 8
_LABEL: Final = "bench=informers"


def config_map(number: int, change: int) -> dict[str, Any]:
    """An object that is stored in about 1.5 KB."""
    meta = {
        "name": f"object-{number}",
        "labels": {"bench": "informers", "app.kubernetes.io/name": f"app-{number % 100}"},
    }
    text = "".join(chr(97 + (number * 7 + place * 11) % 26) for place in range(1000))
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"text": text, "change": str(change)}}


async def _write(peer: Peer, objects: int, count: int, *, changes: bool) -> None:
    async def writer(first: int) -> None:
        async with Connection(peer) as connection:
            for step in range(first, count, _WRITERS):
                number = step % objects
                body = config_map(number, step + 1 if changes else 0)
                if changes:
                    status, answer = await connection.request("PUT", f"{PATH}/object-{number}", body)
                else:
                    status, answer = await connection.request("POST", PATH, body)
                if status not in (200, 201):
                    raise RuntimeError(f"writing gave {status}: {answer[:200]!r}")

    await asyncio.gather(*(writer(first) for first in range(_WRITERS)))


def _write_elsewhere(kubeconfig: Path, objects: int, count: int, *, changes: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench.informers", "--writer", str(kubeconfig)]
    command += ["--objects", str(objects), "--events", str(count), *(["--changes"] if changes else [])]
    return subprocess.Popen(command)


async def _measure(kubeconfig: Path, objects: int, events: int) -> None:
    async with Client(load_configuration(kubeconfig)) as client:
        await client.version()
        gc.collect()
        before = resident_megabytes()
        heard, all_heard = 0, asyncio.Event()

        def count(_change: object) -> None:
            nonlocal heard
            heard += 1
            if heard == objects + events:
                all_heard.set()

        async with Informers(client) as informers:
            informer = informers.informer(CONFIG_MAPS, label_selector=_LABEL)
            informer.add_handler(count)
            started, processor = time.perf_counter(), time.process_time()
            await informer.synchronized()
            seconds, used = time.perf_counter() - started, time.process_time() - processor
            gc.collect()
            after = resident_megabytes()
            size = sum(len(each.data) for each in informer.cache) / max(len(informer.cache), 1)
            print(f"objects                          {len(informer.cache)} of {size:.0f} bytes")
            print(f"memory before, after, growth     {before:.0f} MB, {after:.0f} MB, {after - before:.0f} MB")
            print(f"growth for each object           {(after - before) * 1024**2 / objects:.0f} bytes")
            print(
                f"initial objects                  {seconds:.1f} s, {used / objects * 1e6:.0f} us of processor time each"
            )
            processor = time.process_time()
            writer = _write_elsewhere(kubeconfig, objects, events, changes=True)
            await all_heard.wait()
            used = time.process_time() - processor
            writer.wait()
            print(f"events                           {events}, {used / events * 1e6:.0f} us of processor time each")
            print(f"memory after the events, most    {resident_megabytes():.0f} MB, {_peak_megabytes():.0f} MB")


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=50_000)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--writer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--changes", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.writer is not None:
        uvloop.run(_write(peer_of(options.writer), options.objects, options.events, changes=options.changes))
        return
    with kcp_server() as server:
        kubeconfig = server.root / "data" / "admin.kubeconfig"
        _write_elsewhere(kubeconfig, options.objects, options.objects, changes=False).wait()
        uvloop.run(_measure(kubeconfig, options.objects, options.events))


if __name__ == "__main__":
    main()
