"""``python -m bench.fairness``: what a quiet tenant notices of one that floods the server.

    python -m bench.fairness [--before DIRECTORY]

The quiet tenant sends 10 gets and 2 creates a second, each on a connection of its own, and watches what it creates. The other
tenant sends as much as it can, of one kind at a time. Both are ordinary users, each with a logical cluster. Needs wrk. Each kind
is measured on one checkout right after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import statistics
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
from bench.processes import CHECKOUT

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_GETS_PER_SECOND = 10
_CREATES_PER_SECOND = 2
_OBJECTS = 5000
_WATCHES = 5000
_WRITES_PER_SECOND = 10
_LARGE = 1_000_000
_WARM_UP = 1.0
_PATIENCE = 120


@dataclass
class Delays:
    """What the quiet tenant waited for, in milliseconds, and the answers that were refusals."""

    gets: list[float] = field(default_factory=list)
    creates: list[float] = field(default_factory=list)
    deliveries: list[float] = field(default_factory=list)
    refused: int = 0


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
def _server(checkout: Path) -> Iterator[str]:
    """Run the kcp of a checkout with the two tenants; yields its address."""
    with tempfile.TemporaryDirectory(prefix="kcp-bench-") as root:
        tokens = Path(root) / "tokens.csv"
        tokens.write_text("".join(f"{tenant.token},{tenant.name},{tenant.name}\n" for tenant in (QUIET, FLOOD)))
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.fair_server", root, str(tokens)],
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
def _wrk(peer: Peer, path: str, connections: int, *, token: str, body: int = 0) -> Iterator[None]:
    """Send gets, or creates with a body of so many bytes."""
    here = Path(__file__).parent
    command = ["wrk", "-t1", f"-c{connections}", "-d600"]
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
def _watches(peer: Peer) -> Iterator[None]:
    """Keep watches open, and write what all of them see."""
    command = [
        sys.executable,
        "-m",
        "bench.flood_watches",
        peer.url,
        peer.token,
        str(_WATCHES),
        str(_WRITES_PER_SECOND),
    ]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=CHECKOUT
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


Flood = Callable[[Peer], contextlib.AbstractContextManager[None]]
FLOODS: dict[str, Flood] = {
    "alone": lambda _: contextlib.nullcontext(),
    "gets, 16 connections": partial(_wrk, path=f"{CONFIG_MAPS}/seen", connections=16, token=FLOOD.token),
    "gets, 64 connections": partial(_wrk, path=f"{CONFIG_MAPS}/seen", connections=64, token=FLOOD.token),
    "gets with a wrong token, 64": partial(_wrk, path=f"{CONFIG_MAPS}/seen", connections=64, token="unknown"),
    "gets without a credential, 64": partial(_wrk, path=f"{CONFIG_MAPS}/seen", connections=64, token=""),
    "lists of 5,000 objects, 16": partial(_wrk, path=CONFIG_MAPS, connections=16, token=FLOOD.token),
    "creates, 16 connections": partial(_wrk, path=CONFIG_MAPS, connections=16, token=FLOOD.token, body=600),
    "creates, 64 connections": partial(_wrk, path=CONFIG_MAPS, connections=64, token=FLOOD.token, body=600),
    "creates of 1 MB, 16": partial(_wrk, path=CONFIG_MAPS, connections=16, token=FLOOD.token, body=_LARGE),
    "5,000 watches, 10 writes a second": _watches,
}


async def _fill(peer: Peer) -> None:
    async with Connection(peer) as connection:
        for name in ["seen", *(f"object-{number}" for number in range(_OBJECTS if peer.name == FLOOD.name else 0))]:
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"note": "x" * 600}}
            status, answer = await connection.request("POST", CONFIG_MAPS, body)
            if status != 201:
                raise RuntimeError(f"create gave {status}: {answer[:200]!r}")


class _Quiet:
    """The quiet tenant."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self.peer = peer
        self.until = time.perf_counter() + _WARM_UP + seconds
        self.from_ = time.perf_counter() + _WARM_UP
        self.delays = Delays()
        self.created: dict[str, float] = {}
        self.prefix = f"q{secrets.token_hex(4)}"

    async def run(self) -> Delays:
        """Send the requests; return when all have been answered."""
        async with Connection(self.peer) as watching:
            _, listed = await watching.request("GET", f"{CONFIG_MAPS}?limit=1")
            version = json.loads(listed)["metadata"]["resourceVersion"]
            head = self.peer.head("GET", f"{CONFIG_MAPS}?watch=1&timeoutSeconds=600&resourceVersion={version}")
            watching.writer.write(head)
            await watching.reader.readuntil(b"\r\n\r\n")
            events = asyncio.create_task(self._watch(watching))
            await asyncio.gather(self._gets(), self._creates())
            await asyncio.sleep(1)
            if events.done():
                events.result()
            events.cancel()
        return self.delays

    async def _times(self, rate: float) -> Sequence[float]:
        """The times of the requests: evenly apart, but for a random part, so that they fall on no rhythm of the server."""
        steps = int((self.until - time.perf_counter()) * rate)
        start = time.perf_counter()
        return [start + (number + secrets.randbelow(1000) / 1000) / rate for number in range(steps)]

    async def _gets(self) -> None:
        async with Connection(self.peer) as connection:
            for at in await self._times(_GETS_PER_SECOND):
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                await self._measure(self.delays.gets, connection, "GET", f"{CONFIG_MAPS}/seen", None)

    async def _creates(self) -> None:
        async with Connection(self.peer) as connection:
            for number, at in enumerate(await self._times(_CREATES_PER_SECOND)):
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                name = f"{self.prefix}-{number}"
                body = {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": name},
                    "data": {"note": "x" * 600},
                }
                if time.perf_counter() >= self.from_:
                    self.created[name] = time.perf_counter()
                await self._measure(self.delays.creates, connection, "POST", CONFIG_MAPS, body)

    async def _measure(self, into: list[float], connection: Connection, method: str, path: str, body: Any) -> None:
        began = time.perf_counter()
        status, _ = await connection.request(method, path, body)
        if began >= self.from_:
            into.append((time.perf_counter() - began) * 1e3)
            self.delays.refused += status not in (200, 201)

    async def _watch(self, watching: Connection) -> None:
        while True:
            line = await watching.reader.readline()
            now = time.perf_counter()
            if line.startswith(b"{"):
                name = json.loads(line)["object"]["metadata"]["name"]
                if name in self.created:
                    self.delays.deliveries.append((now - self.created.pop(name)) * 1e3)


def _percentiles(delays: list[float]) -> str:
    found = sorted(delays) or [float("nan")]
    return f"{statistics.median(found):8.1f} /{found[min(len(found) - 1, int(len(found) * 0.99))]:7.1f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fairness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", metavar="DIRECTORY", type=Path, help="another checkout, whose kcp to measure too")
    parser.add_argument("--only", metavar="PATTERN", default="", help="measure the floods whose name matches")
    parser.add_argument("--seconds", type=float, default=20, help="duration of each measurement")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each flood; the delays of all count")
    return parser.parse_args()


def main() -> None:
    """Parse the arguments, run, print."""
    options = _arguments()
    checkouts = {"kcp": CHECKOUT} | ({"before": options.before.resolve()} if options.before else {})
    measured: dict[tuple[str, str], Delays] = defaultdict(Delays)
    with ExitStack() as stack:
        urls = {name: stack.enter_context(_server(checkout)) for name, checkout in checkouts.items()}
        for url in urls.values():
            for tenant in (QUIET, FLOOD):
                uvloop.run(_fill(tenant.peer(url)))
        for flood, start in FLOODS.items():
            if not re.search(options.only, flood) and flood != "alone":
                continue
            for number in range(options.rounds):
                for name in list(urls) if number % 2 == 0 else reversed(urls):
                    print(f"{flood}, {name}", flush=True)
                    with start(FLOOD.peer(urls[name])):
                        found = uvloop.run(_Quiet(QUIET.peer(urls[name]), options.seconds).run())
                    print(f"    gets {_percentiles(found.gets)}, creates {_percentiles(found.creates)}", flush=True)
                    total = measured[flood, name]
                    total.gets += found.gets
                    total.creates += found.creates
                    total.deliveries += found.deliveries
                    total.refused += found.refused
    print(f"\n{'flood':<36}{'':<8}{'get p50 / p99 ms':>18}{'create':>18}{'delivery':>18}{'refused':>9}")
    for (flood, name), delays in measured.items():
        columns = "".join(f"{_percentiles(each):>18}" for each in (delays.gets, delays.creates, delays.deliveries))
        print(f"{flood:<36}{name:<8}{columns}{delays.refused:>9}")


if __name__ == "__main__":
    main()
