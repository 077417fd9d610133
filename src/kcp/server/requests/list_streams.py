"""Limits on large lists that are being sent: how many at a time, and how long a client may accept nothing.

A list that streams holds some megabytes in memory: what is read ahead of the client, and what the HTTP server has queued for it.
Further lists wait: the next to be sent is one of the client that is sent the fewest. A client that accepts nothing while others
wait makes room: its response is truncated. A large list does not count as in flight (`inflight`), so that clients
that do not read keep no other requests from being served; how many lists wait is limited instead, for each client and for all.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from types import TracebackType
from typing import Final, Protocol

from kcp.api import errors
from kcp.server.requests.asgi import TruncatedResponseError

STREAMS: Final = 32
WAITING: Final = 1024
WAITING_OF_CLIENT: Final = 512
"""How many lists may wait: of all clients, and of one."""
LIST_STALLED_AFTER: Final = 5.0
"""Seconds without progress after which a list makes room for one that waits."""
_SLOW_AFTER: Final = 60.0
_SLOWEST: Final = 64 * 1024
"""Seconds after which a list makes room for one that waits if its client has accepted fewer bytes a second."""
_CHECK: Final = 0.5
_MOST_PER_FREE: Final = 3
"""A client is sent at most this many times as many lists as could be added."""


class Sending(Protocol):
    """A response that is being sent."""

    @property
    def client(self) -> str:
        """The name of the client."""

    @property
    def sending_since(self) -> float:
        """Since when the client has accepted nothing, on the monotonic clock; 0 while nothing waits."""

    @property
    def sent(self) -> int:
        """Bytes that have been sent."""


class ListStreams:
    """The large lists that are being sent."""

    def __init__(self, limit: int = STREAMS, stalled_after: float = LIST_STALLED_AFTER) -> None:
        self._limit = limit
        self._stalled_after = stalled_after
        self._running: dict[ListStream, None] = {}
        self._waiting: dict[ListStream, asyncio.Future[None]] = {}
        """The lists that wait for others to end."""

    @property
    def running(self) -> int:
        """The number of lists that are being sent."""
        return len(self._running)

    def must_wait(self, client: str) -> bool:
        """Whether a further list of a client must wait: the last ones of all are kept for clients that are sent few."""
        free = self._limit - len(self._running)
        return sum(each.sending.client == client for each in self._running) >= _MOST_PER_FREE * free

    def stream(self, sending: Sending) -> ListStream:
        """Return an asynchronous context manager that waits until the list may be sent; it is sent inside.

        Entering raises StatusError 429 when too many lists wait. Inside, TruncatedResponseError is raised when the list must make
        room.
        """
        return ListStream(self, sending)

    async def add(self, stream: ListStream) -> None:
        """Wait until fewer lists are being sent than the limit, and count this one. Raises StatusError 429 when too many wait."""
        client, waiting = stream.sending.client, self._waiting
        if not self.must_wait(client):
            self._running[stream] = None
            return
        if len(waiting) >= WAITING or sum(each.sending.client == client for each in waiting) >= WAITING_OF_CLIENT:
            raise errors.too_many_requests("Too many large lists are being sent, please try again later.")
        admitted = waiting[stream] = asyncio.get_running_loop().create_future()
        try:
            while not admitted.done():
                await asyncio.wait((admitted,), timeout=_CHECK)
                if not admitted.done():
                    self._end_slowest()
        except asyncio.CancelledError:
            self.remove(stream)
            raise

    def remove(self, stream: ListStream) -> None:
        """Count off a list, which may still wait. The next one that waits takes its place."""
        self._waiting.pop(stream, None)
        self._running.pop(stream, None)
        if self._waiting:
            running = Counter(each.sending.client for each in self._running)
            admitted = min(self._waiting, key=lambda each: running[each.sending.client])
            if self.must_wait(admitted.sending.client):
                return
            self._running[admitted] = None
            self._waiting.pop(admitted).set_result(None)

    def _end_slowest(self) -> None:
        """End the list whose client has accepted nothing for longest, else one whose client reads very slowly."""
        now = time.monotonic()
        stalled = [each for each in self._running if 0.0 < each.sending.sending_since < now - self._stalled_after]
        if stalled:
            min(stalled, key=lambda each: each.sending.sending_since).end()
            return
        for each in self._running:
            lasted = now - each.began
            if lasted > _SLOW_AFTER and each.sending.sent < lasted * _SLOWEST:
                each.end()
                return


class ListStream:
    """One list, made by `ListStreams.stream` for one ``async with`` statement."""

    __slots__ = ("_cancelling", "_ended", "_streams", "_task", "began", "sending")

    def __init__(self, streams: ListStreams, sending: Sending) -> None:
        self._streams = streams
        self.began = math.inf
        self.sending = sending
        self._ended = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        await self._streams.add(self)
        self.began = time.monotonic()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._streams.remove(self)
        if self._ended and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TruncatedResponseError("the client did not read while other lists waited") from error

    def end(self) -> None:
        """Truncate the response: it makes room for another list."""
        self._ended = True
        self._streams.remove(self)
        self._task.cancel()
