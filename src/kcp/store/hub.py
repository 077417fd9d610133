"""The hub: hands each committed change to the subscriptions that match it, and to nobody else.

Subscriptions of one range form a group. Publishing a change costs a look-up for each of the four ranges that can hold
it; a group then gets its changes in rounds. Rounds are the further apart the larger the crowd is, and begin the later: a
lone watcher waits for nothing, a crowd some milliseconds, so that it gets the changes of all writers with one send each, and
writers get their turn between the rounds. What a watcher costs in a round is its send (TLS and the system call, some 12 us in
the HTTP server's threads) and 4 us of the event loop, where it leaves a sink instead of being woken; else 11 us.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final, NamedTuple

from kcp.logical_clusters import WILDCARD
from kcp.store.contract import Event, Range, SlowConsumerError, StoreClosedError

log: Final = logging.getLogger(__name__)


class Past(NamedTuple):
    """A piece of history: the events of a range, and the revision up to which the log has been read for them."""

    events: list[Event]
    through: int


History = Callable[[Range, int], Past]
"""Reads the next piece of a range's history behind a revision: whole revisions, some progress each time."""
Follower = Callable[[Sequence[Event]], None]
_Part = tuple[str, str, str | None]
Sink = Callable[[Sequence[Event]], bool]
"""Takes a batch in a subscription's place, without awaiting; false when the reader must come for it."""

_SHARE: Final = 30e-6
"""Seconds from one round to the next for each watcher: nearly twice its part of a round in all threads of the server. With 20
or 40 for each of 500, four writers that never wait got 0.94 and 1.3 times the events out, 0.9 and 1.3 times as late (p99)."""
_LONGEST_WAIT: Final = 0.02
_GATHER: Final = 5e-6
"""Seconds for each watcher that a round waits for the changes of other writers: a third of what a round of its own costs."""
_LONGEST_GATHER: Final = 0.003
_WORTH_A_TIMER: Final = 2e-4
_LOOP_SHARE: Final = 0.001
"""Seconds of passing a round on after which others get the event loop."""


class Batch(list[Event]):
    """Events of one round, shared by the subscriptions of a group. ``cache`` holds encodings of the whole batch."""

    __slots__ = ("cache",)

    def __init__(self, events: Iterable[Event] = ()) -> None:
        super().__init__(events)
        self.cache: dict[object, object] = {}


_NOTHING: Final = Batch()
"""Never added to: a buffer that is not the subscription's own is replaced, not changed."""


class HubSubscription:
    """One watcher's place in the log: history from disk first, then what the hub hands over.

    It joins the hub in the moment in which it has read everything published, on the loop and without awaiting in
    between: no event can be missed or come twice, and a long history fills no buffer.

    A reader that waits may leave a sink, which is given the batches as they come while the reader sleeps on: that spares
    a future, a turn of the event loop and the steps of a task for each watcher and round.
    """

    __slots__ = (
        "_buffer",
        "_closed",
        "_delivered",
        "_history",
        "_hub",
        "_limit",
        "_lost",
        "_owned",
        "_range",
        "_sink",
        "_started",
        "_timer",
        "_waiter",
    )

    def __init__(self, hub: Hub, range_: Range, after: int, history: History | None, limit: int) -> None:
        self._hub = hub
        self._range = range_
        self._history = history
        self._buffer = _NOTHING
        self._owned = False
        self._limit = limit
        self._delivered = after
        self._started = False
        self._lost = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def range(self) -> Range:
        """What is watched."""
        return self._range

    @property
    def pending(self) -> bool:
        """`next` has something to give without waiting."""
        return bool(self._buffer) or self._history is not None or self._lost

    @property
    def revision(self) -> int:
        """Everything of the range up to here has been handed out."""
        if self._buffer or self._history is not None or self._lost or self._closed:
            return self._delivered
        return max(self._delivered, self._hub.handed_out(self._range))

    def hand_over(self, events: Batch) -> bool:
        """Take the matching events of one batch (called by the hub); returns whether `pass_on` must follow.

        The list is shared by all: it must not change.
        """
        buffer = self._buffer
        if not buffer:
            self._buffer = events  # however large: one batch is bounded, and whoever keeps up must not be ended by it
            self._owned = False
            if self._sink is not None:
                return True
        elif len(buffer) + len(events) > self._limit:
            self.lose()
        elif self._owned:
            buffer += events
        else:
            self._buffer = Batch([*buffer, *events])
            self._owned = True
        if self._sink is None:
            self.wake()
        return False

    def pass_on(self) -> None:
        """Give the sink what was handed over (called by the hub), or let the reader come for it."""
        batch, sink = self._buffer, self._sink
        if not batch or sink is None:
            return
        try:
            taken = sink(batch)
        except Exception:
            self.wake()  # the reader comes upon the same error, where it can be answered
            return
        if taken:
            self._delivered = batch[-1].revision
            self._buffer = _NOTHING
        else:
            self.wake()

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        return self._batches()

    async def _batches(self) -> AsyncIterator[Sequence[Event]]:
        while True:
            batch = await self.next()
            if batch:
                yield batch

    async def next(self, timeout: float | None = None, sink: Sink | None = None) -> Sequence[Event]:
        """The next batch; empty when the time has passed, or a little earlier.

        Batches that come while it waits go to the ``sink``, and it returns with the first that the sink does not take.

        Raises SlowConsumerError, StoreClosedError, CompactedError.
        """
        while self._history is not None:
            if self._started:
                await asyncio.sleep(0)  # a long history: let others run between its pieces, whoever reads them
            self._started = True
            if events := self._replay(self._history):
                return events
        if not self._buffer and not self._lost and not self._closed and not self._hub.closed:
            await self._wait(timeout, sink)
        if self._lost:
            raise SlowConsumerError(self._delivered)
        if self._buffer:
            batch, self._buffer = self._buffer, _NOTHING
            self._delivered = batch[-1].revision
            return batch
        if self._closed or self._hub.closed:
            raise StoreClosedError("the store is closing")
        return ()

    async def _wait(self, timeout: float | None, sink: Sink | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        self._sink = sink
        if timeout is not None and (self._timer is None or self._timer.when() > loop.time() + timeout):
            # one timer serves many waits: a timer for each costs as much as the wait itself
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_later(timeout, self._on_time)
        try:
            await self._waiter
        finally:
            self._waiter = self._sink = None

    def _on_time(self) -> None:
        self._timer = None
        self.wake()

    def _replay(self, history: History) -> list[Event]:
        if self._closed or self._hub.closed:
            raise StoreClosedError("the store is closing")
        past = history(self._range, self._delivered)
        self._delivered = past.through
        if past.through >= self._hub.revision:
            self._history = None
            self._hub.add(self)
        return past.events

    def lose(self) -> None:
        """Changes have been missed: whoever reads this must begin anew."""
        self._lost = True
        self._buffer = _NOTHING
        self._hub.remove(self)
        self.wake()

    def wake(self) -> None:
        """Let a waiting reader look again; what comes from now on is the reader's."""
        self._sink = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Stop at once; the buffer is dropped."""
        if not self._closed:
            self._delivered = self.revision if not self._buffer else self._delivered
            self._closed = True
            self._buffer = _NOTHING
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._hub.remove(self)
            self.wake()


class _Group:
    """The subscriptions of one range, and what waits for their next round."""

    __slots__ = ("last_round", "passing", "scheduled", "subscriptions", "to_pass_on", "waiting")

    def __init__(self) -> None:
        self.last_round = 0.0
        self.subscriptions: dict[HubSubscription, None] = {}
        self.waiting = Batch()
        self.scheduled = False
        self.to_pass_on: deque[HubSubscription] = deque()
        self.passing = False


class Hub:
    """All subscriptions and followers of one store. Made and used on one event loop."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._groups: dict[_Part, _Group] = {}
        self._followers: dict[str | None, list[Follower]] = {}

    @property
    def subscriptions(self) -> int:
        """How many subscriptions are live."""
        return sum(len(group.subscriptions) for group in self._groups.values())

    def handed_out(self, range_: Range) -> int:
        """The revision up to which the subscriptions of a range have been given everything."""
        group = self._groups.get(range_)
        return group.waiting[0].revision - 1 if group is not None and group.waiting else self.revision

    def subscribe(self, range_: Range, after: int, history: History | None, limit: int) -> HubSubscription:
        """A place behind ``after``; ``history`` reads what lies between there and now, None says that nothing does."""
        subscription = HubSubscription(self, range_, after, history, limit)
        if history is None:
            self.add(subscription)
        return subscription

    def add(self, subscription: HubSubscription) -> None:
        """Hand over to this subscription from now on."""
        group = self._groups.get(subscription.range)
        if group is None:
            group = self._groups[subscription.range] = _Group()
        elif group.waiting:
            self._round(group)  # what was published before belongs to those who were there
        group.subscriptions[subscription] = None

    def remove(self, subscription: HubSubscription) -> None:
        """Forget a closed subscription."""
        group = self._groups.get(subscription.range)
        if group is not None:
            group.subscriptions.pop(subscription, None)
            if not group.subscriptions:
                del self._groups[subscription.range]

    def lose_subscriptions(self) -> None:
        """Changes have been missed: every subscription has lost its place."""
        for group in list(self._groups.values()):
            for subscription in list(group.subscriptions):
                subscription.lose()

    def follow(self, resource: str | None, callback: Follower) -> Callable[[], None]:
        """Call back with each batch of a resource's changes; returns the undo."""
        self._followers.setdefault(resource, []).append(callback)

        def undo() -> None:
            callbacks = self._followers.get(resource, [])
            if callback in callbacks:
                callbacks.remove(callback)
                if not callbacks:
                    del self._followers[resource]

        return undo

    def publish(self, events: Sequence[Event], revision: int) -> None:
        """Hand out committed changes, in order, and move on to ``revision``."""
        self.revision = revision
        if self._groups:
            self._sort_out(events)
        if self._followers:
            self._tell_followers(events)

    def _sort_out(self, events: Sequence[Event]) -> None:
        groups = self._groups
        touched: dict[_Group, None] = {}
        range_: _Part
        for event in events:
            resource, cluster, namespace, _ = event.key
            for range_ in (
                (resource, cluster, namespace),
                (resource, cluster, None),
                (resource, WILDCARD, None),
                (resource, WILDCARD, namespace),
            ):
                group = groups.get(range_)
                if group is not None:
                    group.waiting.append(event)
                    touched[group] = None
        for group in touched:
            if not group.scheduled:
                crowd = len(group.subscriptions)
                since = self._loop.time() - group.last_round
                wait = max(min(crowd * _SHARE, _LONGEST_WAIT) - since, min(crowd * _GATHER, _LONGEST_GATHER))
                if wait < _WORTH_A_TIMER and not group.passing:
                    self._round(group)
                else:
                    group.scheduled = True
                    self._loop.call_later(wait, self._begin_round, group)

    def _begin_round(self, group: _Group) -> None:
        if group.passing:  # else each subscription would join two batches
            self._loop.call_later(_LOOP_SHARE, self._begin_round, group)
        else:
            self._round(group)

    def _round(self, group: _Group) -> None:
        group.scheduled = False
        group.last_round = self._loop.time()
        if group.waiting:  # else a newcomer has brought the round forward
            batch, group.waiting = group.waiting, Batch()
            group.to_pass_on.extend([each for each in list(group.subscriptions) if each.hand_over(batch)])
            if not group.passing:
                self._pass_on(group)

    def _pass_on(self, group: _Group) -> None:
        to_pass_on = group.to_pass_on
        until = time.monotonic() + _LOOP_SHARE
        while to_pass_on:
            to_pass_on.popleft().pass_on()
            if time.monotonic() > until:
                break
        group.passing = bool(to_pass_on)
        if group.passing:
            self._loop.call_soon(self._pass_on, group)

    def _tell_followers(self, events: Sequence[Event]) -> None:
        by_resource: dict[str | None, list[Event]] = {}
        for event in events:
            if event.key.resource in self._followers:
                by_resource.setdefault(event.key.resource, []).append(event)
        if None in self._followers:
            by_resource[None] = list(events)
        for resource, batch in by_resource.items():
            for callback in list(self._followers[resource]):
                try:
                    callback(batch)
                except Exception:
                    # a follower's mistake must not keep the writers of the batch from their answers
                    log.exception("a follower of %s failed", resource or "the log")

    def close(self) -> None:
        """End every subscription; what was published before is still handed out."""
        for group in list(self._groups.values()):
            self._round(group)
        self.closed = True
        for group in list(self._groups.values()):
            for subscription in list(group.subscriptions):
                subscription.wake()
