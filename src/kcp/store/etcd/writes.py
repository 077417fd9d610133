"""The writes of one server: each is one etcd transaction, attempted until its outcome is known.

See `transactions` for a transaction in full, and `session` for the fence that settles broken calls.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

from kcp.store.contract import ABSENT, Change, Condition, Key, PreconditionFailedError, StoreUnavailableError
from kcp.store.etcd import transactions
from kcp.store.etcd.client import NoSpaceError, RefusedError, UnknownOutcomeError
from kcp.store.etcd.leases import Leases
from kcp.store.etcd.log_metadata import LogReplacedError
from kcp.store.etcd.members import Members
from kcp.store.etcd.open_log import OpenLog
from kcp.store.etcd.read_index import ReadIndex

_WRITE_SECONDS: Final = 12.0
ATTEMPT_SECONDS: Final = 5.0


class Writes:
    """Runs writes. ``explain_delay`` says why etcd does not answer."""

    def __init__(self, log: OpenLog, read_index: ReadIndex, members: Members, explain_delay: Callable[[], str]) -> None:
        self._log = log
        self._read_index = read_index
        self._members = members
        self._explain_delay = explain_delay
        self._leases = Leases(log.client)
        self._numbers = itertools.count(1)
        self._own_writes: dict[bytes, int] = {}
        """The log revision of each write in flight, 0 until its marker has been seen."""

    def on_marker(self, name: bytes, revision: int) -> None:
        """Record that the feed has seen a write's marker."""
        if name in self._own_writes:
            self._own_writes[name] = revision

    async def run(self, changes: Sequence[Change], expectations: Sequence[Condition]) -> int:
        """Apply changes under conditions and return their log revision, once the replica has applied it.

        Raises PreconditionFailedError, StoreUnavailableError.
        """
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                while (revision := await self._attempt(changes, expectations)) is None:
                    pass
                return revision
        except TimeoutError as error:
            raise StoreUnavailableError(f"etcd is not available: {self._explain_delay()}") from error
        except RefusedError as error:
            raise StoreUnavailableError(f"etcd refuses the write: {error}") from error

    async def _attempt(self, changes: Sequence[Change], expectations: Sequence[Condition]) -> int | None:
        """Run one transaction. None if it certainly did not happen and may be attempted again."""
        log, session = self._log, self._log.session
        for expectation in expectations:
            self._refuse_superseded(expectation)
        fence = session.fence or await session.fence_after(0, _WRITE_SECONDS)
        name = f"{session.name}{next(self._numbers):x}".encode()
        lifetimes = {change.lifetime for change in changes if change.lifetime is not None}
        leases = {lifetime: await self._leases.lease(lifetime) for lifetime in lifetimes}
        request = transactions.build(log, changes, expectations, leases, fence, name)
        self._own_writes[name] = 0
        try:
            answer = await log.client.once("Txn", request, ATTEMPT_SECONDS)
        except UnknownOutcomeError:
            fence = await session.fence_after(fence, _WRITE_SECONDS)
            await log.wait_until_applied(fence + log.offset)
            return self._own_writes[name] or None
        except NoSpaceError:
            self._members.poll_now()
            await self._read_index.wait()
            if self._own_writes[name]:
                return self._own_writes[name]
            raise
        except RefusedError as error:
            if error.code == "NOT_FOUND" and self._leases.forget():
                return None
            raise
        finally:
            written = self._own_writes.pop(name)
        if answer.succeeded:
            revision: int = written or answer.header.revision + log.offset
            await log.wait_until_applied(revision)
            return revision
        await self._raise_failed_compare(answer, expectations, fence)
        return None

    def _refuse_superseded(self, expectation: Condition) -> None:
        """Raise PreconditionFailedError for a state that the replica shows to be over: revisions only grow."""
        key, expected = expectation
        if expected == ABSENT:
            return
        replica = self._log.replica
        here = replica.durable(key)
        if (here is not None and here.revision > expected) or (here is None and replica.revision >= expected):
            raise PreconditionFailedError(key, expected, here)

    async def _raise_failed_compare(self, answer: Any, expectations: Sequence[Condition], fence: int) -> None:
        """Raise PreconditionFailedError for the failed condition, once reads show why.

        Returns when only the fence differed, with a new fence for the next attempt.
        """
        log, session = self._log, self._log.session
        now = answer.header.revision + log.offset
        fences, identities, *found = [response.response_range.kvs for response in answer.responses]
        if [kv.mod_revision for kv in identities] != [log.identified_at]:
            log.mark_replaced(LogReplacedError(log.layout))
            log.refuse_if_replaced()
        for (key, expected), kvs in zip(expectations, found, strict=True):
            actual = kvs[0].mod_revision + log.offset if kvs else ABSENT
            if actual != expected:
                await self._wait_until_shown(key, actual, now)
                raise PreconditionFailedError(key, expected, log.replica.durable(key))
        if not fences and session.fence == fence:
            session.lease = 0  # the lease has expired, and the fence with it
        await session.fence_after(fence, _WRITE_SECONDS)

    async def _wait_until_shown(self, key: Key, actual: int, now: int) -> None:
        """Wait until the replica shows revision ``actual`` of a key (0: absent at ``now``) or a newer one."""
        log = self._log
        if actual:
            await log.wait_until_applied(actual)
            return
        while log.replica.revision < now:
            here = log.replica.durable(key)
            if here is None or here.revision > now:
                return
            await log.wait_until_applied(log.replica.revision + 1)
