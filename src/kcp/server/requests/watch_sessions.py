"""One running watch: whether it goes on, and the means to push to it or end it from elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kcp.registry.verbs.watching import WatchStream, joined
from kcp.server.requests.exchanges import SLICE, Exchange


class WatchSession:
    """A running watch. Its task sends; the hub may push events while the task waits.

    ``waiting``: the task waits for events. ``events`` counts those sent.
    """

    __slots__ = (
        "_last_revision",
        "_task",
        "_watch",
        "aborted",
        "ended",
        "events",
        "exchange",
        "waiting",
    )

    def __init__(self, exchange: Exchange, watch: WatchStream) -> None:
        self._task = asyncio.current_task()
        self._watch = watch
        self._last_revision: int | None = None
        self.exchange = exchange
        self.ended = False
        self.waiting = False
        self.aborted = False
        self.events = 0

    @property
    def transport(self) -> str:
        """The protocol, as metrics name it."""
        return self.exchange.transport

    @property
    def sending_since(self) -> float:
        """The time since which the client has not accepted what is being sent; 0 while nothing waits."""
        return self.exchange.sending_since

    @property
    def can_push(self) -> bool:
        """Whether `push` may be used: the HTTP server buffers what is sent, and no last revision is set."""
        return self.exchange.can_push and self._last_revision is None

    def push(self, frames: Sequence[bytes]) -> bool:
        """Send events without waking the task, unless the client does not keep up."""
        part = joined(frames)
        if len(part) > SLICE:
            return False  # the task sends it, in slices
        self.events += len(frames)
        if not self.exchange.push(part):
            self._watch.wake()
        return True

    def on_client_gone(self, _: object = None) -> None:
        """End the watch because the client has disconnected."""
        self.end()

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be sent."""
        watch = self._watch
        if self.ended:
            return True
        return self._last_revision is not None and not watch.pending and watch.revision >= self._last_revision

    def end_after(self, revision: int) -> None:
        """End the watch when everything up to a revision has been sent."""
        if self._last_revision is None:
            self._last_revision = revision
            if self.finished:
                self.end()
            else:
                self._watch.wake()  # from now on the task checks after each batch whether it was the last

    def end(self, *, abort: bool = False) -> None:
        """End the watch: after the batch that is being sent, or at once with ``abort``."""
        already, self.ended = self.ended, True
        self.aborted = self.aborted or abort
        if self._task is not None and ((self.waiting and not already) or abort):
            self._task.cancel()
