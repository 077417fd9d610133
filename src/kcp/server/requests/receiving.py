"""Limits on bodies: how many bodies, and how many bytes of them, the server receives at the same time.

A client may send a body as slowly as the request timeout allows, so a request does not count as in flight until its body has
arrived (`inflight`). Bodies have limits of their own, for each client and for the server. When the server reaches its limit, a
body of the client that uses most is refused: clients that send slowly cannot keep the others from sending. A body that has
arrived as a whole when it is asked for is not counted, nor is the last part of another: the server waits for nothing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, NamedTuple, Self

from kcp.api import errors
from kcp.server.requests.deadlines import Deadline, Deadlines

CLOSE: Final = ((b"connection", b"close"),)
"""The header fields of a refusal before the end of the body."""


class ReceivingLimits(NamedTuple):
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

    def __init__(self, deadlines: Deadlines, limits: ReceivingLimits | None = None) -> None:
        """``deadlines`` limit the time in which a client must send a body."""
        self.deadlines = deadlines
        self.limits = limits if limits is not None else ReceivingLimits()
        self.bodies = 0
        self.bytes = 0
        self._clients: dict[str, _Client] = {}

    def start(self, name: str) -> Reception:
        """Return a context manager for the reception of a body from a client. Raises StatusError 429 over the client's limit.

        Inside, `Reception.grow` and every wait raise StatusError 429 when this body must make room, and every wait raises
        TimeoutError when the body takes too long.
        """
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = _Client(name)
        elif len(client.bodies) >= self.limits.client_bodies:
            raise _refusal()
        if self.bodies >= self.limits.bodies:
            self._make_room(client, by_bytes=False)
        return Reception(self, client)

    def remove(self, reception: Reception, client: _Client) -> None:
        """Count off a body and its bytes."""
        bodies = client.bodies
        del bodies[reception]
        self.bodies -= 1
        if reception.size:
            client.bytes -= reception.size
            self.bytes -= reception.size
        if not bodies:
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


class Reception(Deadline):
    """The reception of one body, made by `Receiving.start` for one ``with`` statement. It counts while the client sends."""

    __slots__ = ("_client", "_counted", "_receiving", "size")

    def __init__(self, receiving: Receiving, client: _Client) -> None:
        self._deadlines = receiving.deadlines
        self._reason = None
        self._receiving = receiving
        self._client = client
        self._counted = False
        self.size = 0

    def __enter__(self) -> Self:
        self._client.bodies[self] = None
        self._receiving.bodies += 1
        self._counted = True
        return Deadline.__enter__(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._counted:
            self._receiving.remove(self, self._client)
        Deadline.__exit__(self, kind, error, trace)

    def grow(self, size: int) -> None:
        """Count bytes that have arrived, of a body that is not complete. Raises StatusError 429."""
        if self._counted:
            self.size += size
            self._receiving.grow(self._client, size)

    def abort(self) -> None:
        """Refuse the body: it makes room for that of another client."""
        self._counted = False
        self._receiving.remove(self, self._client)
        self.interrupt(_refusal())


def _refusal() -> errors.StatusError:
    refusal = errors.too_many_requests("Too many request bodies are being received, please try again later.")
    refusal.headers = CLOSE
    return refusal
