"""Moving a log's state out of etcd and into it; the servers over it may run.

What comes in is written as servers write: transactions that are conditional on what was seen of each key, with the note that
makes readers wait for them. It takes many of them, so a mark says what is being done until all is there; whoever finds it
after a failure repeats the command, which goes on where it was.

A log's revisions are etcd's and an offset. A log that comes into an etcd that counts lower than its clients have seen gets a
larger offset, and with it a new identity, by which servers know that they must begin anew.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import Key, StoreUnavailableError
from kcp.store.etcd import layout as places
from kcp.store.etcd import messages
from kcp.store.etcd.client import CompactedRevisionError
from kcp.store.etcd.facts import Facts, new_identity
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.paging import pages
from kcp.store.etcd.store import Options
from kcp.store.etcd.whole_log import Change, Found, WholeLog
from kcp.store.exports import DamagedExportError, Summary
from kcp.store.moving import Imported, KeyExistsError, MovingError, Selection, described, selected
from kcp.store.tables import RESTORED_SKIP

_TOGETHER: Final = 100
"""Keys of one transaction: etcd takes 128 conditions and operations unless told otherwise."""
_BYTES_TOGETHER: Final = 1 << 20
"""Bytes of one transaction, unless one value is larger: etcd takes 1.5 MB unless told otherwise."""
_ATTEMPTS: Final = 3


async def export_log(options: Options, file: Path, logical_cluster: LogicalClusterName | None = None) -> Summary:
    """Write what a log holds at one revision to a new file.

    Raises FileExistsError, MovingError, StoreUnavailableError, EndpointError, OSError.
    """
    async with WholeLog.opened(options) as log:
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(CompactedRevisionError):
                return await log.export(file, logical_cluster)
    raise StoreUnavailableError(
        "etcd was compacted faster than it could be read: let servers run with a longer --history-retention meanwhile"
    )


async def import_log(options: Options, file: Path, selection: Selection) -> Imported:
    """Write a file's entries into a log, which is begun where none is.

    Nothing is written where a key is there already and ``selection`` does not say to replace. Interrupted, it is to be repeated.
    Raises KeyExistsError, MovingError, DamagedExportError, StoreUnavailableError, EndpointError, OSError.
    """
    async with WholeLog.opened(options) as log:
        return await _Import(log, file, selection).run()


async def restore_log(options: Options, file: Path, selection: Selection) -> Imported:
    """Make a log that no server uses what a file holds, the log's own identity included.

    ``selection`` is of all logical clusters; it says whether what is there may be deleted. Interrupted, it is to be repeated: no
    server starts before. Raises MovingError, DamagedExportError, StoreUnavailableError, EndpointError, OSError.
    """
    async with WholeLog.opened(options) as log:
        return await _restore(log, file, selection)


class _Import:
    """One import into a log that servers may use."""

    def __init__(self, log: WholeLog, file: Path, selection: Selection, *, own_too: bool = False) -> None:
        """``own_too`` replaces what the log has of its own as well."""
        self._log = log
        self._file = file
        self._selection = selection
        self._now = time.time()
        self._own_too = own_too
        self.present: set[Key] = set()
        self.written = self.unchanged = self.deleted = self.ended = 0

    async def run(self) -> Imported:
        """All of it, or what an earlier run has left to do."""
        log = self._log
        before = await log.facts()
        if before.restoring[1]:
            raise MovingError(f"a restore {log.name} has begun and not ended: repeat it")
        again = self._continues(before)
        if not self._selection.replace:
            await self._refuse_existing(again=again)
        facts = await self._begin(before)
        await self.write(facts)
        if self._selection.replace:
            await self._delete_the_rest(facts)
        facts = await log.change_facts(
            facts, [messages.delete(log.layout.importing)], lambda facts: not facts.importing[1]
        )
        return self.done(facts)

    def done(self, facts: Facts) -> Imported:
        """What was done."""
        return Imported(self.written, self.unchanged, self.deleted, self.ended, facts.newest)

    def _continues(self, facts: Facts) -> bool:
        """Whether this import was begun before. Raises MovingError when another was."""
        content, begun = facts.importing
        if not begun:
            return False
        found = orjson.loads(content)
        mine = self._mark()
        if all(found.get(name) == value for name, value in mine.items()):
            return True
        if self._selection.replace and found.get("into") == mine["into"]:
            return True
        raise MovingError(
            f"an import of {found.get('file')} (SHA-256 {found.get('sha256')}) {self._log.name} has begun and not ended: "
            "repeat that first"
        )

    def _mark(self) -> dict[str, str | None]:
        selection = self._selection
        return {
            "file": self._file.name,
            "sha256": selection.summary.sha256,
            "of": selection.source,
            "into": selection.target,
        }

    async def _refuse_existing(self, *, again: bool) -> None:
        for batch in self._batches():
            for change, found in zip(batch, await self._log.look([key for key, _ in batch]), strict=True):
                if found.revision and change.key.cluster and not (again and found.is_like(change.entry)):
                    raise KeyExistsError(change.key)

    async def _begin(self, before: Facts) -> Facts:
        """Say that the import has begun, and see to it that revisions go on behind what clients have seen."""
        log, layout, summary = self._log, self._log.layout, self._selection.summary
        mark = orjson.dumps({**self._mark(), "token": secrets.token_hex(8)})
        operations = [messages.put(layout.importing, mark)]
        seen = summary.header.revision
        servers = await log.servers()
        if not before.identified_at or (not servers and before.newest <= seen + RESTORED_SKIP):
            operations += _new_log(layout, before, seen)
        elif before.newest < seen:
            raise MovingError(
                f"the log {log.name} is at revision {before.newest}, and clients of the exported one have seen {seen}: stop the "
                f"servers that use it ({servers}), so that the import can raise its revisions"
            )
        # whoever comes with a revision from before this transaction, of this log or the other, lists again
        operations.append(messages.put(layout.compacted, str(before.revision + 1).encode()))
        return await log.change_facts(before, operations, lambda facts: facts.importing[0] == mark)

    async def write(self, facts: Facts) -> None:
        """Write the entries, some at a time."""
        for batch in self._batches():
            for change in batch:
                if change.key in self.present:
                    raise DamagedExportError(f"{self._file} has {described(change.key)} of {change.key.cluster} twice")
                self.present.add(change.key)
            changed = await self._log.apply(facts, batch, self._judge)
            self.written += len(changed)
            self.unchanged += len(batch) - len(changed)

    def _batches(self) -> Iterator[list[Change]]:
        """The entries that are taken, as many at a time as a transaction takes."""
        batch: list[Change] = []
        size = self.ended = 0
        for entry in selected(self._file, self._selection):
            if entry.due is not None and entry.due <= self._now:
                self.ended += 1
                continue
            if batch and (len(batch) == _TOGETHER or size + len(entry.value) > _BYTES_TOGETHER):
                yield batch
                batch, size = [], 0
            batch.append(Change(entry.key, entry))
            size += len(entry.value)
        if batch:
            yield batch

    def _judge(self, change: Change, found: Found) -> bool:
        if found.is_like(change.entry) or (found.revision and not change.key.cluster and not self._own_too):
            return False
        if found.revision and not self._selection.replace:
            raise MovingError(
                f"{described(change.key)} of logical cluster {change.key.cluster} was written while the import ran, which is not "
                "finished: delete it, or replace, and repeat the import"
            )
        return True

    async def _delete_the_rest(self, facts: Facts) -> None:
        log, target = self._log, self._selection.target
        rest: list[Change] = []
        now = await log.facts()
        async for kvs in pages(log.client, log.layout.objects, log.layout.objects_end, now.revision, keys_only=True):
            keys = [log.layout.key_of(kv.key) for kv in kvs]
            rest += [
                Change(key, None)
                for key in keys
                if key.cluster and target in (None, key.cluster) and key not in self.present
            ]
        for start in range(0, len(rest), _TOGETHER):
            self.deleted += len(await log.apply(facts, rest[start : start + _TOGETHER], self._judge))


async def _restore(log: WholeLog, file: Path, selection: Selection) -> Imported:
    if selection.source is not None:
        raise MovingError(f"{file} holds one logical cluster only: import it")
    before = await log.facts()
    if servers := await log.servers():
        raise MovingError(
            f"{servers} servers use the log {log.name}: stop them first (killed ones are forgotten after some seconds)"
        )
    if not selection.replace and not before.restoring[1] and await log.holds_keys():
        raise MovingError(f"there is a log {log.name} already")
    layout = log.layout
    mark = orjson.dumps({"file": file.name, "sha256": selection.summary.sha256, "token": secrets.token_hex(8)})
    operations = [
        messages.put(layout.restoring, mark),
        messages.delete(layout.objects, layout.objects_end),
        messages.delete(layout.leaders, places.end_of(layout.leaders)),
        *map(messages.delete, (layout.note, layout.identity, layout.importing, layout.compacted)),
    ]
    facts = await log.change_facts(before, operations, lambda facts: facts.restoring[0] == mark)
    work = _Import(log, file, selection, own_too=True)
    await work.write(facts)
    operations = _new_log(layout, facts, selection.summary.header.revision)
    operations.append(messages.delete(layout.restoring))
    facts = await log.change_facts(facts, operations, lambda facts: not facts.restoring[1] and bool(facts.identity))
    return work.done(facts)


def _new_log(layout: Layout, before: Facts, seen: int) -> list[Any]:
    """The operations that make servers begin anew, at revisions behind all that clients can have seen."""
    offset = max(before.offset, seen + RESTORED_SKIP)
    return [messages.put(layout.identity, new_identity()), messages.put(layout.offset, str(offset).encode())]
