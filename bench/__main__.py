"""``python -m bench``: run the load and print a table.

    python -m bench                                             kcp alone, started for the run
    python -m bench --peer URL --peer-token TOKEN [--peer-name NAME]     beside another API server, in turns

Needs wrk. Rates are medians over the rounds; a ratio is kcp's figure over the peer's of the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop
import yaml

from bench import clusters, fanout, objects, selectors
from bench.client import Connection, Peer
from bench.load import fresh_name, wrk
from bench.processes import Server, kcp_server

WIDGETS = fanout.WIDGETS
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_CROWD = 500
_PACE = 100
"""Writes per second that both servers can deliver to all watchers: only then do their delays compare."""
_PACED_WRITERS = 8


class Figures(defaultdict[str, list[float]]):
    """The measurements of one server or peer, by kind of work: a figure for each round."""

    def __init__(self) -> None:
        super().__init__(list)


async def prepare(peer: Peer) -> None:
    """Define the widgets and wait until they are served. Raises RuntimeError."""
    definition = yaml.safe_load(Path(__file__).with_name("widgets.yaml").read_text())
    async with Connection(peer) as connection:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        status, answer = await connection.request("POST", path, definition)
        if status not in (201, 409):
            raise RuntimeError(f"{peer.name}: the definition gave {status}: {answer[:300]!r}")
        for _ in range(100):
            status, _ = await connection.request("GET", WIDGETS + "?limit=1")
            if status == 200:
                return
            await asyncio.sleep(0.1)
    raise RuntimeError(f"{peer.name}: the widgets are not served")


async def fill(peer: Peer, path: str, prefix: str, count: int, kind: str) -> list[tuple[str, str]]:
    """Create objects; return their names and resource versions."""
    made = []
    async with Connection(peer) as connection:
        for number in range(1, count + 1):
            body: dict[str, Any] = {"metadata": {"name": f"{prefix}-{number}"}}
            if kind == "Widget":
                body |= {"apiVersion": "example.com/v1", "kind": kind, "spec": {"size": number, "note": "x" * 500}}
            else:
                body |= {"apiVersion": "v1", "kind": kind, "data": {"note": "x" * 500}}
            status, answer = await connection.request("POST", path, body)
            if status != 201:
                raise RuntimeError(f"{peer.name}: fill gave {status}: {answer[:200]!r}")
            made.append((body["metadata"]["name"], json.loads(answer)["metadata"]["resourceVersion"]))
    return made


def _steps(peer: Peer, figures: Figures, seconds: float) -> None:
    def note(label: str, step: Any) -> None:
        figures[label].append(step.rate)
        if step.failures:
            figures[f"{label}: failures"].append(step.failures)

    for connections in (1, 16):
        prefix = fresh_name("w")
        step = wrk(peer, WIDGETS, connections=connections, seconds=seconds, work="create", prefix=prefix)
        note(f"create, {connections} conn (req/s)", step)
    name = f"{prefix}-2"  # wrk draws one request before it begins, which it does not send
    for connections in (1, 16):
        note(
            f"get, {connections} conn (req/s)", wrk(peer, f"{WIDGETS}/{name}", connections=connections, seconds=seconds)
        )
    note("list 500, 4 conn (req/s)", wrk(peer, f"{WIDGETS}?limit=500", connections=4, seconds=seconds))
    for connections in (1, 16):
        step = wrk(peer, WIDGETS, connections=connections, seconds=seconds, work="patch", prefix=name)
        note(f"merge patch, {connections} conn (req/s)", step)
    note(
        "server-side apply, 16 conn (req/s)",
        wrk(peer, WIDGETS, connections=16, seconds=seconds, work="apply", prefix=fresh_name("a")),
    )
    replaced = uvloop.run(fill(peer, WIDGETS, fresh_name("u"), 1000, "Widget"))
    step = wrk(peer, WIDGETS, connections=16, seconds=seconds, work="replace", versions=replaced)
    note("update, 16 conn (req/s)", step)
    prefix = fresh_name("c")
    uvloop.run(fill(peer, CONFIG_MAPS, prefix, 1000, "ConfigMap"))
    step = wrk(peer, CONFIG_MAPS, connections=16, seconds=seconds, work="update", prefix=prefix)
    note("update of ConfigMaps, 16 conn (req/s)", step)


async def _list_all(peer: Peer, figures: Figures) -> None:
    async with Connection(peer) as connection:
        start = time.perf_counter()
        _, answer = await connection.request("GET", WIDGETS)
        seconds = time.perf_counter() - start
    count = len(json.loads(answer)["items"])
    figures["list all (objects)"].append(count)
    figures["list all (objects/s)"].append(count / seconds)


async def _fan_out(peer: Peer, figures: Figures) -> None:
    for watchers in (1, _CROWD):
        found = await fanout.measure(peer, watchers=watchers)
        figures[f"watch x{watchers} (events/s)"].append(found.events_per_second)
        figures[f"watch x{watchers} (p99 ms)"].append(found.p99_ms)
        if found.missing:
            figures[f"watch x{watchers}: events missing"].append(found.missing)
    found = await fanout.measure(peer, watchers=_CROWD, writers=_PACED_WRITERS, rate=_PACE)
    figures[f"watch x{_CROWD}, {_PACE} writes/s (p99 ms)"].append(found.p99_ms)


def _objects(server: Server, count: int, mine: Figures) -> None:
    found = uvloop.run(objects.measure(server, count=count))
    mine["objects (count)"].append(found.listed)
    mine["bytes of one"].append(found.object_bytes)
    mine["objects created (1/s)"].append(found.created_per_second)
    mine["objects listed in pages (s)"].append(found.list_seconds)
    mine["resident, objects written (MB)"].append(found.written)
    mine["resident, objects read (MB)"].append(found.read)
    mine["files with objects (MB)"].append(found.files)


def _clusters(server: Server, count: int, mine: Figures) -> None:
    found = uvloop.run(clusters.measure(server, count=count))
    mine["logical clusters (count)"].append(found.listed)
    mine["logical clusters created (1/s)"].append(found.created_per_second)
    mine["logical clusters listed (s)"].append(found.list_seconds)
    mine["logical clusters deleted (1/s)"].append(found.deleted_per_second)
    mine["resident, before clusters (MB)"].append(found.before)
    mine["resident, with clusters (MB)"].append(found.full)
    mine["resident, after clusters (MB)"].append(found.after)
    mine["files, before clusters (MB)"].append(found.files_before)
    mine["files, with clusters (MB)"].append(found.files_full)


def _selectors(peer: Peer, count: int, seconds: float, figures: Figures) -> None:
    for label, figure in uvloop.run(selectors.measure(peer, count=count, seconds=seconds)).items():
        figures[label].append(figure)


def print_figures(figures: Mapping[str, Figures], *, ratio: bool = False) -> None:
    """Print a table of medians, a column for each server; ``ratio`` is the first column over the second."""
    labels = list(dict.fromkeys(label for each in figures.values() for label in each))
    print(f"{'work':<36}" + "".join(f"{name:>16}" for name in figures) + ("      ratio" if ratio else ""))
    for label in labels:
        medians = [statistics.median(each.get(label) or [float("nan")]) for each in figures.values()]
        line = f"{label:<36}" + "".join(f"{value:>16,.1f}" for value in medians)
        if ratio:
            line += f"{medians[0] / medians[1]:>10.2f}x" if medians[1] else ""
        print(line)


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", metavar="URL", help="another API server to run the same load on")
    parser.add_argument("--peer-token", default="", help="its bearer token (system:masters)")
    parser.add_argument("--peer-name", default="peer", help="its name in the table")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of the request load; 0 skips it")
    parser.add_argument("--seconds", type=float, default=5, help="duration of each step")
    parser.add_argument("--clusters", type=int, default=10_000, help="logical clusters to create; 0 skips this")
    parser.add_argument("--objects", type=int, default=100_000, help="objects of 1 KB to store; 0 skips this")
    parser.add_argument("--selected-from", type=int, default=100_000, help="objects to select ten of; 0 skips this")
    options = parser.parse_args()
    figures: dict[str, Figures] = defaultdict(Figures)
    if options.objects:
        with kcp_server() as server:
            _objects(server, options.objects, figures["kcp"])
    with kcp_server() as server:
        kcp, mine = server.peer, figures["kcp"]
        mine["start to ready (s)"].append(server.ready_seconds)
        mine["resident, idle (MB)"].append(server.resident_megabytes())
        if options.clusters:
            _clusters(server, options.clusters, mine)
        peers = [kcp] + ([Peer(options.peer_name, options.peer, options.peer_token)] if options.peer else [])
        for peer in peers:
            uvloop.run(prepare(peer))
        for _ in range(options.rounds):
            for peer in peers:
                _steps(peer, figures[peer.name], options.seconds)
                uvloop.run(_list_all(peer, figures[peer.name]))
                uvloop.run(_fan_out(peer, figures[peer.name]))
        mine["resident, after the load (MB)"].append(server.resident_megabytes())
        if options.selected_from:
            for peer in peers:
                _selectors(peer, options.selected_from, options.seconds, figures[peer.name])
    print_figures(figures, ratio=len(peers) > 1)


if __name__ == "__main__":
    main()
