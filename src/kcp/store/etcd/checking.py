"""What is always true of a log in etcd, and of the local copy of it: asked of the state at one revision, nothing is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from kcp.logical_clusters import SERVER_OWNED
from kcp.store import checking, tables
from kcp.store.checking import Examine, Finding, Progress, Violation
from kcp.store.contract import Key, StoreUnavailableError
from kcp.store.etcd import messages
from kcp.store.etcd.client import Client, CompactedRevisionError, RefusedError
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.paging import pages
from kcp.store.etcd.replica import ORIGIN, Fetched, origin_of, replica_file
from kcp.store.etcd.store import Options
from kcp.store.reading import Reader
from kcp.store.tables import ORDINAL_BITS, ForeignFileError, NewerFormatError

_CALL_SECONDS: Final = 10.0
_SAYS: Final = {
    "keys": "every key below the prefix is one that kcp puts there",
    "stored": "every object's key and envelope can be read, and its key is written in one way",
    "values": "every value has the form that readers are promised",
    "note": "the note of the last write is as new as every object",
    "facts": "the log's identity, offset and compaction line are there and can be",
    "leases": "servers and leaders live by a lease, and who leads is a server",
}
_COPY: Final = "the local copy holds what etcd holds at revision {}"


class _Asked:
    """Findings in the making."""

    def __init__(self, first: int, says: dict[str, str]) -> None:
        self._first = first
        self._says = says
        self._examined = dict.fromkeys(says, 0)
        self._broken = dict.fromkeys(says, 0)
        self._told: dict[str, list[Violation]] = {name: [] for name in says}

    def ask(self, name: str, wrong: str | None, key: Key | None = None, revision: int = 0) -> None:
        """A rule was asked of one thing; ``wrong`` is how that breaks it."""
        self._examined[name] += 1
        if wrong is not None:
            self._broken[name] += 1
            if len(self._told[name]) < self._first:
                self._told[name].append(Violation(key, revision, wrong))

    def findings(self) -> Iterator[Finding]:
        """What came of each rule."""
        for name, says in self._says.items():
            yield Finding(name, says, self._examined[name], self._broken[name], self._told[name])


async def check_log(
    options: Options, folder: Path, examine: Examine, first: int = checking.FIRST, progress: Progress | None = None
) -> list[Finding]:
    """Check the log below the prefix, and the copy in the folder where there is one. Servers may be at work on both.

    Raises StoreUnavailableError, EndpointError.
    """
    client = Client(options.connection)
    layout = Layout(options.prefix)
    tell = progress or (lambda _name: None)
    try:
        look = _Look(client, layout, examine, first, tell)
        findings = await look.at_everything()
        copy = replica_file(folder, layout)
        if copy.exists():
            findings += await look.at_copy(copy)
        return findings
    except RefusedError as error:
        raise StoreUnavailableError(f"etcd refuses: {error}") from error
    except CompactedRevisionError as error:
        raise StoreUnavailableError("etcd was compacted while it was read: check again") from error
    finally:
        await client.close()


class _Look:
    """One look at a log; what is learned of it on the way."""

    def __init__(self, client: Client, layout: Layout, examine: Examine, first: int, tell: Progress) -> None:
        self._client = client
        self._layout = layout
        self._examine = examine
        self._first = first
        self._tell = tell
        self._asked = _Asked(first, _SAYS)
        self._small: dict[bytes, Any] = {}
        self._newest = (0, Key("", SERVER_OWNED, "", ""))
        self._revision = 0
        self._offset = 0
        self._origin = 0

    async def at_everything(self) -> list[Finding]:
        """Ask every rule about etcd itself."""
        answer = await self._client.repeatedly("Range", _CALL_SECONDS, key=self._layout.identity)
        self._revision = answer.header.revision
        for fact in await self._facts():
            self._asked.ask("facts", fact)
        async for kvs in pages(self._client, self._layout.start, self._layout.end, self._revision):
            self._tell("etcd")
            for kv in kvs:
                self._take(kv)
        self._asked.ask("note", self._wrong_with_note(), self._newest[1] if self._newest[0] else None, self._newest[0])
        self._ask_leases()
        return list(self._asked.findings())

    async def _facts(self) -> list[str | None]:
        """What is wrong with each of the facts, which are read as of the revision."""
        layout = self._layout
        answer = await self._client.repeatedly(
            "Range", _CALL_SECONDS, key=layout.facts, range_end=layout.facts_end, revision=self._revision
        )
        found = {kv.key: bytes(kv.value) for kv in answer.kvs}
        identity = found.get(layout.identity, b"")
        self._origin = origin_of(identity)
        offset, compacted = (_number(found.get(key, b"0")) for key in (layout.offset, layout.compacted))
        self._offset = offset or 0
        return [
            None if identity else f"there is no log below {layout.start.decode()}: no server has begun one",
            None if offset is not None else f"the offset is no number: {found[layout.offset]!r}",
            None
            if compacted is not None and compacted <= self._revision
            else f"the compaction line is {found[layout.compacted]!r}, etcd's revision {self._revision}",
        ]

    def _take(self, kv: Any) -> None:
        layout = self._layout
        if kv.key.startswith(layout.objects):
            self._asked.ask("keys", None)
            self._take_object(kv)
            return
        known = (layout.note, layout.identity, layout.offset, layout.compacted, layout.importing, layout.restoring)
        if kv.key in known or any(
            kv.key.startswith(begin) and kv.key != begin for begin in (layout.servers, layout.leaders)
        ):
            self._asked.ask("keys", None)
            self._small[kv.key] = kv
        else:
            self._asked.ask("keys", f"{kv.key!r} is no key of kcp's", None, kv.mod_revision + self._offset)

    def _take_object(self, kv: Any) -> None:
        revision = kv.mod_revision + self._offset
        try:
            fetched = self._fetched(kv)
        except ValueError as error:
            self._asked.ask("stored", f"{kv.key!r}: {error}", None, revision)
            return
        key = fetched.key
        place = self._layout.object_key(key)
        self._asked.ask(
            "stored", None if place == kv.key else f"it lies at {kv.key!r}, not at {place!r}", key, revision
        )
        self._asked.ask("values", self._examine(key, fetched.value), key, revision)
        self._newest = max(self._newest, (revision, key))

    def _fetched(self, kv: Any) -> Fetched:
        """Raises ValueError."""
        key = self._layout.key_of(kv.key)
        content = messages.parse("Stored", kv.value)
        return Fetched(key, kv.mod_revision + self._offset, content.value, content.tag)

    def _wrong_with_note(self) -> str | None:
        newest = self._newest[0]
        note = self._small.get(self._layout.note)
        if note is None:
            return "there is no note, but there are objects" if newest else None
        try:
            messages.parse("Note", note.value)
        except ValueError as error:
            return str(error)
        written = note.mod_revision + self._offset
        return f"the note is of revision {written}: this write put none" if written < newest else None

    def _ask_leases(self) -> None:
        layout = self._layout
        for key, kv in self._small.items():
            name = key.decode(errors="replace")
            if key.startswith(layout.servers):
                self._asked.ask("leases", None if kv.lease else f"server {name} has no lease: it would live for ever")
            elif key.startswith(layout.leaders):
                server = self._small.get(layout.servers + bytes(kv.value))
                wrong = None
                if server is None:
                    wrong = f"{name} is {kv.value!r}, which is no server"
                elif not kv.lease or kv.lease != server.lease:
                    wrong = f"{name} does not live by the lease of its server"
                self._asked.ask("leases", wrong)

    # the copy

    async def at_copy(self, path: Path) -> list[Finding]:
        """Ask every rule about the local copy, and whether it is one."""
        try:
            log = checking.opened(path, examine=self._examine, replica=True)
        except (ForeignFileError, NewerFormatError, apsw.Error) as error:
            return [_not_compared(f"{path} is no copy of a log ({error}); the next start replaces it")]
        try:
            rules = await asyncio.to_thread(lambda: list(checking.check(log, first=self._first, progress=self._tell)))
            findings = [finding._replace(name=f"copy {finding.name}") for finding in rules]
            findings.append(await self._compare(log.connection))
        except checking.FileTakenError as error:
            raise StoreUnavailableError(str(error)) from error
        finally:
            log.connection.close()
        return findings

    async def _compare(self, connection: apsw.Connection) -> Finding:
        execute: Any = connection.execute
        origin = execute("SELECT value FROM facts WHERE name = ?", (ORIGIN,)).fetchone()
        if origin is None:
            return _not_compared("the local copy is not whole; the next start fetches it anew")
        if origin[0] != self._origin:
            return _not_compared("the local copy is one of another log; the next start replaces it")
        revision, _ = tables.read_facts(connection)
        raw = revision - self._offset
        if raw > self._revision:
            self._revision = await self._newest_revision()
        name, says = "copy", _COPY.format(revision)
        asked = _Asked(self._first, {name: says})
        if raw > self._revision:
            asked.ask(name, f"the copy is ahead of etcd, which is at revision {self._revision + self._offset}")
            return next(asked.findings())
        try:
            await self._compare_at(raw, connection, lambda *told: asked.ask(name, *told))
        except CompactedRevisionError:
            return _not_compared(
                f"etcd has compacted revision {revision}, which the local copy shows; a start sets it right"
            )
        return next(asked.findings())

    async def _newest_revision(self) -> int:
        answer = await self._client.repeatedly("Range", _CALL_SECONDS, key=self._layout.identity, keys_only=True)
        return int(answer.header.revision)

    async def _compare_at(
        self, raw: int, connection: apsw.Connection, ask: Callable[[str | None, Key | None, int], None]
    ) -> None:
        reader = Reader(connection)
        seen: set[int] = set()
        async for kvs in pages(self._client, self._layout.objects, self._layout.objects_end, raw):
            self._tell("copy")
            for kv in kvs:
                try:
                    item = self._fetched(kv)
                except ValueError:
                    continue  # told already, about etcd itself
                here, position = reader.newest(item.key)
                seen.add(position)
                ask(_difference(item, here), item.key, item.revision)
        execute: Any = connection.execute
        for *parts, position in execute("SELECT resource, cluster, namespace, name, position FROM current"):
            if position not in seen:
                ask("the copy has it, etcd has not", Key(*parts), position >> ORDINAL_BITS)


def _difference(item: Fetched, here: Any) -> str | None:
    if here is None:
        return "etcd has it, the copy has not"
    if here.revision != item.revision:
        return f"the copy has it at revision {here.revision}"
    if (here.value, here.tag) != (item.value, item.tag):
        return "the copy has another value"
    return None


def _not_compared(why: str) -> Finding:
    return Finding("copy", f"not compared: {why}", 0, 0, [])


def _number(content: bytes) -> int | None:
    return int(content) if content.isdigit() else None
