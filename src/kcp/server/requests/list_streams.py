"""Limits on large lists that are being sent: how many at a time, and how long a client may accept nothing.

A list that streams holds some megabytes in memory: what is read ahead of the client, and what the HTTP server has queued for it.
Further lists wait for their turn. A client that accepts nothing while others wait loses its turn: its response is truncated.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from types import TracebackType
from typing import Final, Protocol

from kcp.server.requests.asgi import TruncatedResponseError

STREAMS: Final = 32
STALLED_AFTER: Final = 5.0
"""Seconds without progress after which a list makes room for one that waits."""
_CHECK: Final = 0.5


class Sending(Protocol):
    """A response that is being sent."""

    @property
    def sending_since(self) -> float:
        """Since when the client has accepted nothing, on the monotonic clock; 0 while nothing waits."""


class ListStreams:
    """The large lists that are being sent."""

    def __init__(self, limit: int = STREAMS, stalled_after: float = STALLED_AFTER) -> None:
        self._limit = limit
        self._stalled_after = stalled_after
        self._running: dict[ListStream, None] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def running(self) -> int:
        """The number of lists that are being sent."""
        return len(self._running)

    @property
    def full(self) -> bool:
        """Whether a further list must wait."""
        return len(self._running) >= self._limit

    def turn(self, sending: Sending) -> ListStream:
        """Return an asynchronous context manager that waits for the turn of a list; the list is sent inside.

        Inside, TruncatedResponseError is raised when the list must make room.
        """
        return ListStream(self, sending)

    async def wait(self) -> None:
        """Wait until fewer lists are being sent than the limit."""
        loop = asyncio.get_running_loop()
        while len(self._running) >= self._limit:
            turn = loop.create_future()
            self._waiting.append(turn)
            try:
                await asyncio.wait((turn,), timeout=_CHECK)
            finally:
                if not turn.done():
                    self._waiting.remove(turn)
            if not turn.done():
                self._end_longest_stalled()

    def add(self, stream: ListStream) -> None:
        """Count a list."""
        self._running[stream] = None

    def remove(self, stream: ListStream) -> None:
        """Count off a list: the next one that waits goes on."""
        self._running.pop(stream, None)
        while self._waiting and len(self._running) < self._limit:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _end_longest_stalled(self) -> None:
        latest = time.monotonic() - self._stalled_after
        stalled = [stream for stream in self._running if 0.0 < stream.sending.sending_since < latest]
        if stalled:
            min(stalled, key=lambda stream: stream.sending.sending_since).end()


class ListStream:
    """One list, made by `ListStreams.turn` for one ``async with`` statement."""

    __slots__ = ("_cancelling", "_ended", "_streams", "_task", "sending")

    def __init__(self, streams: ListStreams, sending: Sending) -> None:
        self._streams = streams
        self.sending = sending
        self._ended = False

    async def __aenter__(self) -> None:
        await self._streams.wait()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._streams.add(self)

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
