"""The hub: hands each committed change to the subscriptions that match it, and to nobody else.

Subscriptions of one range form a group. Publishing a change costs a look-up for each of the three ranges that can hold
it; a group then gets its changes in rounds. A change waits for its round the longer the larger the crowd is (a lone
watcher waits for nothing), so that a crowd gets the changes of all writers with one wake-up each, and writers get their
turn between the rounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final

from kcp.store.contract import Event, Range, SlowConsumerError, StoreClosedError

History = Callable[[Range, int, int], list[Event]]
"""Reads past events of a range from disk: (range, after, limit) -> events in order, whole revisions only."""

Follower = Callable[[Sequence[Event]], None]

_HISTORY_CHUNK: Final = 1000
_SHARE: Final = 20e-6
"""Seconds that a change waits for each watcher of its group: about a watcher's part of a round, a wake-up and a send."""
_LONGEST_WAIT: Final = 0.01
_WORTH_A_TIMER: Final = 2e-4


class Batch(list[Event]):
    """Events of one round, shared by the subscriptions of a group. ``cache`` holds encodings of the whole batch."""

    __slots__ = ("cache",)

    def __init__(self, events: Iterable[Event] = ()) -> None:
        super().__init__(events)
        self.cache: dict[object, bytes] = {}


class HubSubscription:
    """One watcher's place in the log: history from disk first, then what the hub hands over."""

    __slots__ = (
        "_batches",
        "_closed",
        "_delivered",
        "_history",
        "_hub",
        "_limit",
        "_lost",
        "_range",
        "_size",
        "_timer",
        "_waiter",
    )

    def __init__(self, hub: Hub, range_: Range, after: int, history: History | None, limit: int) -> None:
        self._hub = hub
        self._range = range_
        self._history = history
        self._batches: list[Batch] = []
        self._size = 0
        self._limit = limit
        self._delivered = after
        self._lost = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def range(self) -> Range:
        """What is watched."""
        return self._range

    @property
    def pending(self) -> bool:
        """`next` has something to give without waiting."""
        return bool(self._batches) or self._history is not None or self._lost

    @property
    def revision(self) -> int:
        """Everything of the range up to here has been handed out."""
        if self.pending:
            return self._delivered
        return max(self._delivered, self._hub.handed_out(self._range))

    def hand_over(self, batch: Batch) -> None:
        """Take live events (called by the hub)."""
        if self._lost:
            return
        self._size += len(batch)
        if self._size > self._limit:
            self._lost = True
            self._batches.clear()
        else:
            self._batches.append(batch)
        self.wake()

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Sequence[Event]]:
        while True:
            batch = await self.next()
            if batch:
                yield batch

    async def next(self, timeout: float | None = None) -> Sequence[Event]:
        """The next batch; empty when the time has passed, or a little earlier.

        Raises SlowConsumerError, StoreClosedError, CompactedError.
        """
        if self._history is not None and (past := self._past()):
            return past
        if not self._batches and not self._lost and not self._closed and not self._hub.closed:
            await self._wait(timeout)
        if self._lost:
            raise SlowConsumerError(self._delivered)
        if self._batches:
            return self._take()
        if self._closed or self._hub.closed:
            raise StoreClosedError("the store is closing")
        return ()

    def _take(self) -> Batch:
        batches, self._batches, self._size = self._batches, [], 0
        batch = batches[0] if len(batches) == 1 else Batch(event for part in batches for event in part)
        if batch[0].revision <= self._delivered:  # handed over while history was read, which had it too
            batch = Batch(event for event in batch if event.revision > self._delivered)
        if batch:
            self._delivered = batch[-1].revision
        return batch

    async def _wait(self, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        if timeout is not None and (
            self._timer is None or self._timer.cancelled() or self._timer.when() > loop.time() + timeout + 0.001
        ):
            # one timer serves many waits (a timer for each costs as much as the wait itself)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_later(timeout, self._on_time)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _on_time(self) -> None:
        self._timer = None
        self.wake()

    def _past(self) -> Sequence[Event]:
        """A chunk of history; what the hub hands over meanwhile waits."""
        assert self._history is not None
        events = self._history(self._range, self._delivered, _HISTORY_CHUNK)
        if len(events) < _HISTORY_CHUNK:
            self._history = None
        if events:
            self._delivered = events[-1].revision
        return events

    def wake(self) -> None:
        """Let a waiting reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Stop at once."""
        if not self._closed:
            self._closed = True
            self._batches.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._hub.remove(self)
            self.wake()


class _Group:
    """The subscriptions of one range, and what waits for their next round."""

    __slots__ = ("scheduled", "subscriptions", "waiting")

    def __init__(self) -> None:
        self.subscriptions: dict[HubSubscription, None] = {}
        self.waiting = Batch()
        self.scheduled = False


class Hub:
    """All subscriptions and followers of one store. Made and used on one event loop."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._groups: dict[Range, _Group] = {}
        self._followers: dict[str | None, list[Follower]] = {}

    def subscribe(self, range_: Range, after: int, history: History | None, limit: int) -> HubSubscription:
        """A place behind ``after``; ``history`` reads what lies between there and now."""
        group = self._groups.get(range_)
        if group is None:
            group = self._groups[range_] = _Group()
        elif group.waiting:
            self._round(group)  # what was published before belongs to those who were there
        subscription = HubSubscription(self, range_, after, history, limit)
        group.subscriptions[subscription] = None
        return subscription

    def remove(self, subscription: HubSubscription) -> None:
        """Forget a closed subscription."""
        group = self._groups.get(subscription.range)
        if group is not None:
            group.subscriptions.pop(subscription, None)
            if not group.subscriptions:
                del self._groups[subscription.range]

    def handed_out(self, range_: Range) -> int:
        """The revision up to which the subscriptions of a range have been given everything."""
        group = self._groups.get(range_)
        return group.waiting[0].revision - 1 if group is not None and group.waiting else self.revision

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
        touched: dict[_Group, None] = {}
        groups = self._groups
        if groups:
            for event in events:
                resource, cluster, namespace, _ = event.key
                for range_ in ((resource, cluster, namespace), (resource, cluster, None), (resource, None, None)):
                    group = groups.get(range_)  # type: ignore[call-overload]  # a Range is its tuple
                    if group is not None:
                        group.waiting.append(event)
                        touched[group] = None
        if self._followers:
            self._tell_followers(events)
        for group in touched:
            if not group.scheduled:
                self._schedule(group)

    def _schedule(self, group: _Group) -> None:
        wait = min(len(group.subscriptions) * _SHARE, _LONGEST_WAIT)
        if wait < _WORTH_A_TIMER:
            self._round(group)
        else:
            group.scheduled = True
            self._loop.call_later(wait, self._round, group)

    def _round(self, group: _Group) -> None:
        group.scheduled = False
        if group.waiting:  # else a newcomer has brought the round forward
            batch, group.waiting = group.waiting, Batch()
            for subscription in list(group.subscriptions):
                subscription.hand_over(batch)

    def _tell_followers(self, events: Sequence[Event]) -> None:
        for callback in list(self._followers.get(None, ())):
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
        for group in list(self._groups.values()):
            if group.waiting:
                self._round(group)
        self.closed = True
        for group in list(self._groups.values()):
            for subscription in list(group.subscriptions):
                subscription.wake()
