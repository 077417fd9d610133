"""Operations on a whole log in etcd, for transfers: reading it at one revision, its metadata, and batches of keys."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Key, StoreUnavailableError
from kcp.store.etcd import layout as layouts
from kcp.store.etcd import messages
from kcp.store.etcd.access import LogOptions
from kcp.store.etcd.client import EtcdClient, RefusedError, UnknownOutcomeError
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.log_metadata import LogMetadata, read_metadata
from kcp.store.etcd.paging import pages
from kcp.store.exports import Entry, Header, Summary, writing
from kcp.store.transfers import TransferError, refuse_empty

_CALL_SECONDS: Final = 10.0
_WRITE_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.2
_SHARED_SECONDS: Final = 30
"""Seconds by which keys may outlive their expiry time, so that they share leases."""


class KeyState(NamedTuple):
    """A key's state in etcd; revision 0 means absent."""

    revision: int
    value: bytes = b""
    tag: str = ""
    leased: bool = False

    def is_like(self, entry: Entry | None) -> bool:
        """Whether the key equals an entry; None means absent."""
        if entry is None or not self.revision:
            return entry is None and not self.revision
        return (self.value, self.tag, self.leased) == (entry.value, entry.tag, entry.due is not None)


class DesiredState(NamedTuple):
    """The state that a key is to have: an entry, or None to be absent."""

    key: Key
    entry: Entry | None


Decide = Callable[[DesiredState, KeyState], bool]
"""Says whether a key is to be written. May raise to refuse the transfer."""


class WholeLog:
    """One log. Made by `opened`."""

    def __init__(self, client: EtcdClient, layout: Layout) -> None:
        self.client = client
        self.layout = layout
        self._leases: dict[int, int] = {}
        self._expiry_times: dict[int, int | None] = {0: None}

    @staticmethod
    @contextlib.asynccontextmanager
    async def opened(options: LogOptions) -> AsyncGenerator[WholeLog, None]:
        """Connect for the length of a block. RefusedError becomes StoreUnavailableError."""
        client = EtcdClient(options.connection)
        try:
            yield WholeLog(client, Layout(options.prefix))
        except RefusedError as error:
            raise StoreUnavailableError(f"etcd refuses: {error}") from error
        finally:
            await client.close()

    @property
    def name(self) -> str:
        """The log's name in messages."""
        return f"below {self.layout.start.decode()} in etcd"

    async def metadata(self) -> LogMetadata:
        """Read the current metadata."""
        return await read_metadata(self.client, self.layout, _CALL_SECONDS)

    async def servers(self) -> int:
        """Count the servers that use the log."""
        layout = self.layout
        answer = await self.client.repeatedly(
            "Range", _CALL_SECONDS, key=layout.servers, range_end=layout.servers_end, count_only=True
        )
        return int(answer.count)

    async def holds_keys(self) -> bool:
        """Whether the log holds any object."""
        layout = self.layout
        answer = await self.client.repeatedly(
            "Range", _CALL_SECONDS, key=layout.objects, range_end=layout.objects_end, count_only=True
        )
        return bool(answer.count)

    async def export(self, file: Path, logical_cluster: LogicalClusterName) -> Summary:
        """Export the current state. Raises CompactedRevisionError when etcd compacts it meanwhile."""
        metadata = await self.metadata()
        if metadata.restoring[1]:
            raise TransferError(f"a restore {self.name} has begun and not ended")
        if not metadata.identified_at:
            raise TransferError(f"there is no log {self.name}")
        with writing(file, Header(metadata.newest, logical_cluster)) as export:
            async for kvs in pages(self.client, self.layout.objects, self.layout.objects_end, metadata.revision):
                try:
                    entries = [await self._entry(kv, metadata.offset) for kv in kvs]
                except ValueError as error:
                    raise TransferError(f"a key or value of the log {self.name} is invalid: {error}") from error
                export.add(entry for entry in entries if logical_cluster in (WILDCARD, entry.key.cluster))
            refuse_empty(export.entries, logical_cluster)
        assert export.summary is not None
        return export.summary

    async def _entry(self, kv: Any, offset: int) -> Entry:
        """Make an entry of an object. Raises ValueError for an invalid key or value."""
        key = self.layout.key_of(kv.key)
        content = messages.parse("Stored", kv.value)
        if kv.lease not in self._expiry_times:
            self._expiry_times[kv.lease] = await self._expiry_time(kv.lease)
        return Entry(key, kv.mod_revision + offset, content.value, content.tag, self._expiry_times[kv.lease])

    async def _expiry_time(self, lease: int) -> int:
        """Return the time at which a lease expires, in seconds since the epoch."""
        now = time.time()
        answer = await self.client.repeatedly("LeaseTimeToLive", _CALL_SECONDS, ID=lease)
        return math.ceil(now) + max(int(answer.TTL), 0)

    async def lease(self, due: int | None) -> int:
        """Return a lease that expires at a time or a little later; 0 for None."""
        if due is None:
            return 0
        due = -(-due // _SHARED_SECONDS) * _SHARED_SECONDS
        if due not in self._leases:
            seconds = max(1, math.ceil(due - time.time()))
            granted = await self.client.repeatedly("LeaseGrant", _CALL_SECONDS, TTL=seconds)
            self._leases[due] = granted.ID
        return self._leases[due]

    async def states(self, keys: Sequence[Key]) -> list[KeyState]:
        """Read the states of some keys at one revision."""
        reads = [messages.read(self.layout.object_key(key)) for key in keys]
        answer = await self.client.repeatedly("Txn", _CALL_SECONDS, success=reads)
        found = []
        for response in answer.responses:
            kvs = response.response_range.kvs
            if kvs:
                content = messages.parse("Stored", kvs[0].value)
                found.append(KeyState(kvs[0].mod_revision, content.value, content.tag, bool(kvs[0].lease)))
            else:
                found.append(KeyState(0))
        return found

    async def transact(self, compare: Sequence[Any], success: Sequence[Any]) -> int | None:
        """Attempt a transaction. Returns etcd's revision; None if it did not happen or its outcome is unknown."""
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

    def marker(self) -> Any:
        """Make the operation that puts a marker, so that current reads wait for the write."""
        marker = messages.make("Marker", write=b"moving-" + secrets.token_hex(8).encode())
        return messages.put(self.layout.marker, marker.SerializeToString())

    def unchanged(self, metadata: LogMetadata) -> list[Any]:
        """Make the compares that fail if another transfer has begun or ended."""
        layout = self.layout
        return [
            messages.unchanged(layout.identity, metadata.identified_at),
            messages.unchanged(layout.importing, metadata.importing[1]),
            messages.unchanged(layout.restoring, metadata.restoring[1]),
        ]

    async def change_metadata(
        self, before: LogMetadata, operations: Sequence[Any], reached: Callable[[LogMetadata], bool]
    ) -> LogMetadata:
        """Execute operations that change the metadata. ``reached`` tells from metadata whether they have been executed.

        Raises TransferError when another transfer changes them at the same time, StoreUnavailableError.
        """
        deadline = time.monotonic() + _WRITE_SECONDS
        while True:
            await self.transact(self.unchanged(before), operations)
            metadata = await self.metadata()
            if reached(metadata):
                return metadata
            self.refuse_others(before, metadata)
            if time.monotonic() > deadline:
                raise StoreUnavailableError("etcd does not answer in time")

    def refuse_others(self, before: LogMetadata, now: LogMetadata) -> None:
        """Raise TransferError if another transfer has begun or ended."""
        if self.unchanged(before) != self.unchanged(now):
            raise TransferError(
                f"another import or restore {self.name} was begun at the same time, and this one is not finished"
            )

    async def apply(self, metadata: LogMetadata, batch: Sequence[DesiredState], decide: Decide) -> set[Key]:
        """Bring keys to the desired states in one transaction; ``decide`` says which of them to write.

        Returns the keys that were changed. Raises what ``decide`` raises, TransferError, StoreUnavailableError.
        """
        deadline = time.monotonic() + _WRITE_SECONDS
        tried: set[Key] = set()
        while True:
            found = await self.states([change.key for change in batch])
            changes = [(change, state) for change, state in zip(batch, found, strict=True) if decide(change, state)]
            if not changes:
                return tried
            tried.update(change.key for change, _ in changes)
            compare, success = self.unchanged(metadata), [self.marker()]
            for change, state in changes:
                stored_key = self.layout.object_key(change.key)
                compare.append(messages.unchanged(stored_key, state.revision))
                if change.entry is None:
                    success.append(messages.delete(stored_key))
                else:
                    stored = layouts.stored(change.entry.value, change.entry.tag)
                    success.append(messages.put(stored_key, stored, await self.lease(change.entry.due)))
            if await self.transact(compare, success):
                return tried
            self.refuse_others(metadata, await self.metadata())
            if time.monotonic() > deadline:
                raise StoreUnavailableError("etcd does not answer in time")
