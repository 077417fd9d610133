"""The contract over an etcd cluster, with a local replica that answers reads.

A write is one etcd transaction, conditional on the revisions that the caller has seen (`writes`). It is acknowledged when the
replica has applied it, so that its events precede its result. A read that must be current asks etcd for the revision of the
last write and waits until the replica has applied it (`read_index`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from kcp.store.contract import (
    ANY,
    Action,
    Capabilities,
    Change,
    Condition,
    Event,
    Hint,
    Key,
    Page,
    Range,
    Record,
    StoreClosedError,
    StoreUnavailableError,
)
from kcp.store.etcd.compaction import ClusterCompaction
from kcp.store.etcd.feed import Feed
from kcp.store.etcd.leadership import Leadership
from kcp.store.etcd.members import Members
from kcp.store.etcd.open_log import OpenLog
from kcp.store.etcd.read_index import ReadIndex
from kcp.store.etcd.writes import ATTEMPT_SECONDS, Writes
from kcp.store.figures import Distribution, Labelled
from kcp.store.hub import Charge, HubSubscription, Scheduler

logger: Final = logging.getLogger(__name__)

MAX_CHANGES: Final = 1024
MAX_CONDITIONS: Final = 120
"""Conditions of a write: etcd accepts 128 compares in a transaction by default."""
CAPABILITIES: Final = Capabilities(
    consecutive_revisions=False,
    ordered_pending_writes=False,
    shared=True,
    max_changes=MAX_CHANGES,
    max_conditions=MAX_CONDITIONS,
    checksums=False,
)
OPEN_SECONDS: Final = 15.0
_HEARTBEAT_SECONDS: Final = 2.0
_LATE_SECONDS: Final = 6.0


class EtcdStore:
    """The contract over etcd. Made by `opening.open_store`."""

    def __init__(self, open_log: OpenLog, feed: Feed) -> None:
        self._log = open_log
        self._client = open_log.client
        self._session = open_log.session
        self._replica = open_log.replica
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._members = Members(open_log.client)
        self._read_index = ReadIndex(open_log, lambda: self._replica_problem() or "it follows slowly")
        self._writes = Writes(
            open_log,
            self._read_index,
            self._members,
            lambda: self._replica_problem() or self._read_index.problem or "no response in time",
        )
        self._compaction = ClusterCompaction(open_log)
        self._leaderships: list[Leadership] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._background: list[asyncio.Task[None]] = []
        self._closed = False
        open_log.on_replaced = lambda: self._in_task(self._leave())
        open_log.on_awaited = lambda: feed.expect(open_log.known)
        feed.on_marker = self._writes.on_marker
        feed.on_compacted = lambda revision: self._in_task(self._compaction.follow(revision))
        feed.on_leader_changed = self._on_leader_changed
        feed.on_replaced = open_log.mark_replaced

    async def start(self) -> None:
        """Start following etcd. Returns when the replica shows everything acknowledged before."""
        self._background.append(self._loop.create_task(self._feed.run(), name="etcd-feed"))
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._log.wait_until_applied(self._session.fence + self._log.offset)
        except TimeoutError as error:
            raise StoreUnavailableError(f"etcd cannot be followed: {self._feed.problem}") from error
        self._background.append(self._loop.create_task(self._heartbeat(), name="etcd-heartbeat"))
        self._background.append(self._loop.create_task(self._members.run(), name="etcd-members"))

    # reads, from the replica

    @property
    def revision(self) -> int:
        """The newest revision of the replica."""
        return self._replica.revision

    @property
    def oldest(self) -> int:
        """The oldest revision that can be listed, and watched from."""
        return self._replica.oldest

    def get(self, key: Key) -> Record | None:
        """Return the value of a key at `revision`."""
        return self._replica.get(key)

    def latest(self, key: Key) -> Record | None:
        """Return the newest value of a key in the replica."""
        return self._replica.latest(key)

    def scan(
        self,
        range_: Range,
        *,
        limit: int = 0,
        after: Key | None = None,
        at: int | None = None,
        count: bool = True,
        size: int = 0,
    ) -> Page:
        """Return a page of the range in key order."""
        return self._replica.scan(range_, limit=limit, after=after, at=at, count=count, size=size)

    async def select(
        self,
        range_: Range,
        hint: Hint,
        *,
        limit: int = 0,
        after: Key | None = None,
        at: int | None = None,
        size: int = 0,
    ) -> Page:
        """Return a page of the range, which may leave out records that do not meet the hint."""
        return await self._replica.select(range_, hint, limit=limit, after=after, at=at, size=size)

    def is_stale(self, record: Record) -> bool:  # noqa: ARG002 - values have one form
        """Return False: etcd has one form of a value."""
        return False

    def unchanged_since(self, range_: Range, revision: int) -> bool:
        """Whether no key of the range has changed after a revision; False if unknown."""
        return self._replica.unchanged_since(range_, revision)

    def count(self, range_: Range) -> int:
        """Return the number of keys in the range."""
        return self._replica.count(range_)

    def watch(self, range_: Range, after: int, *, buffer: int = 10_000) -> HubSubscription:
        """Watch all changes of the range after a revision."""
        return self._replica.watch(range_, after, buffer=buffer)

    def decode_events(self, decode: Callable[[Event], Event]) -> None:
        """Apply a function to each event before followers and watchers get it."""
        self._replica.decode_events(decode)

    def observe_deliveries(self, observer: Callable[[float], None]) -> None:
        """Call back with the duration of each long delivery, in seconds."""
        self._replica.observe_deliveries(observer)

    def schedule_deliveries(self, schedule: Scheduler, charge: Charge) -> None:
        """Let a function decide when a long delivery to the watchers of a logical cluster goes on, and ``charge`` the others."""
        self._replica.schedule_deliveries(schedule, charge)

    def expect_writes(self, in_progress: Callable[[], int]) -> None:
        """Do nothing: etcd decides what it commits together."""

    def follow(self, resource: str | None, callback: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Call back with each batch of changes of a resource (None: all)."""
        return self._replica.follow(resource, callback)

    async def catch_up(self) -> None:
        """Wait until reads show every write that any server acknowledged before the call.

        Reads that arrive while a request to etcd is in flight share the next one. Raises StoreUnavailableError.
        """
        if self._closed:
            raise StoreClosedError("the store is closed")
        await self._read_index.wait()

    # figures and health

    def statistics(self) -> dict[str, float]:
        """Return the replica's figures, and its lag behind etcd."""
        return {
            **self._replica.statistics(),
            "lag_seconds": time.monotonic() - self._read_index.current_at,
            "lag_revisions": max(self._log.known - self.revision, 0),
            "rebuilds": self._feed.rebuilds,
            "reconnections": self._feed.reconnections,
        }

    def labelled(self) -> Labelled:
        """Return the figures of etcd's members."""
        return self._members.figures()

    def distributions(self) -> dict[str, Distribution]:
        """Return the replica's histograms."""
        return self._replica.distributions()

    def readiness_checks(self) -> dict[str, Callable[[], str | None]]:
        """Return the readiness checks of etcd and of the replica's disk."""
        return {"etcd": self.problem, "disk": self.disk_problem}

    def readiness_notes(self) -> dict[str, Callable[[], str | None]]:
        """Return the replica's notes."""
        return self._replica.readiness_notes()

    def problem(self) -> str | None:
        """Why the replica does not keep up with etcd; None if it does."""
        if self._log.replaced is not None:
            return str(self._log.replaced)
        late = time.monotonic() - self._read_index.current_at
        if late < _LATE_SECONDS:
            return None
        reason = self._feed.problem or self._read_index.problem or "no response"
        return f"the replica has been behind etcd for {late:.0f} s: {reason}"

    def disk_problem(self) -> str | None:
        """Why the local replica cannot be written; None if it can."""
        return self._replica.problem()

    def _replica_problem(self) -> str:
        return self.disk_problem() or self._feed.problem

    async def _heartbeat(self) -> None:
        was = None
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            with contextlib.suppress(StoreUnavailableError):  # `problem` reports it if it lasts
                await self.catch_up()
            now = self.problem()
            if (was is None) != (now is None):
                logger.warning("%s", now or "the replica has caught up with etcd")
            was = now

    # writes

    def write(self, changes: Sequence[Change], conditions: Sequence[Condition] = ()) -> Awaitable[int]:
        """Check all preconditions and apply all changes or none; the result is their revision."""
        if self._closed:
            raise StoreClosedError("the store is closed")
        self._log.refuse_if_replaced()
        if len(changes) > MAX_CHANGES:
            raise ValueError(f"a write takes at most {MAX_CHANGES} changes, this one has {len(changes)}")
        expectations = [Condition(change.key, change.expected) for change in changes if change.expected != ANY]
        expectations.extend(conditions)
        if len(expectations) > MAX_CONDITIONS:
            raise ValueError(f"a write to etcd takes at most {MAX_CONDITIONS} changes that expect a revision")
        if len(changes) > 1 and len({change.key for change in changes}) != len(changes):
            raise ValueError("a write takes one change of each key")
        if not changes:
            nothing: asyncio.Future[int] = self._loop.create_future()
            nothing.set_result(self.revision)
            return nothing
        # the caller may be cancelled; a write that has begun is finished
        return asyncio.shield(self._in_task(self._writes.run(changes, expectations)))

    def _in_task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # maintenance

    async def compact(self, revision: int) -> None:
        """Drop superseded values up to a revision, in etcd and in every server's replica."""
        if self._closed:
            raise StoreClosedError("the store is closed")
        await self._compaction.run(revision)

    async def expire(self) -> None:
        """Do nothing: etcd deletes expired keys itself."""

    async def lead(self, task: str, start: Action, stop: Action) -> Action:
        """Run a task on one of all servers: ``start`` when this server is elected, ``stop`` when it is no longer.

        Returns the function that withdraws this server's candidacy.
        """
        leadership = Leadership(self._client, self._log.layout, self._session, task, start, stop)
        self._leaderships.append(leadership)
        leadership.run()
        return leadership.stop

    def _on_leader_changed(self) -> None:
        for leadership in self._leaderships:
            leadership.wake()

    async def _leave(self) -> None:
        for leadership in self._leaderships:
            await leadership.stop()
        await self._session.close()

    async def close(self) -> None:
        """Finish accepted writes, end subscriptions, leave the cluster."""
        if self._closed:
            return
        self._closed = True
        for leadership in self._leaderships:
            await leadership.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ATTEMPT_SECONDS)
        leftover = [*self._background, *self._tasks, *self._read_index.tasks]
        for task in leftover:
            task.cancel()
        if leftover:
            await asyncio.wait(leftover)
        await self._session.close()
        await self._replica.close()
        await self._client.close()
