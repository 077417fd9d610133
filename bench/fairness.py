"""``python -m bench.fairness``: what a quiet tenant notices of one that floods the server.

    python -m bench.fairness [--before DIRECTORY]

The quiet tenant sends 50 gets and 10 creates a second, each kind on a connection of its own. The other tenant sends as much as
it can, of one kind at a time. Both are ordinary users, each with a logical cluster. The quiet tenant is measured alone, while
the flood goes to another server on this machine, and beside the flood, one right after the other, on each checkout in turns.
The first ratio is that of its percentiles beside the flood and alone. The flood, its client and the quiet tenant share the
processors and the disk, which no server could prevent: the second ratio is to the percentiles while the flood goes elsewhere.
Needs wrk.

The clients get a processor of their own where there are two or more (``--client-processors``). Run it on a machine that does
nothing else; ``--urgent`` lets the server and the clients go before other work, for which it must be started as root.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from bench.client import Connection, Peer
from bench.processes import CHECKOUT, kcp_server

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
GETS_PER_SECOND = 50
CREATES_PER_SECOND = 10
_OBJECTS = 5000
_FILLING = 16
_WATCHES = 5000
_WRITES_PER_SECOND = 10
_LARGE = 1_000_000
_WARM_UP = 1.0
_PATIENCE = 120
_NICE_OF_SERVER, _NICE_OF_QUIET, _NICE_OF_FLOOD = 0, -10, 5
"""The quiet tenant's client must not wait for the processor that it shares with the flood's. Lower ones need root."""
_URGENT = -19
_SESSION = Path("/proc/self/autogroup")
"""The priority of the session among others, where Linux schedules sessions (sched(7), "The autogroup feature")."""


@dataclass
class Delays:
    """What the quiet tenant waited for, in milliseconds, and the answers that were refusals."""

    gets: list[float] = field(default_factory=list)
    creates: list[float] = field(default_factory=list)
    refused: int = 0

    def add(self, others: Delays) -> None:
        """Add the delays of another measurement."""
        self.gets += others.gets
        self.creates += others.creates
        self.refused += others.refused


@dataclass
class Measured:
    """The delays of the quiet tenant alone, while the flood goes to another server, and beside it."""

    alone: Delays = field(default_factory=Delays)
    elsewhere: Delays = field(default_factory=Delays)
    beside: Delays = field(default_factory=Delays)

    def add(self, others: Measured) -> None:
        """Add the delays of another measurement."""
        self.alone.add(others.alone)
        self.elsewhere.add(others.elsewhere)
        self.beside.add(others.beside)

    def refused(self) -> int:
        """The refusals of all requests."""
        return self.alone.refused + self.elsewhere.refused + self.beside.refused

    def cell(self, kind: str) -> str:
        """The p50 and p99 of a kind of requests in each case, and the ratios of those beside the flood to the others."""
        found = [getattr(each, kind) for each in (self.alone, self.elsewhere, self.beside)]
        figures = [(percentile(each, 0.5), percentile(each, 0.99)) for each in found]
        beside = figures[-1]
        ratios = [(beside[0] / p50, beside[1] / p99) for p50, p99 in figures[:-1]]
        shown = [f"{p50:6.2f} /{p99:7.2f}" for p50, p99 in figures] + [f"{p50:5.1f} /{p99:5.1f}" for p50, p99 in ratios]
        return "  ".join(shown)


@dataclass
class Placement:
    """Where processes run: the processors of the server and of the clients, and whether they go before other work."""

    server: set[int]
    clients: set[int]
    urgent: bool

    def prefix(self, processors: set[int], nice: int) -> list[str]:
        """The start of a command that runs on these processors, with a priority."""
        return ["taskset", "-c", ",".join(map(str, sorted(processors))), "nice", "-n", str(nice)]

    def go_first(self) -> None:
        """Let this session go before others."""
        with contextlib.suppress(OSError):  # it is one already
            os.setsid()
        _SESSION.write_text(str(_URGENT))

    @contextmanager
    def of_quiet(self) -> Iterator[None]:
        """Run this process as the client of the quiet tenant."""
        processors, nice = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
        os.sched_setaffinity(0, self.clients)
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, _NICE_OF_QUIET)
        try:
            yield
        finally:
            os.sched_setaffinity(0, processors)
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, 0, nice)


@dataclass
class Tenant:
    """A user with a logical cluster of the same name."""

    name: str
    token: str

    def peer(self, url: str) -> Peer:
        """The server of the tenant's logical cluster."""
        return Peer(self.name, f"{url}/clusters/{self.name}", self.token)


QUIET, FLOOD = Tenant("quiet", secrets.token_hex(16)), Tenant("flood", secrets.token_hex(16))


@contextmanager
def _server(checkout: Path, placement: Placement) -> Iterator[str]:
    """Run the kcp of a checkout with the two tenants; yields its address.

    A version without rights of ordinary users makes no difference between users either: there they are administrators.
    """
    prefix = placement.prefix(placement.server, _NICE_OF_SERVER)
    with tempfile.TemporaryDirectory(prefix="kcp-bench-") as root:
        tokens = Path(root) / "tokens.csv"
        lines = [f"{tenant.token},{tenant.name},{tenant.name}" for tenant in (QUIET, FLOOD)]
        if not (checkout / "src" / "kcp" / "auth" / "authorization").is_dir():
            tokens.write_text("".join(f'{line},"system:masters"\n' for line in lines))
            with kcp_server(("--token-auth-file", str(tokens)), checkout=checkout, prefix=prefix) as server:
                yield server.peer.url
            return
        tokens.write_text("".join(f"{line}\n" for line in lines))
        command = [sys.executable, "-m", "bench.fair_server", root, str(tokens)]
        process = subprocess.Popen(
            [*prefix, *command],
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**os.environ, "PYTHONPATH": f"{checkout / 'src'}:{CHECKOUT}"},
        )
        try:
            assert process.stdout is not None
            ready = process.stdout.readline().split()
            if not ready:
                raise RuntimeError(f"the server ended with {process.wait()}")
            yield ready[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@contextmanager
def _wrk(peer: Peer, placement: Placement, path: str, connections: int, *, token: str, body: int = 0) -> Iterator[None]:
    """Send gets, or creates with a body of so many bytes."""
    here = Path(__file__).parent
    command = [*placement.prefix(placement.clients, _NICE_OF_FLOOD), "wrk", "-t1", f"-c{connections}", "-d600"]
    if body:
        command += ["-s", str(here / "flood.lua")]
    elif token:
        command += ["-H", f"Authorization: Bearer {token}"]
    environment = {**os.environ, "TOKEN": token, "PREFIX": f"f{secrets.token_hex(4)}", "BODY": str(body)}
    process = subprocess.Popen([*command, peer.url + path], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=_PATIENCE)
        rate = re.search(r"Requests/sec:\s+([\d.]+)", shown)
        failures = re.search(r"Non-2xx or 3xx responses: (\d+)", shown)
        print(f"    the flood: {rate[1] if rate else '?'} requests a second", end="")
        print(f", {failures[1]} refused" if failures else "")


@contextmanager
def _watches(peer: Peer, placement: Placement, watches: int) -> Iterator[None]:
    """Keep watches open, and write what all of them see."""
    flood = [sys.executable, "-m", "bench.flood_watches", peer.url, peer.token, str(watches), str(_WRITES_PER_SECOND)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(
        [*placement.prefix(placement.clients, _NICE_OF_FLOOD), *flood],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=CHECKOUT,
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != "flooding":
        raise RuntimeError("the watches were not opened")
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - began
        shown, _ = process.communicate(timeout=_PATIENCE)
        print(f"    the flood: {int(shown or 0) / seconds / 1e6:.1f} MB of events a second")


Flood = Callable[[Peer, Placement], contextlib.AbstractContextManager[None]]


def floods(objects: int, watches: int) -> dict[str, Flood]:
    """The floods that are measured by default. Creates are last: there are more objects to list after them."""
    seen = f"{CONFIG_MAPS}/seen"
    return {
        "gets, 64 connections": partial(_wrk, path=seen, connections=64, token=FLOOD.token),
        f"lists of {objects:,} objects, 16": partial(_wrk, path=CONFIG_MAPS, connections=16, token=FLOOD.token),
        f"{watches:,} watches, {_WRITES_PER_SECOND} writes a second": partial(_watches, watches=watches),
        "creates, 64 connections": partial(_wrk, path=CONFIG_MAPS, connections=64, token=FLOOD.token, body=600),
    }


FURTHER_FLOODS: dict[str, Flood] = {
    "gets, 16 connections": partial(_wrk, path=f"{CONFIG_MAPS}/seen", connections=16, token=FLOOD.token),
    "gets with a wrong token, 64": partial(_wrk, path=f"{CONFIG_MAPS}/seen", connections=64, token="unknown"),
    "gets without a credential, 64": partial(_wrk, path=f"{CONFIG_MAPS}/seen", connections=64, token=""),
    "creates, 16 connections": partial(_wrk, path=CONFIG_MAPS, connections=16, token=FLOOD.token, body=600),
    "creates of 1 MB, 16": partial(_wrk, path=CONFIG_MAPS, connections=16, token=FLOOD.token, body=_LARGE),
}
"""Floods that are measured when ``--only`` names them."""


async def _fill(peer: Peer, objects: int) -> None:
    """Create the object that is read, and others to list. Raises RuntimeError."""
    names = iter(["seen", *(f"object-{number}" for number in range(objects))])

    async def create() -> None:
        async with Connection(peer) as connection:
            for name in names:
                body = {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": name},
                    "data": {"note": "x" * 600},
                }
                status, answer = await connection.request("POST", CONFIG_MAPS, body)
                if status != 201:
                    raise RuntimeError(f"create gave {status}: {answer[:200]!r}")

    await asyncio.gather(*(create() for _ in range(_FILLING)))


class _Quiet:
    """The quiet tenant."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self.peer = peer
        self.until = time.perf_counter() + _WARM_UP + seconds
        self.from_ = time.perf_counter() + _WARM_UP
        self.delays = Delays()
        self.prefix = f"q{secrets.token_hex(4)}"

    async def run(self) -> Delays:
        """Send the requests; return when all have been answered."""
        await asyncio.gather(self._gets(), self._creates())
        return self.delays

    def _times(self, rate: float) -> Sequence[float]:
        """The times of the requests: evenly apart, but for a random part, so that they fall on no rhythm of the server."""
        steps = int((self.until - time.perf_counter()) * rate)
        start = time.perf_counter()
        return [start + (number + secrets.randbelow(1000) / 1000) / rate for number in range(steps)]

    async def _gets(self) -> None:
        async with Connection(self.peer) as connection:
            for at in self._times(GETS_PER_SECOND):
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                await self._measure(self.delays.gets, connection, "GET", f"{CONFIG_MAPS}/seen", None)

    async def _creates(self) -> None:
        async with Connection(self.peer) as connection:
            for number, at in enumerate(self._times(CREATES_PER_SECOND)):
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                metadata = {"name": f"{self.prefix}-{number}"}
                body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"note": "x" * 600}}
                await self._measure(self.delays.creates, connection, "POST", CONFIG_MAPS, body)

    async def _measure(self, into: list[float], connection: Connection, method: str, path: str, body: Any) -> None:
        began = time.perf_counter()
        status, _ = await connection.request(method, path, body)
        if began >= self.from_:
            into.append((time.perf_counter() - began) * 1e3)
            self.delays.refused += status not in (200, 201)


def percentile(delays: Sequence[float], part: float) -> float:
    """The delay that a part of all delays does not exceed; not a number if there are none."""
    found = sorted(delays)
    return found[min(len(found) - 1, int(len(found) * part))] if found else float("nan")


_CELL = "  ".join(
    [f"{each:>15}" for each in ("alone p50 / p99", "elsewhere", "beside")]
    + [f"{each:>12}" for each in ("to alone", "to elsewhere")]
)


def _arguments() -> argparse.Namespace:
    processors = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        prog="python -m bench.fairness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", metavar="DIRECTORY", type=Path, help="another checkout, whose kcp to measure too")
    parser.add_argument("--only", metavar="PATTERN", default="", help="measure all floods whose name matches")
    parser.add_argument("--seconds", type=float, default=8, help="duration of each measurement beside a flood")
    parser.add_argument("--alone", type=float, default=5, metavar="SECONDS", help="duration of each measurement alone")
    parser.add_argument("--objects", type=int, default=_OBJECTS, help="objects that a list of the flood has")
    parser.add_argument("--watches", type=int, default=_WATCHES, help="watches of the flood")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each flood; the delays of all count")
    for whose, default in (("server", processors), ("client", processors[-1:])):
        parser.add_argument(
            f"--{whose}-processors", type=int, nargs="+", default=default, metavar="NUMBER", help="default: %(default)s"
        )
    parser.add_argument("--urgent", action="store_true", help="go before other work on the machine; needs root")
    return parser.parse_args()


def _measure(start: Flood, url: str, other: str, placement: Placement, options: argparse.Namespace) -> Measured:
    """The delays of the quiet tenant alone, while the flood goes to the other server, and beside the flood."""
    quiet = QUIET.peer(url)
    with placement.of_quiet():
        alone = uvloop.run(_Quiet(quiet, options.alone).run())
    found = []
    for flooded in (other, url):
        with start(FLOOD.peer(flooded), placement), placement.of_quiet():
            found.append(uvloop.run(_Quiet(quiet, options.seconds).run()))
    return Measured(alone, *found)


def _print_table(kind: str, measured: dict[str, dict[str, Measured]], checkouts: Sequence[str]) -> None:
    print(f"\n{f'{kind} of the quiet tenant (ms)':<36}" + "".join(f"  {f'{each}: {_CELL}':>88}" for each in checkouts))
    for flood, found in measured.items():
        print(f"{flood:<36}" + "".join(f"  {found[checkout].cell(kind):>88}" for checkout in checkouts))


def main() -> None:
    """Parse the arguments, run, print."""
    options = _arguments()
    placement = Placement(set(options.server_processors), set(options.client_processors), options.urgent)
    if placement.urgent:
        placement.go_first()
    measured_floods = {**floods(options.objects, options.watches), **(FURTHER_FLOODS if options.only else {})}
    checkouts = {"kcp": CHECKOUT} | ({"before": options.before.resolve()} if options.before else {})
    measured: dict[str, dict[str, Measured]] = defaultdict(lambda: defaultdict(Measured))
    with ExitStack() as stack:
        urls = {name: stack.enter_context(_server(checkout, placement)) for name, checkout in checkouts.items()}
        other = stack.enter_context(_server(CHECKOUT, placement))
        for url in (*urls.values(), other):
            uvloop.run(_fill(QUIET.peer(url), 0))
            uvloop.run(_fill(FLOOD.peer(url), options.objects))
        for flood, start in measured_floods.items():
            if not re.search(options.only, flood):
                continue
            for number in range(options.rounds):
                for name in list(urls) if number % 2 == 0 else reversed(urls):
                    print(f"{flood}, {name}, elsewhere and beside", flush=True)
                    found = _measure(start, urls[name], other, placement, options)
                    for kind in ("gets", "creates"):
                        print(f"    {kind:<8}{found.cell(kind)}", flush=True)
                    measured[flood][name].add(found)
    for kind in ("gets", "creates"):
        _print_table(kind, measured, list(checkouts))
    refused = {name: sum(found[name].refused() for found in measured.values()) for name in checkouts}
    print(
        f"\nrefusals of the quiet tenant's requests: {', '.join(f'{name} {count}' for name, count in refused.items())}"
    )


if __name__ == "__main__":
    main()
