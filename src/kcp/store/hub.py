"""The hub: delivers each committed change to the subscriptions whose range contains it.

Subscriptions of one range form a group. Publishing a change looks up the four ranges that can contain its key; each group then
gets its changes in rounds. The larger the group, the longer a round waits for changes of other writers and the further apart
rounds are: a single watcher gets a change at once, a large group a few milliseconds later, with one send per watcher for the
changes of several writers, and writers run between the rounds.

Example. Watchers ``w1`` and ``w2`` watch all widgets, ``w3`` those of namespace ``ns``; ``w1`` and ``w3`` wait in `next` with a
sink, ``w2`` is busy sending. Publishing revision 41, a widget in ``ns``, goes through these steps::

    _route       group (widgets, *, None): waiting=[41]    group (widgets, root, ns): waiting=[41]
                 each group starts a round, at once or by a timer; the bookmark of its subscriptions (`revision`) is 40 until then
    _round       rounds=[([41], [w2, w1])] in the one group, [([41], [w3])] in the other
    _deliver     w1.deliver([41])  buffer=[41], has a sink: push
                 w1.push()         sink([41]) accepts: buffer=[], delivered=41; the task of w1 has not run
                 w2.deliver([41])  buffer=[41], no sink: the buffer waits for the next call of `next`
                 w3.deliver([41])  as w1, in the round of its own group
                 w3.push()         sink([41]) returns false (the connection is full): the future of `next` resolves, and the
                                   task of w3 takes [41] itself

If revision 42 comes before ``w2`` calls `next`, its buffer becomes [41, 42], a list of its own: the list [41] is shared by the
group. A buffer that would exceed the limit marks the subscription as lost, and its `next` raises SlowConsumerError with the
last delivered revision. If ``w4`` subscribes to all widgets while ``waiting`` is [42], the round runs first, without ``w4``,
which has read revision 42 from the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from kcp.logical_clusters import WILDCARD
from kcp.store.contract import Event, Key, Range, SlowConsumerError, StoreClosedError

logger: Final = logging.getLogger(__name__)


class HistoryPiece(NamedTuple):
    """A piece of history: the events of a range, and the revision up to which the log has been read."""

    events: list[Event]
    through: int


History = Callable[[Range, int], HistoryPiece]
"""Reads the next piece of a range's history after a revision: whole revisions, and progress with each call."""
Follower = Callable[[Sequence[Event]], None]
Scheduler = Callable[[str, Callable[[], object]], None]
"""Gets a logical cluster and a function that delivers to its watchers for a millisecond, and calls it later."""
Charge = Callable[[str, float], None]
"""Gets a logical cluster and the seconds that a delivery to its watchers took at once."""
_Part = tuple[str, str, str | None]
Sink = Callable[[Sequence[Event]], bool]
"""Accepts a batch without awaiting, and returns true; false if the reader must fetch it with `next`."""

_INTERVAL: Final = 30e-6
"""Seconds between rounds per watcher: about twice what a watcher costs in a round, so that writers get the other half."""
_MAX_INTERVAL: Final = 0.02
_GATHER: Final = 5e-6
"""Seconds per watcher that a round waits for changes of other writers."""
_MAX_GATHER: Final = 0.003
_MIN_TIMER: Final = 2e-4
_SLICE: Final = 0.0005
"""Seconds of delivering after which the hub yields to the event loop."""
_MANY: Final = 500
_SLICE_OF_MANY: Final = 0.0001
_REST: Final = 0.001
"""Subscriptions that a round has left from which it delivers for a shorter time and then rests, and for how many seconds. The
HTTP server needs twice as long to encrypt and send what it is given, some twenty responses here. Whoever sends a request
meanwhile waits behind all of it, so most of the time must be left to others."""
_CHARGED_FROM: Final = 0.0001
"""Seconds from which the first part of a delivery is charged."""
_OBSERVED_FROM: Final = 0.005
"""Seconds from which a delivery is reported."""


def _charge_nobody(_cluster: str, _seconds: float) -> None:
    """Charge a delivery to nobody."""


class Batch(list[Event]):
    """Events of one round, shared by the subscriptions of a group. ``cache`` holds encodings of the whole batch."""

    __slots__ = ("cache",)

    def __init__(self, events: Iterable[Event] = ()) -> None:
        super().__init__(events)
        self.cache: dict[object, object] = {}


_NOTHING: Final = Batch()
"""Never appended to: a buffer that the subscription does not own is replaced."""


class HubSubscription:
    """One watcher's position in the log: it reads history from the disk first, then gets batches from the hub.

    It joins the hub when it has read everything published, on the event loop and without awaiting in between: no event is
    lost or delivered twice, and a long history fills no buffer.

    A waiting reader may pass a sink, which gets the batches while the reader keeps waiting: that saves a future, an iteration
    of the event loop and the steps of a task for each watcher and round.
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
        "rounds",
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
        self.rounds = 0
        """The number of the last round of its group that it has got, or that began before it joined."""
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def range(self) -> Range:
        """The watched range."""
        return self._range

    @property
    def pending(self) -> bool:
        """Whether `next` returns without waiting."""
        return bool(self._buffer) or self._history is not None or self._lost

    @property
    def revision(self) -> int:
        """All events of the range up to this revision have been delivered."""
        if self._buffer or self._history is not None or self._lost or self._closed:
            return self._delivered
        return max(self._delivered, self._hub.delivered_through(self._range, self.rounds))

    def deliver(self, events: Batch) -> bool:
        """Add a batch to the buffer (called by the hub). Returns whether the hub must call `push`.

        The group shares the list: it must not change.
        """
        buffer = self._buffer
        if not buffer:
            self._buffer = events  # of any size: a watcher that keeps up must not be ended by one large batch
            self._owned = False
            if self._sink is not None:
                return True
        elif len(buffer) + len(events) > self._limit:
            self.mark_lost()
        elif self._owned:
            buffer += events
        else:
            self._buffer = Batch([*buffer, *events])
            self._owned = True
        if self._sink is None:
            self.wake()
        return False

    def push(self) -> None:
        """Give the buffer to the sink (called by the hub), or wake the reader if the sink does not accept it."""
        batch, sink = self._buffer, self._sink
        if not batch or sink is None:
            return
        try:
            taken = sink(batch)
        except Exception:
            self.wake()  # the reader runs into the same error, where it can be handled
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
        """Return the next batch; an empty one at the timeout, or a little earlier.

        Batches that arrive while it waits go to the ``sink``; it returns the first one that the sink does not accept.

        Raises SlowConsumerError, StoreClosedError, CompactedError.
        """
        while self._history is not None:
            if self._started:
                await asyncio.sleep(0)  # yields between the pieces of a long history, whoever reads it
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
            # one timer serves many waits: a timer costs as much as a wait
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

    def mark_lost(self) -> None:
        """Mark the subscription as having missed events; its reader must resume with a new one."""
        self._lost = True
        self._buffer = _NOTHING
        self._hub.remove(self)
        self.wake()

    def wake(self) -> None:
        """Wake a waiting reader, and drop its sink: later batches wait for `next`."""
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


class _Round(NamedTuple):
    """The delivery of a batch: the subscriptions that have not got it yet, the next one last."""

    number: int
    batch: Batch
    left: list[HubSubscription]


class _Group:
    """The subscriptions of one range, the events that wait for their next round, and the rounds that are going on.

    There is more than one when a new subscription has brought a round forward. ``number`` is that of the last round.
    """

    __slots__ = ("cluster", "last_round", "number", "rounds", "scheduled", "subscriptions", "waiting")

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.last_round = 0.0
        self.subscriptions: dict[HubSubscription, None] = {}
        self.waiting = Batch()
        self.scheduled = False
        self.rounds: deque[_Round] = deque()
        self.number = 0


class Hub:
    """All subscriptions and followers of one store, on one event loop."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.closed = False
        self.observer: Callable[[float], None] | None = None
        """Gets the duration of each long delivery, in seconds."""
        self._loop = asyncio.get_running_loop()
        self.scheduler: Scheduler = self._call_soon
        """Decides when a long delivery goes on."""
        self.charge: Charge = _charge_nobody
        self._groups: dict[_Part, _Group] = {}
        self._followers: dict[str | None, list[Follower]] = {}

    def _call_soon(self, _cluster: str, deliver: Callable[[], object]) -> None:
        self._loop.call_soon(deliver)

    @property
    def subscriptions(self) -> int:
        """The number of subscriptions."""
        return sum(len(group.subscriptions) for group in self._groups.values())

    def delivered_through(self, range_: Range, number: int) -> int:
        """The revision up to which a subscription that has got the rounds up to a number has got all events of a range."""
        group = self._groups.get(range_)
        if group is None:
            return self.revision
        missing = group.number - number
        following = group.rounds[-missing].batch if missing else group.waiting
        return following[0].revision - 1 if following else self.revision

    def subscribe(self, range_: Range, after: int, history: History | None, limit: int) -> HubSubscription:
        """Subscribe to a range after a revision. ``history`` reads the events up to now; None: there are none."""
        subscription = HubSubscription(self, range_, after, history, limit)
        if history is None:
            self.add(subscription)
        return subscription

    def add(self, subscription: HubSubscription) -> None:
        """Deliver future events to this subscription."""
        group = self._groups.get(subscription.range)
        if group is None:
            group = self._groups[subscription.range] = _Group(subscription.range[1])
        elif group.waiting:
            self._round(group)  # events published before go to the earlier subscriptions only
        subscription.rounds = group.number
        group.subscriptions[subscription] = None

    def remove(self, subscription: HubSubscription) -> None:
        """Remove a subscription."""
        group = self._groups.get(subscription.range)
        if group is not None:
            group.subscriptions.pop(subscription, None)
            if not group.subscriptions:
                del self._groups[subscription.range]

    def mark_lost(self, key: Key) -> None:
        """Mark every subscription whose range contains a key as having missed events."""
        resource, cluster, namespace, _ = key
        for range_ in _ranges_of(resource, cluster, namespace):
            group = self._groups.get(range_)
            for subscription in list(group.subscriptions) if group is not None else ():
                subscription.mark_lost()

    def mark_all_lost(self) -> None:
        """Mark every subscription as having missed events."""
        for group in list(self._groups.values()):
            for subscription in list(group.subscriptions):
                subscription.mark_lost()

    def follow(self, resource: str | None, callback: Follower) -> Callable[[], None]:
        """Call back with each batch of a resource's changes. Returns a function that ends it."""
        self._followers.setdefault(resource, []).append(callback)

        def undo() -> None:
            callbacks = self._followers.get(resource, [])
            if callback in callbacks:
                callbacks.remove(callback)
                if not callbacks:
                    del self._followers[resource]

        return undo

    def publish(self, events: Sequence[Event], revision: int) -> None:
        """Publish committed changes, in order, and advance to ``revision``."""
        self.revision = revision
        began = time.monotonic()
        if self._groups:
            self._route(events)
        if self._followers:
            self._notify_followers(events)
        self._observe(began)

    def _observe(self, began: float) -> float:
        """Report a delivery that began at a time of the monotonic clock. Returns the seconds that it took."""
        if (passed := time.monotonic() - began) >= _OBSERVED_FROM and self.observer is not None:
            self.observer(passed)
        return passed

    def _route(self, events: Sequence[Event]) -> None:
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
                size = len(group.subscriptions)
                since = self._loop.time() - group.last_round
                wait = max(min(size * _INTERVAL, _MAX_INTERVAL) - since, min(size * _GATHER, _MAX_GATHER))
                if wait < _MIN_TIMER and not group.rounds:
                    self._round(group)
                else:
                    group.scheduled = True
                    self._loop.call_later(wait, self._begin_round, group)

    def _begin_round(self, group: _Group) -> None:
        if group.rounds:  # a round now would make each subscription join two batches
            self._loop.call_later(_REST, self._begin_round, group)
        else:
            self._round(group)

    def _round(self, group: _Group) -> None:
        group.scheduled = False
        group.last_round = self._loop.time()
        if group.waiting:  # empty if a new subscription has brought the round forward
            batch, group.waiting = group.waiting, Batch()
            is_first = not group.rounds
            group.number += 1
            group.rounds.append(_Round(group.number, batch, [*reversed(group.subscriptions)]))
            if is_first and (passed := self._deliver(group)) > _CHARGED_FROM:
                self.charge(group.cluster, passed)

    def _deliver(self, group: _Group) -> float:
        """Deliver for a part of a millisecond, and go on later. Returns the seconds that it took."""
        rounds, subscriptions, clock = group.rounds, group.subscriptions, time.monotonic
        began = clock()
        while rounds:
            number, batch, left = rounds[0]
            until = began + (_SLICE if len(left) < _MANY else _SLICE_OF_MANY)
            while left:
                subscription = left.pop()
                if subscription in subscriptions:
                    subscription.rounds = number
                    if subscription.deliver(batch):
                        subscription.push()
                if clock() > until:
                    break
            if left:
                break
            rounds.popleft()
        passed = self._observe(began)
        if rounds:
            go_on = partial(self._deliver, group)
            if len(rounds[0].left) < _MANY:
                self.scheduler(group.cluster, go_on)
            else:
                self._loop.call_later(_REST, self.scheduler, group.cluster, go_on)
        return passed

    def _notify_followers(self, events: Sequence[Event]) -> None:
        followers = self._followers
        if len(events) == 1:  # the write of the only client that writes
            self._notify(events[0].key.resource, events)
        else:
            by_resource: dict[str, Sequence[Event]] = {}
            for event in events:
                resource = event.key.resource
                if resource in followers:
                    by_resource[resource] = (*by_resource.get(resource, ()), event)
            for followed, batch in by_resource.items():
                self._notify(followed, batch)
        self._notify(None, events)

    def _notify(self, followed: str | None, batch: Sequence[Event]) -> None:
        for callback in tuple(self._followers.get(followed, ())):
            try:
                callback(batch)
            except Exception:
                # a follower's error must not keep the writers of the batch from their results
                logger.exception("a follower of %s failed", followed or "the log")

    def close(self) -> None:
        """End every subscription, after delivering what was published."""
        for group in list(self._groups.values()):
            self._round(group)
            for number, batch, left in group.rounds:
                for subscription in [each for each in reversed(left) if each in group.subscriptions]:
                    subscription.rounds = number
                    subscription.deliver(batch)
            group.rounds.clear()
        self.closed = True
        for group in list(self._groups.values()):
            for subscription in list(group.subscriptions):
                subscription.wake()


def _ranges_of(resource: str, cluster: str, namespace: str) -> tuple[_Part, ...]:
    """The ranges that contain the keys of a namespace."""
    return (
        (resource, cluster, namespace),
        (resource, cluster, None),
        (resource, WILDCARD, None),
        (resource, WILDCARD, namespace),
    )
