"""The hub: hands each committed change to the subscriptions that match it, and to nobody else.

Subscriptions are kept by range, so that publishing one change costs three look-ups and a step for each match, however
many others wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from kcp.store.contract import Event, Range, SlowConsumerError, StoreClosedError

History = Callable[[Range, int, int], list[Event]]
"""Reads past events of a range from disk: (range, after, limit) -> events in order, whole revisions only."""

Follower = Callable[[Sequence[Event]], None]
_HISTORY_CHUNK = 1000


class HubSubscription:
    """One watcher's place in the log: history from disk first, then what the hub hands over."""

    __slots__ = (
        "_buffer",
        "_closed",
        "_delivered",
        "_history",
        "_hub",
        "_limit",
        "_lost",
        "_range",
        "_seen",
        "_waiter",
    )

    def __init__(self, hub: Hub, range_: Range, after: int, history: History | None, limit: int) -> None:
        self._hub = hub
        self._range = range_
        self._history = history
        self._buffer: list[Event] = []
        self._limit = limit
        self._delivered = after
        self._seen = after
        self._lost = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def range(self) -> Range:
        """What is watched."""
        return self._range

    @property
    def revision(self) -> int:
        """Everything of the range up to here has been handed out."""
        if self._buffer or self._history is not None or self._lost:
            return self._delivered
        return max(self._delivered, self._hub.revision)

    def hand_over(self, event: Event) -> None:
        """Take a live event (called by the hub)."""
        if self._lost:
            return
        if len(self._buffer) >= self._limit:
            self._lost = True
            self._buffer.clear()
        else:
            self._buffer.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        return self._batches()

    async def _batches(self) -> AsyncIterator[Sequence[Event]]:
        while True:
            batch = await self.next()
            if batch:
                yield batch

    async def next(self, timeout: float | None = None) -> Sequence[Event]:
        """The next batch; empty when the time has passed. Raises SlowConsumerError, StoreClosedError, CompactedError."""
        if self._history is not None and (past := self._past()):
            return past
        if not self._buffer and not self._lost and not self._closed and not self._hub.closed:
            await self._wait(timeout)
        if self._lost:
            raise SlowConsumerError(self._delivered)
        if self._buffer:
            batch, self._buffer = self._buffer, []
            self._delivered = batch[-1].revision
            return batch
        if self._closed or self._hub.closed:
            raise StoreClosedError("the store is closing")
        return ()

    async def _wait(self, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(timeout, _finish, waiter) if timeout is not None else None
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _past(self) -> Sequence[Event]:
        """A chunk of history. What the hub handed over meanwhile is in the buffer: the two are joined without repeats."""
        assert self._history is not None
        events = self._history(self._range, self._delivered, _HISTORY_CHUNK)
        if len(events) < _HISTORY_CHUNK:
            self._history = None
            newest = events[-1].revision if events else self._delivered
            self._buffer = [event for event in self._buffer if event.revision > newest]
        if events:
            self._delivered = events[-1].revision
        return events

    def wake(self) -> None:
        """Let a waiting reader look again (the hub is closing)."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Stop at once."""
        if not self._closed:
            self._closed = True
            self._buffer.clear()
            self._hub.remove(self)
            self.wake()


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Hub:
    """All subscriptions and followers of one store."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.closed = False
        self._subscriptions: dict[Range, dict[HubSubscription, None]] = {}
        self._followers: dict[str | None, list[Follower]] = {}

    def subscribe(self, range_: Range, after: int, history: History | None, limit: int) -> HubSubscription:
        """A place behind ``after``; ``history`` reads what lies between there and now."""
        subscription = HubSubscription(self, range_, after, history, limit)
        self._subscriptions.setdefault(range_, {})[subscription] = None
        return subscription

    def remove(self, subscription: HubSubscription) -> None:
        """Forget a closed subscription."""
        group = self._subscriptions.get(subscription.range)
        if group is not None:
            group.pop(subscription, None)
            if not group:
                del self._subscriptions[subscription.range]

    def follow(self, resource: str | None, callback: Follower) -> Callable[[], None]:
        """Call back with each batch of a resource's changes; returns the undo."""
        self._followers.setdefault(resource, []).append(callback)

        def undo() -> None:
            callbacks = self._followers.get(resource, [])
            if callback in callbacks:
                callbacks.remove(callback)

        return undo

    def publish(self, events: Sequence[Event], revision: int) -> None:
        """Hand out committed changes, in order, and move on to ``revision``."""
        self.revision = revision
        for event in events:
            key = event.key
            for range_ in (
                Range(key.resource, key.cluster, key.namespace),
                Range(key.resource, key.cluster),
                Range(key.resource),
            ):
                if group := self._subscriptions.get(range_):
                    for subscription in list(group):
                        subscription.hand_over(event)
        if self._followers:
            self._tell_followers(events)

    def _tell_followers(self, events: Sequence[Event]) -> None:
        for callback in self._followers.get(None, ()):
            callback(events)
        by_resource: dict[str, list[Event]] = {}
        for event in events:
            if event.key.resource in self._followers:
                by_resource.setdefault(event.key.resource, []).append(event)
        for resource, batch in by_resource.items():
            for callback in list(self._followers[resource]):
                callback(batch)

    def close(self) -> None:
        """End every subscription."""
        self.closed = True
        for group in list(self._subscriptions.values()):
            for subscription in list(group):
                subscription.wake()
