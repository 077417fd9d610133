"""``python -m bench``: run the load and print a table.

    python -m bench                                             kcp alone, started for the run
    python -m bench --before DIRECTORY                          beside the kcp of another checkout, in turns
    python -m bench --user                                      kcp as an ordinary user calls it, beside system:masters
    python -m bench --peer URL --peer-token TOKEN [--peer-name NAME]     beside another API server, in turns

Needs wrk. A figure is the median over the rounds. A ratio is the median of the rounds' ratios, kcp's figure over that of
the other server in the same round. `--before` with this checkout itself shows how far ratios vary on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
import yaml

from bench import clusters, fanout, objects, selectors, users
from bench.client import Connection, Peer
from bench.load import fresh_name, wrk
from bench.processes import CHECKOUT, Server, kcp_server, processor_seconds

WIDGETS = fanout.WIDGETS
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_CROWD = 500
_PACE = 100
"""Writes per second that both servers can deliver to all watchers: only then do their delays compare."""
_PACED_WRITERS = 8
_STARTS = 5
_WIDGET = fresh_name("measured")
"""The prefix of the widgets that are read and patched; a server may have those of an earlier run."""


class Figures(defaultdict[str, list[float]]):
    """The measurements of one server or peer, by kind of work: a figure for each round."""

    def __init__(self) -> None:
        super().__init__(list)


async def prepare(peer: Peer) -> None:
    """Define the widgets, wait until they are served, and create those that are read and patched. Raises RuntimeError."""
    definition = yaml.safe_load(Path(__file__).with_name("widgets.yaml").read_text())
    async with Connection(peer) as connection:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        status, answer = await connection.request("POST", path, definition)
        if status not in (201, 409):
            raise RuntimeError(f"{peer.name}: the definition gave {status}: {answer[:300]!r}")
        for _ in range(100):
            status, _ = await connection.request("GET", WIDGETS + "?limit=1")
            if status == 200:
                break
            await asyncio.sleep(0.1)
        else:
            raise RuntimeError(f"{peer.name}: the widgets are not served")
    await fill(peer, WIDGETS, _WIDGET, 2, "Widget")


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


def _requests(peer: Peer, figures: Figures, label: str, path: str, **load: Any) -> None:
    """Send requests with wrk; record the rate, and the processor time of each if the server's process is known."""
    before = processor_seconds(peer.pid) if peer.pid else 0.0
    step = wrk(peer, path, **load)
    figures[f"{label} (req/s)"].append(step.rate)
    if peer.pid:
        figures[f"{label} (processor us)"].append((processor_seconds(peer.pid) - before) / step.requests * 1e6)
    if step.failures:
        figures[f"{label}: failures"].append(step.failures)


def _create(peer: Peer, figures: Figures, seconds: float, connections: int) -> None:
    load = {"connections": connections, "seconds": seconds, "work": "create", "prefix": fresh_name("w")}
    _requests(peer, figures, f"create, {connections} conn", WIDGETS, **load)


def _get(peer: Peer, figures: Figures, seconds: float, connections: int) -> None:
    path = f"{WIDGETS}/{_WIDGET}-1"
    _requests(peer, figures, f"get, {connections} conn", path, connections=connections, seconds=seconds)


def _list(peer: Peer, figures: Figures, seconds: float) -> None:
    _requests(peer, figures, "list 500, 4 conn", f"{WIDGETS}?limit=500", connections=4, seconds=seconds)


def _merge_patch(peer: Peer, figures: Figures, seconds: float, connections: int) -> None:
    load = {"connections": connections, "seconds": seconds, "work": "patch", "prefix": f"{_WIDGET}-2"}
    _requests(peer, figures, f"merge patch, {connections} conn", WIDGETS, **load)


def _apply(peer: Peer, figures: Figures, seconds: float) -> None:
    load = {"connections": 16, "seconds": seconds, "work": "apply", "prefix": fresh_name("a")}
    _requests(peer, figures, "server-side apply, 16 conn", WIDGETS, **load)


def _update(peer: Peer, figures: Figures, seconds: float) -> None:
    replaced = uvloop.run(fill(peer, WIDGETS, fresh_name("u"), 1000, "Widget"))
    load = {"connections": 16, "seconds": seconds, "work": "replace", "versions": replaced}
    _requests(peer, figures, "update, 16 conn", WIDGETS, **load)


def _update_config_maps(peer: Peer, figures: Figures, seconds: float) -> None:
    prefix = fresh_name("c")
    uvloop.run(fill(peer, CONFIG_MAPS, prefix, 1000, "ConfigMap"))
    load = {"connections": 16, "seconds": seconds, "work": "update", "prefix": prefix}
    _requests(peer, figures, "update of ConfigMaps, 16 conn", CONFIG_MAPS, **load)


def _list_all(peer: Peer, figures: Figures, _seconds: float) -> None:
    async def measure() -> None:
        async with Connection(peer) as connection:
            start = time.perf_counter()
            _, answer = await connection.request("GET", WIDGETS)
            seconds = time.perf_counter() - start
        count = len(json.loads(answer)["items"])
        figures["list all (objects)"].append(count)
        figures["list all (objects/s)"].append(count / seconds)

    uvloop.run(measure())


def _fan_out(peer: Peer, figures: Figures, _seconds: float, watchers: int) -> None:
    found = uvloop.run(fanout.measure(peer, watchers=watchers))
    figures[f"watch x{watchers} (events/s)"].append(found.events_per_second)
    figures[f"watch x{watchers} (p99 ms)"].append(found.p99_ms)
    if found.missing:
        figures[f"watch x{watchers}: events missing"].append(found.missing)


def _paced_fan_out(peer: Peer, figures: Figures, _seconds: float) -> None:
    found = uvloop.run(fanout.measure(peer, watchers=_CROWD, writers=_PACED_WRITERS, rate=_PACE))
    figures[f"watch x{_CROWD}, {_PACE} writes/s (p99 ms)"].append(found.p99_ms)


STEPS: tuple[Callable[[Peer, Figures, float], None], ...] = (
    *(partial(_create, connections=connections) for connections in (1, 16)),
    *(partial(_get, connections=connections) for connections in (1, 16)),
    _list,
    *(partial(_merge_patch, connections=connections) for connections in (1, 16)),
    _apply,
    _update,
    _update_config_maps,
    _list_all,
    *(partial(_fan_out, watchers=watchers) for watchers in (1, _CROWD)),
    _paced_fan_out,
)
"""The request load, in order: a step takes the server, where its figures go, and how long to send requests (seconds)."""


def run_rounds(peers: Sequence[Peer], figures: Mapping[str, Figures], rounds: int, seconds: float) -> None:
    """Run each step on one server after the other; the first one changes with the round.

    A step's two figures are taken seconds apart, so that another load on the machine meets both servers.
    """
    for number in range(rounds):
        for step in STEPS:
            for peer in peers if number % 2 == 0 else reversed(peers):
                step(peer, figures[peer.name], seconds)


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
    """Print a table of medians, a column for each server.

    ``ratio`` adds the median of the rounds' ratios, the first column over the second, and the lowest and the highest of them.
    """
    labels = list(dict.fromkeys(label for each in figures.values() for label in each))
    print(
        f"{'work':<44}"
        + "".join(f"{name:>16}" for name in figures)
        + ("      ratio  (lowest to highest)" if ratio else "")
    )
    for label in labels:
        rounds = [each.get(label) or [float("nan")] for each in figures.values()]
        line = f"{label:<44}" + "".join(f"{statistics.median(each):>16,.1f}" for each in rounds)
        ratios = [first / second for first, second in zip(*rounds, strict=False) if second] if ratio else []
        if ratios:
            line += f"{statistics.median(ratios):>10.2f}x"
            line += f"  ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
        print(line)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--peer", metavar="URL", help="another API server to run the same load on")
    other.add_argument(
        "--before", metavar="DIRECTORY", type=Path, help="another checkout, whose kcp to run the same load on"
    )
    other.add_argument(
        "--user",
        action="store_true",
        help=f"a user with {users.BINDINGS} bindings, to run the same load as on the same kcp",
    )
    parser.add_argument("--peer-token", default="", help="the token of --peer (system:masters)")
    parser.add_argument("--peer-name", default="peer", help="the name of --peer in the table")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of the request load; 0 skips it")
    parser.add_argument("--seconds", type=float, default=5, help="duration of each step")
    parser.add_argument("--clusters", type=int, default=10_000, help="logical clusters to create; 0 skips this")
    parser.add_argument("--objects", type=int, default=100_000, help="objects of 1 KB to store; 0 skips this")
    parser.add_argument("--selected-from", type=int, default=100_000, help="objects to select ten of; 0 skips this")
    return parser.parse_args()


def _starts(checkouts: Mapping[str, Path], figures: Mapping[str, Figures]) -> None:
    """Start each kcp several times, in turns."""
    for _ in range(_STARTS):
        for name, checkout in checkouts.items():
            with kcp_server(name=name, checkout=checkout) as server:
                figures[name]["start to ready (s)"].append(server.ready_seconds)
                figures[name]["resident, idle (MB)"].append(server.resident_megabytes())


def _user_flags(stack: ExitStack) -> Sequence[str]:
    """The flags by which a server knows the ordinary user."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kcp-bench-"))
    return ("--token-auth-file", str(users.token_file(Path(folder))))


def main() -> None:
    """Parse the arguments, run, print."""
    options = _arguments()
    figures: dict[str, Figures] = defaultdict(Figures)
    if options.objects:
        with kcp_server() as server:
            _objects(server, options.objects, figures["kcp"])
    checkouts = {"kcp": CHECKOUT} | ({"before": options.before.resolve()} if options.before else {})
    _starts(checkouts, figures)
    with ExitStack() as stack:
        flags = _user_flags(stack) if options.user else ()
        servers = [
            stack.enter_context(kcp_server(flags, name=name, checkout=checkout)) for name, checkout in checkouts.items()
        ]
        peers = [server.peer for server in servers]
        if options.peer:
            peers.append(Peer(options.peer_name, options.peer, options.peer_token))
        if options.clusters:
            _clusters(servers[0], options.clusters, figures["kcp"])
        for peer in peers:
            uvloop.run(prepare(peer))
        if options.user:
            peers.append(uvloop.run(users.grant(servers[0].peer)))
        run_rounds(peers, figures, options.rounds, options.seconds)
        for server in servers:
            figures[server.peer.name]["resident, after the load (MB)"].append(server.resident_megabytes())
        if options.selected_from:
            for peer in peers:
                _selectors(peer, options.selected_from, options.seconds, figures[peer.name])
    print_figures(figures, ratio=len(peers) > 1)


if __name__ == "__main__":
    main()
