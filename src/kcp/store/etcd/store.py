"""The store contract over an etcd cluster, with a local replica that reads are answered from.

A write is one etcd transaction, conditional on the revisions that the caller has seen; it is acknowledged when the local
replica has it, so that its events come before its answer. A read that must be current asks etcd for the revision of the
last write and waits until the replica is there. See `session` for how the outcome of a broken call is found out.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kcp.store.contract import (
    ABSENT,
    ANY,
    Change,
    Condition,
    Event,
    Key,
    Page,
    PreconditionFailedError,
    Range,
    Record,
    StoreClosedError,
    StoreUnavailableError,
)
from kcp.store.etcd import layout as places
from kcp.store.etcd import messages
from kcp.store.etcd.access import Connection
from kcp.store.etcd.client import Client, CompactedRevisionError, NoSpaceError, RefusedError, UnknownOutcomeError
from kcp.store.etcd.facts import Facts, LogReplacedError, new_identity, read_facts
from kcp.store.etcd.feed import Feed
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.leadership import Leadership
from kcp.store.etcd.lifetimes import Lifetimes
from kcp.store.etcd.members import Labelled, Members
from kcp.store.etcd.replica import Replica, open_replica, origin_of, replica_file
from kcp.store.etcd.session import Session
from kcp.store.etcd.versions import judge
from kcp.store.figures import Distribution
from kcp.store.hub import HubSubscription

log: Final = logging.getLogger(__name__)

MAX_CHANGES: Final = 1024
"""Changes of one write."""
MAX_CONDITIONS: Final = 120
"""Changes of one write that expect a revision, with its conditions: etcd takes 128 in a transaction unless told otherwise."""
_TOGETHER: Final = 100
_WRITE_SECONDS: Final = 12.0
_ATTEMPT_SECONDS: Final = 5.0
_CATCH_UP_SECONDS: Final = 8.0
_HEARTBEAT_SECONDS: Final = 2.0
_LATE_SECONDS: Final = 6.0
_OPEN_SECONDS: Final = 15.0
_VERSION_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """Where the log is: the cluster, and the prefix of all keys in it."""

    connection: Connection
    prefix: str = "/kcp"
    buffer: int = 10_000
    cache_kilobytes: int = 8192


async def open_store(options: Options, folder: Path) -> EtcdStore:
    """Connect, bring the local replica up to date, and go on following.

    Raises StoreUnavailableError when etcd cannot be reached or refuses, StoreLockedError, EndpointError.
    """
    client = Client(options.connection)
    layout = Layout(options.prefix)
    session = Session(client, layout)
    replica: Replica | None = None
    try:
        facts = await _identity(client, layout)
        if (warning := judge(await client.versions(_VERSION_SECONDS))) is not None:
            log.warning("%s", warning)
        origin = origin_of(facts.identity)
        file = replica_file(folder, layout)
        replica = open_replica(file, origin, cache_kilobytes=options.cache_kilobytes, buffer=options.buffer)
        feed = Feed(client, layout, replica, origin, facts)
        if replica.is_whole and not await feed.can_follow(facts):
            # not compared: where etcd was restored from a copy, what is here may be newer than what is there
            log.warning("etcd is older than the local copy, or has compacted what came after it; it is fetched anew")
            await replica.close()
            file.unlink()
            replica = open_replica(file, origin, cache_kilobytes=options.cache_kilobytes, buffer=options.buffer)
            feed = Feed(client, layout, replica, origin, facts)
        if not replica.is_whole:
            await feed.load()
        await session.open(_OPEN_SECONDS)
        store = EtcdStore(client, layout, session, replica, feed, facts)
        await store.start()
    except BaseException as error:
        await session.close()
        if replica is not None:
            await replica.close()
        await client.close()
        if isinstance(error, RefusedError | UnknownOutcomeError):
            raise StoreUnavailableError(f"etcd refuses: {error}") from error
        if isinstance(error, LogReplacedError):
            raise StoreUnavailableError(str(error)) from error
        raise
    return store


async def _identity(client: Client, layout: Layout) -> Facts:
    """The facts of the log below the prefix, which is begun where none is. Raises StoreUnavailableError, RefusedError."""
    await client.repeatedly(  # harmless to repeat: it only acts where nothing is
        "Txn",
        _OPEN_SECONDS,
        compare=[messages.unchanged(layout.identity, 0), messages.unchanged(layout.restoring, 0)],
        success=[messages.put(layout.identity, new_identity())],
    )
    facts = await read_facts(client, layout, _OPEN_SECONDS)
    if not facts.identified_at:
        raise StoreUnavailableError(
            f"a restore below {layout.start.decode()} has begun and not ended; wait for it, or run it again"
        )
    if facts.importing[1]:
        log.warning("an import has begun and not ended (unless it is running, run it again): %r", facts.importing[0])
    return facts


class EtcdStore:
    """The store contract over etcd. Made by `open_store`."""

    def __init__(
        self, client: Client, layout: Layout, session: Session, replica: Replica, feed: Feed, facts: Facts
    ) -> None:
        self._client = client
        self._layout = layout
        self._session = session
        self._replica = replica
        self._feed = feed
        self._offset = facts.offset
        self._identified_at = facts.identified_at
        self._replaced: LogReplacedError | None = None
        self._loop = asyncio.get_running_loop()
        self._lifetimes = Lifetimes(client)
        self._members = Members(client)
        self._numbers = itertools.count(1)
        self._mine: dict[bytes, int] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._question: asyncio.Task[None] | None = None
        self._next_question: asyncio.Future[None] | None = None
        self._background: list[asyncio.Task[None]] = []
        self._leaderships: list[Leadership] = []
        self._in_step_at = time.monotonic()
        self._known = 0
        """The newest revision of etcd that this server has heard of."""
        self._problem = ""
        self._may_not_compact = False
        self._closed = False
        replica.on_applied = self._on_applied
        feed.on_note = self._on_note
        feed.on_compacted = self._on_compacted
        feed.on_leader_changed = self._on_leader_changed
        feed.on_replaced = self._on_replaced

    async def start(self) -> None:
        """Follow etcd; returns when the replica shows everything that was acknowledged before."""
        self._background.append(self._loop.create_task(self._feed.run(), name="etcd-feed"))
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                await self._reach(self._session.fence + self._offset)
        except TimeoutError as error:
            raise StoreUnavailableError(f"etcd cannot be followed: {self._feed.problem}") from error
        self._background.append(self._loop.create_task(self._heartbeat(), name="etcd-heartbeat"))
        self._background.append(self._loop.create_task(self._members.run(), name="etcd-members"))

    # reads: those of the replica

    @property
    def revision(self) -> int:
        """The newest revision of the replica."""
        return self._replica.revision

    @property
    def oldest(self) -> int:
        """The oldest revision that can be listed and watched from."""
        return self._replica.oldest

    def get(self, key: Key) -> Record | None:
        """The value of a key at `revision`."""
        return self._replica.get(key)

    def latest(self, key: Key) -> Record | None:
        """The newest value known here."""
        return self._replica.latest(key)

    def scan(
        self, range_: Range, *, limit: int = 0, after: Key | None = None, at: int | None = None, count: bool = True
    ) -> Page:
        """A page of the range in key order."""
        return self._replica.scan(range_, limit=limit, after=after, at=at, count=count)

    def unchanged_since(self, range_: Range, revision: int) -> bool:
        """Whether no key of the range has changed here after a revision; False where that is not remembered."""
        return self._replica.unchanged_since(range_, revision)

    def count(self, range_: Range) -> int:
        """How many keys the range holds now."""
        return self._replica.count(range_)

    def watch(self, range_: Range, after: int, *, buffer: int = 10_000) -> HubSubscription:
        """Every change of the range after a revision."""
        return self._replica.watch(range_, after, buffer=buffer)

    def follow(self, resource: str | None, callback: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Call back with each batch of changes of a resource (None: of all)."""
        return self._replica.follow(resource, callback)

    def statistics(self) -> dict[str, float]:
        """Figures for metrics: the replica's, and how it follows."""
        return {
            **self._replica.statistics(),
            "lag_seconds": time.monotonic() - self._in_step_at,
            "lag_revisions": max(self._known - self.revision, 0),
            "rebuilds": self._feed.rebuilds,
            "reconnections": self._feed.reconnections,
        }

    def labelled(self) -> Labelled:
        """Figures for metrics that have labels: those of etcd's members."""
        return self._members.figures()

    def distributions(self) -> dict[str, Distribution]:
        """Figures for metrics that are counted for each batch, of the replica."""
        return self._replica.distributions()

    def problem(self) -> str | None:
        """Why this server does not keep up with etcd; None when it does."""
        if self._replaced is not None:
            return str(self._replaced)
        late = time.monotonic() - self._in_step_at
        if late < _LATE_SECONDS:
            return None
        return f"not in step with etcd for {late:.0f} s: {self._feed.problem or self._problem or 'no answer'}"

    def disk_problem(self) -> str | None:
        """Why the local copy cannot be written; None when all is well."""
        return self._replica.problem()

    # being current

    async def catch_up(self) -> None:
        """Return when reads show everything that was acknowledged, by any server, before the call.

        Those who come while a question is under way share the next one. Raises StoreUnavailableError.
        """
        if self._closed:
            raise StoreClosedError("the store is closed")
        self._refuse_if_replaced()
        if self._question is None:
            self._question = self._loop.create_task(self._ask())
            await asyncio.shield(self._question)
            return
        if self._next_question is None:
            self._next_question = self._loop.create_future()
        await asyncio.shield(self._next_question)

    async def _ask(self) -> None:
        """Ask for the last write's revision, and have the next question asked after that.

        Where etcd has not answered for so long, those who came meanwhile are told so too: nobody waits for two questions.
        """
        failure: StoreUnavailableError | None = None
        try:
            await self._ask_once()
        except StoreUnavailableError as error:
            self._problem = str(error)
            failure = error
            raise
        finally:
            waiters, self._next_question, self._question = self._next_question, None, None
            if waiters is not None and failure is not None:
                waiters.set_exception(failure)
            elif waiters is not None:
                self._question = self._loop.create_task(self._ask())
                self._question.add_done_callback(lambda task: _pass_on(task, waiters))

    async def _ask_once(self) -> None:
        try:
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                layout = self._layout
                answer = await self._client.repeatedly(
                    "Range", _CATCH_UP_SECONDS, key=layout.identity, range_end=layout.note + b"\0", keys_only=True
                )
                found = {kv.key: kv.mod_revision for kv in answer.kvs}
                if found.get(layout.identity) != self._identified_at:
                    self._on_replaced(LogReplacedError(layout))
                    self._refuse_if_replaced()
                asked = time.monotonic()
                await self._reach(found[layout.note] + self._offset if layout.note in found else 0)
                self._in_step_at, self._problem = asked, ""
        except TimeoutError as error:
            why = self.disk_problem() or self._feed.problem or "it follows slowly"
            raise StoreUnavailableError(f"the local copy stays behind etcd ({why})") from error
        except RefusedError as error:
            raise StoreUnavailableError(str(error)) from error

    async def _reach(self, revision: int) -> None:
        """Wait until events up to a revision have been handed out."""
        self._known = max(self._known, revision)
        if self._replica.revision >= revision:
            return
        future: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._waiting, (revision, next(self._numbers), future))
        await future

    def _on_applied(self, revision: int) -> None:
        waiting = self._waiting
        while waiting and waiting[0][0] <= revision:
            future = heapq.heappop(waiting)[2]
            if not future.done():
                future.set_result(None)

    async def _heartbeat(self) -> None:
        was = None
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            with contextlib.suppress(StoreUnavailableError):  # `problem` says what it was, when it lasts
                await self.catch_up()
            now = self.problem()
            if (was is None) != (now is None):
                log.warning("%s", now or "in step with etcd again")
            was = now

    # writes

    def write(self, changes: Sequence[Change], conditions: Sequence[Condition] = ()) -> Awaitable[int]:
        """Check all preconditions, apply all changes or none; the result is their revision."""
        if self._closed:
            raise StoreClosedError("the store is closed")
        self._refuse_if_replaced()
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
        # whoever waits may go away; a write that has begun is finished
        return asyncio.shield(self._in_task(self._write(changes, expectations)))

    def _in_task(self, work: Any) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _write(self, changes: Sequence[Change], expectations: Sequence[Condition]) -> int:
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                while (revision := await self._try(changes, expectations)) is None:
                    pass
                return revision
        except TimeoutError as error:
            why = self.disk_problem() or self._feed.problem or self._problem or "no answer in time"
            raise StoreUnavailableError(f"etcd is not available: {why}") from error
        except RefusedError as error:
            raise StoreUnavailableError(f"etcd refuses the write: {error}") from error

    async def _try(self, changes: Sequence[Change], expectations: Sequence[Condition]) -> int | None:
        """One transaction; None when it certainly did not happen and may be tried again."""
        for expectation in expectations:
            self._refuse_what_cannot_be(expectation)
        fence = self._session.fence or await self._session.fence_after(0, _WRITE_SECONDS)
        name = f"{self._session.name}{next(self._numbers):x}".encode()
        request = await self._transaction(changes, expectations, fence, name)
        self._mine[name] = 0
        try:
            answer = await self._client.once("Txn", request, _ATTEMPT_SECONDS)
        except UnknownOutcomeError:
            fence = await self._session.fence_after(fence, _WRITE_SECONDS)
            await self._reach(fence + self._offset)
            return self._mine[name] or None
        except NoSpaceError:
            self._members.look()
            await self.catch_up()
            if self._mine[name]:
                return self._mine[name]
            raise
        except RefusedError as error:
            if error.code == "NOT_FOUND" and self._lifetimes.forget():
                return None
            raise
        finally:
            written = self._mine.pop(name)
        if answer.succeeded:
            revision: int = written or answer.header.revision + self._offset
            await self._reach(revision)
            return revision
        await self._explain(answer, expectations, fence)
        return None

    def _refuse_what_cannot_be(self, expectation: Condition) -> None:
        """Revisions only grow: a state that has been seen to be over does not come back."""
        key, expected = expectation
        if expected == ABSENT:
            return
        here = self._replica.get(key)
        if (here is not None and here.revision > expected) or (here is None and self._replica.revision >= expected):
            raise PreconditionFailedError(key, expected, here)

    async def _transaction(
        self, changes: Sequence[Change], expectations: Sequence[Condition], fence: int, name: bytes
    ) -> Any:
        layout = self._layout
        compare = [
            messages.unchanged(self._session.key, fence),
            messages.unchanged(layout.identity, self._identified_at),
        ]
        success: list[Any] = []
        failure: list[Any] = [
            messages.read(self._session.key, keys_only=True),
            messages.read(layout.identity, keys_only=True),
        ]
        for expectation in expectations:
            key = layout.object_key(expectation.key)
            raw = expectation.expected - self._offset if expectation.expected else 0
            compare.append(messages.unchanged(key, raw))
            failure.append(messages.read(key, keys_only=True))
        finals: list[Any] = []
        for change in changes:
            key = layout.object_key(change.key)
            if change.value is not None:
                lease = await self._lifetimes.lease(change.lifetime) if change.lifetime is not None else 0
                success.append(messages.put(key, places.stored(change.value, change.tag), lease))
            else:
                success.append(messages.delete(key))
                if change.final is not None:
                    finals.append(messages.make("Final", key=key, tag=change.tag, value=change.final))
        if len(success) > _TOGETHER:
            success = [messages.together(part) for part in _parts(success)]
        note = messages.make("Note", write=name, finals=finals)
        success.append(messages.put(layout.note, note.SerializeToString()))
        return messages.make("TxnRequest", compare=compare, success=success, failure=failure)

    async def _explain(self, answer: Any, expectations: Sequence[Condition], fence: int) -> None:
        """Raise PreconditionFailedError for the condition that did not hold, once reads show why."""
        now = answer.header.revision + self._offset
        fences, identities, *found = [response.response_range.kvs for response in answer.responses]
        if [kv.mod_revision for kv in identities] != [self._identified_at]:
            self._on_replaced(LogReplacedError(self._layout))
            self._refuse_if_replaced()
        for (key, expected), kvs in zip(expectations, found, strict=True):
            actual = kvs[0].mod_revision + self._offset if kvs else ABSENT
            if actual != expected:
                await self._show(key, actual, now)
                raise PreconditionFailedError(key, expected, self._replica.get(key))
        if not fences and self._session.fence == fence:
            self._session.lease = 0  # it ended, and the fence with it
        await self._session.fence_after(fence, _WRITE_SECONDS)

    async def _show(self, key: Key, actual: int, now: int) -> None:
        """Wait until the replica has a key's state of revision ``actual`` (0: absent at ``now``) or a newer one."""
        if actual:
            await self._reach(actual)
            return
        while self._replica.revision < now:
            here = self._replica.get(key)
            if here is None or here.revision > now:
                return
            await self._reach(self._replica.revision + 1)

    def _on_note(self, name: bytes, revision: int) -> None:
        if name in self._mine:
            self._mine[name] = revision

    # maintenance

    async def compact(self, revision: int) -> None:
        """Forget superseded values up to a revision, in etcd and in every server's replica."""
        if self._closed:
            raise StoreClosedError("the store is closed")
        target = min(revision, self.revision)
        raw = target - self._offset
        try:
            known = await self._client.repeatedly("Range", _WRITE_SECONDS, key=self._layout.compacted)
            if raw <= (int(known.kvs[0].value) if known.kvs else 0):
                return
            with contextlib.suppress(NoSpaceError):  # compacting makes room; the others will hear of the next one
                await self._client.repeatedly(
                    "Put", _WRITE_SECONDS, key=self._layout.compacted, value=str(raw).encode()
                )
            await self._client.repeatedly("Compact", _WRITE_SECONDS, revision=raw)
        except CompactedRevisionError:
            log.debug("etcd had compacted revision %d already", raw)
        except RefusedError as error:
            if error.code != "PERMISSION_DENIED":
                raise StoreUnavailableError(f"etcd refuses to compact: {error}") from error
            self._leave_compaction_to_etcd()
        await self._replica.compact(target)

    def _leave_compaction_to_etcd(self) -> None:
        """Since 3.5.28 and 3.6.9, etcd lets only its administrators compact; servers forget history all the same."""
        if not self._may_not_compact:
            self._may_not_compact = True
            log.warning(
                "etcd does not let this user compact it (which takes the role root), and it grows unless its members do so by "
                "themselves: start them with --auto-compaction-retention=1h"
            )

    def _on_compacted(self, revision: int) -> None:
        """Some server has compacted: do the same here, when the replica has come that far."""
        self._in_task(self._compact_replica(revision))

    async def _compact_replica(self, revision: int) -> None:
        try:
            await self._reach(revision)
            await self._replica.compact(revision)
        except StoreClosedError:
            return
        except StoreUnavailableError as error:
            log.warning("the local copy cannot be compacted: %s", error)

    async def expire(self) -> None:
        """Nothing to do: etcd deletes what has outlived its lifetime."""

    def lead(self, task: str, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> Leadership:
        """Run a task on one server of all: ``start`` when this server is elected, ``stop`` when it is not any more."""
        leadership = Leadership(self._client, self._layout, self._session, task, start, stop)
        self._leaderships.append(leadership)
        leadership.run()
        return leadership

    def _on_leader_changed(self) -> None:
        for leadership in self._leaderships:
            leadership.wake()

    def _on_replaced(self, error: LogReplacedError) -> None:
        """Do nothing any more, for what is here has nothing to do with what is there; let others lead."""
        if self._replaced is None:
            self._replaced = error
            log.error("%s", error)
            self._in_task(self._leave())

    async def _leave(self) -> None:
        for leadership in self._leaderships:
            await leadership.stop()
        await self._session.close()

    def _refuse_if_replaced(self) -> None:
        if self._replaced is not None:
            raise StoreUnavailableError(str(self._replaced))

    async def close(self) -> None:
        """Finish what was accepted, end subscriptions, leave the cluster."""
        if self._closed:
            return
        self._closed = True
        for leadership in self._leaderships:
            await leadership.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_ATTEMPT_SECONDS)
        leftover = [*self._background, *self._tasks, *filter(None, (self._question,))]
        for task in leftover:
            task.cancel()
        if leftover:
            await asyncio.wait(leftover)
        await self._session.close()
        await self._replica.close()
        await self._client.close()


def _parts(operations: list[Any]) -> list[list[Any]]:
    return [operations[start : start + _TOGETHER] for start in range(0, len(operations), _TOGETHER)]


def _pass_on(task: asyncio.Task[None], waiters: asyncio.Future[None]) -> None:
    if waiters.done():
        return
    if task.cancelled():
        waiters.set_exception(StoreClosedError("the store is closed"))
    elif (error := task.exception()) is not None:
        waiters.set_exception(error)
    else:
        waiters.set_result(None)
