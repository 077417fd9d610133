"""``python -m bench.fairness_of_the_loop``: how long the event loop works until a quiet tenant's get is answered, beside a flood.

The application is called directly, without an HTTP server and clients, and what is measured is the processor time of the event
loop's thread between the arrival of a request and its answer: other load on the machine does not disturb it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from bench.fair_server import Owners
from kcp.server.process.configuration import Configuration
from kcp.server.process.parts import Parts
from kcp.server.process.running import ServerProcess
from kcp.server.requests.application import Application

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_OBJECTS = 5000
_NEW_OBJECTS_FOR_A_COLLECTION = 200_000
"""As in `kcp start`."""
_PAUSE = 0.004
_AT_ONCE = 16
_WATCHES = 5000
_WRITES_PER_SECOND = 10


class _Accepted:
    """What an HTTP server returns for a part of a response that it has accepted."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


_ACCEPTED = _Accepted()


class Tenant:
    """A user, whose requests call the application."""

    def __init__(self, application: Application, name: str, number: int = 0) -> None:
        """``number`` is that of its last object."""
        self._application = application
        self._name = name
        self._number = number

    async def request(self, method: str, path: str, body: bytes = b"", token: str = "") -> None:
        """Send a request; return when it has been answered."""

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(_: Any) -> None: ...

        await asyncio.create_task(self._application(self._scope(method, path, token), receive, send))

    async def watch(self) -> None:
        """Watch, from now on, as a client that accepts everything at once."""

        async def receive() -> dict[str, Any]:
            leaves: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            return await leaves

        scope = self._scope("GET", CONFIG_MAPS) | {"query_string": b"watch=1&sendInitialEvents=false"}
        scope["query_string"] += b"&resourceVersionMatch=NotOlderThan&timeoutSeconds=3600"
        await self._application(scope, receive, lambda _: _ACCEPTED)

    def _scope(self, method: str, path: str, token: str = "") -> dict[str, Any]:
        path = f"/clusters/{self._name}{path}"
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token or self._name}".encode())]
        headers += [(b"accept", b"application/json"), (b"content-type", b"application/json")]
        scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": method, "path": path}
        scope |= {"raw_path": path.encode(), "query_string": b"", "headers": headers, "client": ("192.0.2.1", 1)}
        return scope

    async def create(self, size: int = 600) -> None:
        """Create an object."""
        self._number += 1
        metadata = {"name": f"{self._name}-{self._number}"}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"note": "x" * size}}
        await self.request("POST", CONFIG_MAPS, json.dumps(body).encode())

    async def get(self) -> None:
        """Get an object."""
        await self.request("GET", f"{CONFIG_MAPS}/{self._name}-1")


Send = Callable[[Tenant], Awaitable[None]]
Flood = Callable[[Tenant], Sequence[Coroutine[Any, Any, None]]]
"""Returns what a tenant that floods the server does at a time, without an end."""


def _each(count: int, send: Send) -> Flood:
    async def keep_sending(tenant: Tenant) -> None:
        while True:
            await send(tenant)

    return lambda tenant: [keep_sending(tenant) for _ in range(count)]


def _watches(tenant: Tenant) -> Sequence[Coroutine[Any, Any, None]]:
    async def keep_writing() -> None:
        while True:
            await tenant.create()
            await asyncio.sleep(1 / _WRITES_PER_SECOND)

    return [*(tenant.watch() for _ in range(_WATCHES)), keep_writing()]


FLOODS: dict[str, Flood] = {
    "alone": _each(0, Tenant.get),
    "gets, 16 at a time": _each(16, Tenant.get),
    "gets, 64 at a time": _each(64, Tenant.get),
    "gets, 1,000 at a time": _each(1000, Tenant.get),
    "gets with a wrong token, 64": _each(64, lambda tenant: tenant.request("GET", CONFIG_MAPS, token="unknown")),
    "lists of 5,000 objects, 16": _each(16, lambda tenant: tenant.request("GET", CONFIG_MAPS)),
    "5,000 watches, 10 writes a second": _watches,
    "creates, 64": _each(64, Tenant.create),
}


async def _measure(application: Application, flood: Flood, requests: int) -> list[float]:
    quiet = Tenant(application, "quiet")
    flooding = [asyncio.create_task(each) for each in flood(Tenant(application, "flood", time.monotonic_ns()))]
    await asyncio.sleep(_PAUSE * len(flooding) / _AT_ONCE)  # until they have begun
    found = []
    for _ in range(requests):
        await asyncio.sleep(_PAUSE)
        began = time.thread_time()
        await quiet.get()
        found.append((time.thread_time() - began) * 1e3)
    for task in flooding:
        task.cancel()
    await asyncio.gather(*flooding, return_exceptions=True)
    return sorted(found)


async def _run(only: str, requests: int) -> None:
    with tempfile.TemporaryDirectory(prefix="kcp-bench-") as root:
        tokens = Path(root) / "tokens.csv"
        tokens.write_text("quiet,quiet,quiet\nflood,flood,flood\n")
        configuration = Configuration(root_directory=Path(root), secure_port=0, token_auth_file=tokens)
        process = ServerProcess(configuration, Parts(authorizers=lambda _: [Owners()]))
        await process.start()
        assert process.composition is not None
        application = process.composition.application
        await Tenant(application, "quiet").create()
        flood = Tenant(application, "flood")
        await flood.create()
        await asyncio.gather(*(flood.create() for _ in range(150)))
        for _ in range(_OBJECTS // 150):
            await asyncio.gather(*(flood.create() for _ in range(150)))
        for name, each in FLOODS.items():
            if not re.search(only, name):
                continue
            found = await _measure(application, each, requests)
            p99 = found[int(len(found) * 0.99)]
            print(f"{name:<32}{statistics.median(found):>8.2f}{p99:>8.2f}", flush=True)
        await process.stop()


def main() -> None:
    """Run, and print the median and the 99th percentile in milliseconds."""
    parser = argparse.ArgumentParser(prog="python -m bench.fairness_of_the_loop", description=__doc__)
    parser.add_argument("--only", metavar="PATTERN", default="", help="measure the floods whose name matches")
    parser.add_argument("--requests", type=int, default=200, help="gets of the quiet tenant beside each flood")
    options = parser.parse_args()
    gc.set_threshold(_NEW_OBJECTS_FOR_A_COLLECTION)
    uvloop.run(_run(options.only, options.requests))


if __name__ == "__main__":
    main()
