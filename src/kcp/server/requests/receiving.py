"""Admission of bodies: how many bodies, and how many bytes of them, the server receives at the same time.

A client may send a body as slowly as the request timeout allows, so a request does not count as in flight until its body has
arrived (`inflight`). Bodies have limits of their own, for each client and for the server. When the server reaches its limit, a
body of the client that uses most is refused: clients that send slowly cannot keep the others from sending.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from kcp.api import errors

CLOSE: Final = ((b"connection", b"close"),)
"""The header fields of a refusal before the end of the body."""


@dataclass(frozen=True, slots=True)
class ReceivingLimits:
    """The most bodies and bytes of bodies that are received at the same time, of one client and of all."""

    client_bodies: int = 512
    client_bytes: int = 48 << 20
    bodies: int = 1024
    bytes: int = 96 << 20


class _Client:
    """The bodies of one client that are being received, the oldest first, and their bytes."""

    __slots__ = ("bodies", "bytes", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.bodies: dict[Reception, None] = {}
        self.bytes = 0


class Receiving:
    """The bodies that are being received."""

    def __init__(self, limits: ReceivingLimits | None = None) -> None:
        self.limits = limits if limits is not None else ReceivingLimits()
        self.bodies = 0
        self.bytes = 0
        self._clients: dict[str, _Client] = {}

    def start(self, name: str) -> Reception:
        """Return a context manager for the reception of a body from a client. Raises StatusError 429 over the client's limit.

        Inside, `Reception.grow` and every wait raise StatusError 429 when this body must make room.
        """
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = _Client(name)
        elif len(client.bodies) >= self.limits.client_bodies:
            raise _refusal()
        if self.bodies >= self.limits.bodies:
            self._make_room(client, by_bytes=False)
        return Reception(self, client)

    def add(self, reception: Reception, client: _Client) -> None:
        """Count a body."""
        client.bodies[reception] = None
        self.bodies += 1

    def remove(self, reception: Reception, client: _Client) -> None:
        """Count off a body and its bytes."""
        del client.bodies[reception]
        self.bodies -= 1
        client.bytes -= reception.size
        self.bytes -= reception.size
        if not client.bodies:
            self._clients.pop(client.name, None)

    def grow(self, client: _Client, size: int) -> None:
        """Count bytes of a body. Raises StatusError 429 over the client's limit."""
        client.bytes += size
        self.bytes += size
        if client.bytes > self.limits.client_bytes:
            raise _refusal()
        while self.bytes > self.limits.bytes:
            self._make_room(client, by_bytes=True)

    def _make_room(self, client: _Client, *, by_bytes: bool) -> None:
        """Refuse the oldest body of the client that uses most. Raises StatusError 429 if that is this client itself."""
        most = max(self._clients.values(), key=lambda each: each.bytes if by_bytes else len(each.bodies))
        if most is client:
            raise _refusal()
        next(iter(most.bodies)).abort()


class Reception:
    """The reception of one body, made by `Receiving.start` for one ``with`` statement."""

    __slots__ = ("_aborted", "_cancelling", "_client", "_receiving", "_task", "size")

    def __init__(self, receiving: Receiving, client: _Client) -> None:
        self._receiving = receiving
        self._client = client
        self._aborted = False
        self.size = 0

    def __enter__(self) -> Reception:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._receiving.add(self, self._client)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self._aborted:
            self._receiving.remove(self, self._client)
            return
        assert self._task is not None
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise _refusal() from error

    def grow(self, size: int) -> None:
        """Count bytes that have arrived. Raises StatusError 429."""
        if not self._aborted:
            self.size += size
            self._receiving.grow(self._client, size)

    def abort(self) -> None:
        """Refuse the body: it makes room for that of another client."""
        self._aborted = True
        self._receiving.remove(self, self._client)
        assert self._task is not None
        self._task.cancel()


def _refusal() -> errors.StatusError:
    refusal = errors.too_many_requests("Too many request bodies are being received, please try again later.")
    refusal.headers = CLOSE
    return refusal
