"""A tenant with many watches, and writes that reach all of them, until its standard input ends: for `bench.fairness`.

python -m bench.flood_watches URL TOKEN WATCHES WRITES_PER_SECOND
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import uvloop

from bench.client import Connection, Peer

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_AT_ONCE = 50
_PATIENCE = 90


class _Watch(asyncio.BufferedProtocol):
    """A watch that reads and forgets."""

    buffer = bytearray(1 << 18)
    received = 0

    def __init__(self, answered: asyncio.Future[None]) -> None:
        self._answered = answered

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - the protocol's name
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        _Watch.received += count
        if not self._answered.done():
            self._answered.set_result(None)


async def _watch(peer: Peer) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[None] = loop.create_future()
    transport, _ = await loop.create_connection(lambda: _Watch(answered), peer.host, peer.port, ssl=peer.tls)
    transport.write(peer.head("GET", f"{CONFIG_MAPS}?watch=1&timeoutSeconds=3600"))
    await asyncio.wait_for(answered, _PATIENCE)
    return transport


async def _write(peer: Peer, interval: float) -> None:
    number = 0
    async with Connection(peer) as connection:
        while True:
            number += 1
            body = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "watched"},
                "data": {"n": str(number)},
            }
            status, answer = await connection.request("PUT", f"{CONFIG_MAPS}/watched", body)
            if status == 404:
                status, answer = await connection.request("POST", CONFIG_MAPS, body)
            if status not in (200, 201):
                raise RuntimeError(f"the write gave {status}: {answer[:200]!r}")
            await asyncio.sleep(interval)


async def _run(peer: Peer, watches: int, rate: float) -> None:
    opened: list[asyncio.Transport] = []
    for first in range(0, watches, _AT_ONCE):
        opened += await asyncio.gather(*(_watch(peer) for _ in range(first, min(first + _AT_ONCE, watches))))
    _Watch.received = 0
    writing = asyncio.create_task(_write(peer, 1 / rate))
    print("flooding", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    writing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await writing
    print(_Watch.received, flush=True)
    for transport in opened:
        transport.abort()


def main() -> None:
    """Open the watches, say that they are open, and write until the standard input ends; then print the bytes received."""
    url, token, watches, rate = sys.argv[1:5]
    uvloop.run(_run(Peer("flood", url, token), int(watches), float(rate)))


if __name__ == "__main__":
    main()
