"""Exporting a log from etcd, importing into it, and restoring it. Servers may use the log during an export and an import.

An import writes as servers do: in transactions that are conditional on the state that it has read of each key, with a marker that
makes current reads wait for them. It takes many transactions, so a record in the log's metadata describes the import until all of
it is written. After a failure, the same command continues where it was.

A log revision is an etcd revision plus an offset. If clients of the exported log have seen higher revisions than this etcd
counts, the import gives the log a larger offset and with it a new identity, from which servers learn that they must be restarted.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Key, StoreUnavailableError, key_text
from kcp.store.etcd import layout as layouts
from kcp.store.etcd import messages
from kcp.store.etcd.access import LogOptions
from kcp.store.etcd.client import CompactedRevisionError
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.log_metadata import LogMetadata, new_identity
from kcp.store.etcd.paging import pages
from kcp.store.etcd.whole_log import DesiredState, KeyState, WholeLog
from kcp.store.exports import DamagedExportError, Summary
from kcp.store.sqlite.tables import RESTORED_SKIP
from kcp.store.transfers import Imported, KeyExistsError, Selection, TransferError, selected

_BATCH_KEYS: Final = 100
"""Keys of one transaction: etcd accepts 128 compares and operations by default."""
_BATCH_BYTES: Final = 1 << 20
"""Bytes of one transaction, unless one value is larger: etcd accepts 1.5 MB by default."""
_ATTEMPTS: Final = 3


async def export_log(options: LogOptions, file: Path, logical_cluster: LogicalClusterName = WILDCARD) -> Summary:
    """Write a log's state at one revision to a new file.

    Raises FileExistsError, TransferError, StoreUnavailableError, EndpointError, OSError.
    """
    async with WholeLog.opened(options) as log:
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(CompactedRevisionError):
                return await log.export(file, logical_cluster)
    raise StoreUnavailableError(
        "etcd was compacted faster than it could be read: let servers run with a longer --history-retention meanwhile"
    )


async def import_log(options: LogOptions, file: Path, selection: Selection) -> Imported:
    """Write a file's entries into a log, which is created if absent.

    Without ``replace`` in ``selection``, nothing is written if a key exists. An interrupted import must be repeated.
    Raises KeyExistsError, TransferError, DamagedExportError, StoreUnavailableError, EndpointError, OSError.
    """
    async with WholeLog.opened(options) as log:
        return await _LogImport(log, file, selection).run()


async def restore_log(options: LogOptions, file: Path, selection: Selection) -> Imported:
    """Replace a log that no server uses with a file's content, the log's own records included.

    ``selection`` takes all logical clusters, and says whether existing keys may be deleted. An interrupted restore must be
    repeated; until then no server starts. Raises TransferError, DamagedExportError, StoreUnavailableError, EndpointError,
    OSError.
    """
    async with WholeLog.opened(options) as log:
        return await _restore(log, file, selection)


class _LogImport:
    """An import into a log that servers may use."""

    def __init__(self, log: WholeLog, file: Path, selection: Selection, *, own_too: bool = False) -> None:
        """``own_too`` replaces the log's own records as well."""
        self._log = log
        self._file = file
        self._selection = selection
        self._now = time.time()
        self._own_too = own_too
        self.present: set[Key] = set()
        self.written = self.unchanged = self.deleted = self.expired = 0

    async def run(self) -> Imported:
        """Run the import, or finish an interrupted one."""
        log = self._log
        before = await log.metadata()
        if before.restoring[1]:
            raise TransferError(f"a restore {log.name} has begun and not ended: repeat it")
        again = self._continues(before)
        if not self._selection.replace:
            await self._refuse_existing(again=again)
        metadata = await self._begin(before)
        await self.write(metadata)
        if self._selection.replace:
            await self._delete_others(metadata)
        metadata = await log.change_metadata(
            metadata, [messages.delete(log.layout.importing)], lambda current: not current.importing[1]
        )
        return self.done(metadata)

    def done(self, metadata: LogMetadata) -> Imported:
        """Summarize the import."""
        return Imported(self.written, self.unchanged, self.deleted, self.expired, metadata.newest)

    def _continues(self, metadata: LogMetadata) -> bool:
        """Whether this import was begun before. Raises TransferError if another one was."""
        content, begun = metadata.importing
        if not begun:
            return False
        found = orjson.loads(content)
        own = self._description()
        if all(found.get(name) == value for name, value in own.items()):
            return True
        if self._selection.replace and found.get("into") == own["into"]:
            return True
        raise TransferError(
            f"an import of {found.get('file')} (SHA-256 {found.get('sha256')}) {self._log.name} has begun and not ended: "
            "repeat that first"
        )

    def _description(self) -> dict[str, str | None]:
        selection = self._selection
        return {
            "file": self._file.name,
            "sha256": selection.summary.sha256,
            "of": _name_or_null(selection.source),
            "into": _name_or_null(selection.target),
        }

    async def _refuse_existing(self, *, again: bool) -> None:
        for batch in self._batches():
            for change, found in zip(batch, await self._log.states([key for key, _ in batch]), strict=True):
                if found.revision and change.key.cluster and not (again and found.is_like(change.entry)):
                    raise KeyExistsError(change.key)

    async def _begin(self, before: LogMetadata) -> LogMetadata:
        """Record that the import has begun, and raise the log's revisions above those that clients have seen."""
        log, layout, summary = self._log, self._log.layout, self._selection.summary
        mark = orjson.dumps({**self._description(), "token": secrets.token_hex(8)})
        operations = [messages.put(layout.importing, mark)]
        seen = summary.header.revision
        servers = await log.servers()
        if not before.identified_at or (not servers and before.newest <= seen + RESTORED_SKIP):
            operations += _new_log(layout, before, seen)
        elif before.newest < seen:
            raise TransferError(
                f"the log {log.name} is at revision {before.newest}, and clients of the exported one have seen {seen}: stop the "
                f"servers that use it ({servers}), so that the import can raise its revisions"
            )
        # clients with a revision from before this transaction, of this log or the exported one, list again
        operations.append(messages.put(layout.compacted, str(before.revision + 1).encode()))
        return await log.change_metadata(before, operations, lambda current: current.importing[0] == mark)

    async def write(self, metadata: LogMetadata) -> None:
        """Write the entries in batches."""
        for batch in self._batches():
            for change in batch:
                if change.key in self.present:
                    raise DamagedExportError(f"{self._file} has {key_text(change.key)} twice")
                self.present.add(change.key)
            changed = await self._log.apply(metadata, batch, self._decide)
            self.written += len(changed)
            self.unchanged += len(batch) - len(changed)

    def _batches(self) -> Iterator[list[DesiredState]]:
        """Yield the selected entries, as many at a time as a transaction accepts."""
        batch: list[DesiredState] = []
        size = self.expired = 0
        for entry in selected(self._file, self._selection):
            if entry.due is not None and entry.due <= self._now:
                self.expired += 1
                continue
            if batch and (len(batch) == _BATCH_KEYS or size + len(entry.value) > _BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(DesiredState(entry.key, entry))
            size += len(entry.value)
        if batch:
            yield batch

    def _decide(self, change: DesiredState, found: KeyState) -> bool:
        if found.is_like(change.entry) or (found.revision and not change.key.cluster and not self._own_too):
            return False
        if found.revision and not self._selection.replace:
            raise TransferError(
                f"{key_text(change.key)} was written while the import ran, which is not "
                "finished: delete it, or replace, and repeat the import"
            )
        return True

    async def _delete_others(self, metadata: LogMetadata) -> None:
        log, target = self._log, self._selection.target
        rest: list[DesiredState] = []
        now = await log.metadata()
        async for kvs in pages(log.client, log.layout.objects, log.layout.objects_end, now.revision, keys_only=True):
            keys = [log.layout.key_of(kv.key) for kv in kvs]
            rest += [
                DesiredState(key, None)
                for key in keys
                if key.cluster and target in (WILDCARD, key.cluster) and key not in self.present
            ]
        for start in range(0, len(rest), _BATCH_KEYS):
            self.deleted += len(await log.apply(metadata, rest[start : start + _BATCH_KEYS], self._decide))


async def _restore(log: WholeLog, file: Path, selection: Selection) -> Imported:
    if selection.source != WILDCARD:
        raise TransferError(f"{file} holds one logical cluster only: import it")
    before = await log.metadata()
    if servers := await log.servers():
        raise TransferError(
            f"{servers} servers use the log {log.name}: stop them first (killed servers are dropped after some seconds)"
        )
    if not selection.replace and not before.restoring[1] and await log.holds_keys():
        raise TransferError(f"there is a log {log.name} already")
    layout = log.layout
    mark = orjson.dumps({"file": file.name, "sha256": selection.summary.sha256, "token": secrets.token_hex(8)})
    operations = [
        messages.put(layout.restoring, mark),
        messages.delete(layout.objects, layout.objects_end),
        messages.delete(layout.leaders, layouts.end_of(layout.leaders)),
        *map(messages.delete, (layout.marker, layout.identity, layout.importing, layout.compacted)),
    ]
    metadata = await log.change_metadata(before, operations, lambda current: current.restoring[0] == mark)
    work = _LogImport(log, file, selection, own_too=True)
    await work.write(metadata)
    operations = _new_log(layout, metadata, selection.summary.header.revision)
    operations.append(messages.delete(layout.restoring))
    metadata = await log.change_metadata(
        metadata, operations, lambda current: not current.restoring[1] and bool(current.identity)
    )
    return work.done(metadata)


def _new_log(layout: Layout, before: LogMetadata, seen: int) -> list[Any]:
    """Make the operations that give the log a new identity, and revisions above all that clients can have seen."""
    offset = max(before.offset, seen + RESTORED_SKIP)
    return [messages.put(layout.identity, new_identity()), messages.put(layout.offset, str(offset).encode())]


def _name_or_null(logical_cluster: LogicalClusterName) -> str | None:
    """The form of a selection's logical cluster in the record of an import."""
    return None if logical_cluster == WILDCARD else logical_cluster
