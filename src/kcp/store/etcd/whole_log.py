"""A log in etcd as a whole, for who moves it: its state at one revision, its facts, and many keys at a time."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import Key, StoreUnavailableError
from kcp.store.etcd import layout as places
from kcp.store.etcd import messages
from kcp.store.etcd.client import Client, RefusedError, UnknownOutcomeError
from kcp.store.etcd.facts import Facts, read_facts
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.paging import pages
from kcp.store.etcd.store import Options
from kcp.store.exports import Entry, Header, Summary, writing
from kcp.store.moving import MovingError, refuse_nothing

_CALL_SECONDS: Final = 10.0
_WRITE_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.2
_DUE_TOGETHER: Final = 30
"""Seconds by which keys that end at about the same time may live longer, to share a lease."""


class Found(NamedTuple):
    """A key's state in etcd; revision 0 is that it is absent."""

    revision: int
    value: bytes = b""
    tag: str = ""
    leased: bool = False

    def is_like(self, entry: Entry | None) -> bool:
        """Whether the key is as an entry says; None is that it is absent."""
        if entry is None or not self.revision:
            return entry is None and not self.revision
        return (self.value, self.tag, self.leased) == (entry.value, entry.tag, entry.due is not None)


class Change(NamedTuple):
    """What a key is to be: an entry, or None to be absent."""

    key: Key
    entry: Entry | None


Judge = Callable[[Change, Found], bool]


class WholeLog:
    """Calls about one log. Made by `opened`."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self.client = client
        self.layout = layout
        self._leases: dict[int, int] = {}
        self._endings: dict[int, int | None] = {0: None}

    @staticmethod
    @contextlib.asynccontextmanager
    async def opened(options: Options) -> AsyncGenerator[WholeLog, None]:
        """A connection for the length of a block. Refusals of etcd become StoreUnavailableError."""
        client = Client(options.connection)
        try:
            yield WholeLog(client, Layout(options.prefix))
        except RefusedError as error:
            raise StoreUnavailableError(f"etcd refuses: {error}") from error
        finally:
            await client.close()

    @property
    def name(self) -> str:
        """The log, for messages."""
        return f"below {self.layout.start.decode()} in etcd"

    async def facts(self) -> Facts:
        """The facts of now."""
        return await read_facts(self.client, self.layout, _CALL_SECONDS)

    async def servers(self) -> int:
        """How many servers use the log."""
        layout = self.layout
        answer = await self.client.repeatedly(
            "Range", _CALL_SECONDS, key=layout.servers, range_end=layout.servers_end, count_only=True
        )
        return int(answer.count)

    async def holds_keys(self) -> bool:
        """Whether the log holds anything."""
        layout = self.layout
        answer = await self.client.repeatedly(
            "Range", _CALL_SECONDS, key=layout.objects, range_end=layout.objects_end, count_only=True
        )
        return bool(answer.count)

    async def export(self, file: Path, logical_cluster: LogicalClusterName | None) -> Summary:
        """Write the state of now. Raises CompactedRevisionError when it is forgotten before it is read."""
        facts = await self.facts()
        if facts.restoring[1]:
            raise MovingError(f"a restore {self.name} has begun and not ended")
        if not facts.identified_at:
            raise MovingError(f"there is no log {self.name}")
        with writing(file, Header(facts.newest, logical_cluster)) as export:
            async for kvs in pages(self.client, self.layout.objects, self.layout.objects_end, facts.revision):
                try:
                    entries = [await self._entry(kv, facts.offset) for kv in kvs]
                except ValueError as error:
                    raise MovingError(f"not all is of a log {self.name}: {error}") from error
                export.add(entry for entry in entries if logical_cluster in (None, entry.key.cluster))
            refuse_nothing(export.entries, logical_cluster)
        assert export.summary is not None
        return export.summary

    async def _entry(self, kv: Any, offset: int) -> Entry:
        """An object as it is exported. Raises ValueError for what is none."""
        key = self.layout.key_of(kv.key)
        content = messages.parse("Stored", kv.value)
        if kv.lease not in self._endings:
            self._endings[kv.lease] = await self._ending(kv.lease)
        return Entry(key, kv.mod_revision + offset, content.value, content.tag, self._endings[kv.lease])

    async def _ending(self, lease: int) -> int:
        """When a lease ends."""
        now = time.time()
        answer = await self.client.repeatedly("LeaseTimeToLive", _CALL_SECONDS, ID=lease)
        return math.ceil(now) + max(int(answer.TTL), 0)

    async def lease(self, due: int | None) -> int:
        """A lease that ends then or a little later; 0 for what has no end."""
        if due is None:
            return 0
        due = -(-due // _DUE_TOGETHER) * _DUE_TOGETHER
        if due not in self._leases:
            seconds = max(1, math.ceil(due - time.time()))
            granted = await self.client.repeatedly("LeaseGrant", _CALL_SECONDS, TTL=seconds)
            self._leases[due] = granted.ID
        return self._leases[due]

    async def look(self, keys: Sequence[Key]) -> list[Found]:
        """The states of some keys, all of one moment."""
        reads = [messages.read(self.layout.object_key(key)) for key in keys]
        answer = await self.client.repeatedly("Txn", _CALL_SECONDS, success=reads)
        found = []
        for response in answer.responses:
            kvs = response.response_range.kvs
            if kvs:
                content = messages.parse("Stored", kvs[0].value)
                found.append(Found(kvs[0].mod_revision, content.value, content.tag, bool(kvs[0].lease)))
            else:
                found.append(Found(0))
        return found

    async def transact(self, compare: Sequence[Any], success: Sequence[Any]) -> int | None:
        """One attempt; etcd's revision of it, or None when it did not happen or nobody knows."""
        request = messages.make("TxnRequest", compare=compare, success=success)
        try:
            answer = await self.client.once("Txn", request, _CALL_SECONDS)
        except UnknownOutcomeError:
            await asyncio.sleep(_PAUSE_SECONDS)
            return None
        except RefusedError as error:
            if "too large" not in str(error):
                raise
            raise StoreUnavailableError(
                f"etcd does not take {request.ByteSize()} bytes in one write: start it with --max-request-bytes=4194304, and "
                "repeat"
            ) from error
        return int(answer.header.revision) if answer.succeeded else None

    def note(self) -> Any:
        """The operation that makes readers wait for a write."""
        note = messages.make("Note", write=b"moving-" + secrets.token_hex(8).encode())
        return messages.put(self.layout.note, note.SerializeToString())

    def same(self, facts: Facts) -> list[Any]:
        """The conditions that nobody else does something with the log as a whole."""
        layout = self.layout
        return [
            messages.unchanged(layout.identity, facts.identified_at),
            messages.unchanged(layout.importing, facts.importing[1]),
            messages.unchanged(layout.restoring, facts.restoring[1]),
        ]

    async def change_facts(self, before: Facts, operations: Sequence[Any], reached: Callable[[Facts], bool]) -> Facts:
        """Carry out operations that change the facts; ``reached`` says of facts whether they have been carried out.

        Raises MovingError when somebody else changes them at the same time, StoreUnavailableError.
        """
        deadline = time.monotonic() + _WRITE_SECONDS
        while True:
            await self.transact(self.same(before), operations)
            facts = await self.facts()
            if reached(facts):
                return facts
            self.refuse_others(before, facts)
            if time.monotonic() > deadline:
                raise StoreUnavailableError("etcd does not answer in time")

    def refuse_others(self, before: Facts, now: Facts) -> None:
        """Raise MovingError when somebody else has begun something with the log as a whole."""
        if self.same(before) != self.same(now):
            raise MovingError(
                f"another import or restore {self.name} was begun at the same time, and this one is not finished"
            )

    async def apply(self, facts: Facts, batch: Sequence[Change], judge: Judge) -> set[Key]:
        """Bring keys to the states that are wanted, in one transaction; ``judge`` says which changes are to be made.

        Returns the keys that were changed. Raises what ``judge`` raises, MovingError, StoreUnavailableError.
        """
        deadline = time.monotonic() + _WRITE_SECONDS
        tried: set[Key] = set()
        while True:
            found = await self.look([change.key for change in batch])
            changes = [(change, state) for change, state in zip(batch, found, strict=True) if judge(change, state)]
            if not changes:
                return tried
            tried.update(change.key for change, _ in changes)
            compare, success = self.same(facts), [self.note()]
            for change, state in changes:
                place = self.layout.object_key(change.key)
                compare.append(messages.unchanged(place, state.revision))
                if change.entry is None:
                    success.append(messages.delete(place))
                else:
                    stored = places.stored(change.entry.value, change.entry.tag)
                    success.append(messages.put(place, stored, await self.lease(change.entry.due)))
            if await self.transact(compare, success):
                return tried
            self.refuse_others(facts, await self.facts())
            if time.monotonic() > deadline:
                raise StoreUnavailableError("etcd does not answer in time")
