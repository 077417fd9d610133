"""``python -m bench.several``: kcp on SQLite, one kcp on a three-member etcd, and three of them on it, in one run.

Each member of etcd waits for its disk, as the SQLite file does. Needs wrk and etcd; members and servers are started for the run.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench import fanout, objects
from bench.__main__ import WIDGETS, Figures, fill, prepare, print_figures
from bench.client import Peer
from bench.load import Step, fresh_name, wrk
from bench.processes import Server, kcp_server
from devtools.etcd import EtcdCluster

_CONNECTIONS = 15


def _together(peers: Sequence[Peer], path: str, seconds: float, *, work: str = "", names: Sequence[str]) -> float:
    """Requests a second over all servers, the connections spread over them."""

    def run(peer: Peer, name: str) -> Step:
        step_path = path if work else f"{path}/{name}" if name else f"{path}?limit=500"
        versions = uvloop.run(fill(peer, WIDGETS, name, 300, "Widget")) if work == "replace" else ()
        connections = _CONNECTIONS // len(peers)
        return wrk(peer, step_path, connections=connections, seconds=seconds, work=work, prefix=name, versions=versions)

    with ThreadPoolExecutor(len(peers)) as pool:
        steps = list(pool.map(run, peers, names))
    if failures := sum(step.failures for step in steps):
        raise RuntimeError(f"{work or 'read'}: {failures} requests failed")
    return sum(step.rate for step in steps)


def _measure(servers: Sequence[Server], figures: Figures, seconds: float) -> None:
    peers = [server.peer for server in servers]
    uvloop.run(prepare(peers[0]))
    fresh = [fresh_name("w") for _ in peers]
    figures["create, 15 conn (req/s)"].append(_together(peers, WIDGETS, seconds, work="create", names=fresh))
    found = [f"{fresh[0]}-2"] * len(peers)
    figures["get, 15 conn (req/s)"].append(_together(peers, WIDGETS, seconds, names=found))
    figures["list 500, 15 conn (req/s)"].append(_together(peers, WIDGETS, seconds, names=[""] * len(peers)))
    replaced = [fresh_name("u") for _ in peers]
    figures["update, 15 conn (req/s)"].append(_together(peers, WIDGETS, seconds, work="replace", names=replaced))
    delivered = uvloop.run(fanout.measure(peers[-1], watchers=1, writers=1, written_to=peers[0]))
    figures["delivery, 1 writer (p50 ms)"].append(delivered.p50_ms)
    figures["delivery, 1 writer (p99 ms)"].append(delivered.p99_ms)


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.several", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="duration of each step")
    parser.add_argument(
        "--objects", type=int, default=100_000, help="objects of 1 KB that a new server copies; 0 skips this"
    )
    options = parser.parse_args()
    figures: dict[str, Figures] = {}
    with kcp_server() as server:
        _measure([server], figures.setdefault("SQLite", Figures()), options.seconds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kcp-bench-etcd-")))
        etcd = stack.enter_context(EtcdCluster(folder, 3, durable=True))
        arguments = ["--etcd-servers", ",".join(etcd.urls)]
        servers = [stack.enter_context(kcp_server(arguments))]
        one = figures.setdefault("1 on etcd", Figures())
        _measure(servers, one, options.seconds)
        servers += [stack.enter_context(kcp_server(arguments)) for _ in range(2)]
        _measure(servers, figures.setdefault("3 on etcd", Figures()), options.seconds)
        if options.objects:
            uvloop.run(objects.measure(servers[0], count=options.objects))
            late = stack.enter_context(kcp_server(arguments))
            one["a new server is ready (s)"].append(late.ready_seconds)
            one["objects that it copied"].append(uvloop.run(objects.count(late.peer)))
    print_figures(figures)


if __name__ == "__main__":
    main()
