"""The invariants of a log in etcd and of its local replica. Checking is read-only and sees the state at one revision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from kcp.logical_clusters import SERVER_OWNED
from kcp.store.contract import Key, StoreUnavailableError
from kcp.store.etcd import messages
from kcp.store.etcd.access import LogOptions
from kcp.store.etcd.client import CompactedRevisionError, EtcdClient, RefusedError
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.paging import pages
from kcp.store.etcd.replica import ORIGIN, Fetched, origin_of, replica_file
from kcp.store.findings import FIRST, Examine, Finding, Progress, Violation
from kcp.store.sqlite import integrity, tables
from kcp.store.sqlite.checksums import KEY_BYTES, key_of
from kcp.store.sqlite.reader import FIND
from kcp.store.sqlite.tables import ORDINAL_BITS, ForeignFileError, NewerFormatError

_CALL_SECONDS: Final = 10.0
_RULES: Final = {
    "keys": "every key below the prefix is one that kcp writes",
    "stored": "every object's key and envelope can be decoded, and its key is in canonical form",
    "values": "every value is an object in its stored form",
    "marker": "the marker of the last write is as new as every object",
    "metadata": "the log's identity, offset and compaction line are present and valid",
    "leases": "servers and leaders have a lease, and every leader is a server",
}
_REPLICA: Final = "the local replica equals etcd at revision {}"


class _Tally:
    """Counts of each rule, from which the findings are made."""

    def __init__(self, first: int, invariants: dict[str, str]) -> None:
        self._first = first
        self._invariants = invariants
        self._examined = dict.fromkeys(invariants, 0)
        self._broken = dict.fromkeys(invariants, 0)
        self._shown: dict[str, list[Violation]] = {name: [] for name in invariants}

    def count(self, name: str, wrong: str | None, key: Key | None = None, revision: int = 0) -> None:
        """Count an examined item of a rule; ``wrong`` says how it violates the rule."""
        self._examined[name] += 1
        if wrong is not None:
            self._broken[name] += 1
            if len(self._shown[name]) < self._first:
                self._shown[name].append(Violation(key, revision, wrong))

    def findings(self) -> Iterator[Finding]:
        """Yield the result of each rule."""
        for name, invariant in self._invariants.items():
            yield Finding(name, invariant, self._examined[name], self._broken[name], self._shown[name])


async def check_log(
    options: LogOptions, folder: Path, examine: Examine, first: int = FIRST, progress: Progress | None = None
) -> list[Finding]:
    """Check the log below the prefix, and its replica in the folder if there is one. Servers may use both.

    Raises StoreUnavailableError, EndpointError.
    """
    client = EtcdClient(options.connection)
    layout = Layout(options.prefix)
    report = progress or (lambda _name: None)
    try:
        check = _Check(client, layout, examine, first, report)
        findings = await check.check_etcd()
        replica = replica_file(folder, layout)
        if replica.exists():
            findings += await check.check_replica(replica)
        return findings
    except RefusedError as error:
        raise StoreUnavailableError(f"etcd refuses: {error}") from error
    except CompactedRevisionError as error:
        raise StoreUnavailableError("etcd was compacted while it was read: check again") from error
    finally:
        await client.close()


class _Check:
    """One check of a log, and what it has read so far."""

    def __init__(self, client: EtcdClient, layout: Layout, examine: Examine, first: int, report: Progress) -> None:
        self._client = client
        self._layout = layout
        self._examine = examine
        self._first = first
        self._report = report
        self._tally = _Tally(first, _RULES)
        self._records: dict[bytes, Any] = {}
        self._newest = (0, Key("", SERVER_OWNED, "", ""))
        self._revision = 0
        self._offset = 0
        self._origin = 0

    async def check_etcd(self) -> list[Finding]:
        """Check the rules about etcd."""
        answer = await self._client.repeatedly("Range", _CALL_SECONDS, key=self._layout.identity)
        self._revision = answer.header.revision
        for wrong in await self._metadata_problems():
            self._tally.count("metadata", wrong)
        async for kvs in pages(self._client, self._layout.start, self._layout.end, self._revision):
            self._report("etcd")
            for kv in kvs:
                self._check_key(kv)
        self._tally.count(
            "marker", self._marker_problem(), self._newest[1] if self._newest[0] else None, self._newest[0]
        )
        self._check_leases()
        return list(self._tally.findings())

    async def _metadata_problems(self) -> list[str | None]:
        """Return what is wrong with each part of the metadata at the revision."""
        layout = self._layout
        answer = await self._client.repeatedly(
            "Range", _CALL_SECONDS, key=layout.metadata, range_end=layout.metadata_end, revision=self._revision
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

    def _check_key(self, kv: Any) -> None:
        layout = self._layout
        if kv.key.startswith(layout.objects):
            self._tally.count("keys", None)
            self._check_object(kv)
            return
        known = (layout.marker, layout.identity, layout.offset, layout.compacted, layout.importing, layout.restoring)
        if kv.key in known or any(
            kv.key.startswith(begin) and kv.key != begin for begin in (layout.servers, layout.leaders)
        ):
            self._tally.count("keys", None)
            self._records[kv.key] = kv
        else:
            self._tally.count("keys", f"{kv.key!r} is not a key that kcp writes", None, kv.mod_revision + self._offset)

    def _check_object(self, kv: Any) -> None:
        revision = kv.mod_revision + self._offset
        try:
            fetched = self._fetched(kv)
        except ValueError as error:
            self._tally.count("stored", f"{kv.key!r}: {error}", None, revision)
            return
        key = fetched.key
        canonical = self._layout.object_key(key)
        self._tally.count(
            "stored", None if canonical == kv.key else f"its key is {kv.key!r}, not {canonical!r}", key, revision
        )
        self._tally.count("values", self._examine(key, fetched.value, True), key, revision)
        self._newest = max(self._newest, (revision, key))

    def _fetched(self, kv: Any) -> Fetched:
        """Raises ValueError."""
        key = self._layout.key_of(kv.key)
        content = messages.parse("Stored", kv.value)
        return Fetched(key, kv.mod_revision + self._offset, content.value, content.tag)

    def _marker_problem(self) -> str | None:
        newest = self._newest[0]
        marker = self._records.get(self._layout.marker)
        if marker is None:
            return "there are objects, but no marker" if newest else None
        try:
            messages.parse("Marker", marker.value)
        except ValueError as error:
            return str(error)
        written = marker.mod_revision + self._offset
        return f"the marker has revision {written}: the newer write put none" if written < newest else None

    def _check_leases(self) -> None:
        layout = self._layout
        for key, kv in self._records.items():
            name = key.decode(errors="replace")
            if key.startswith(layout.servers):
                self._tally.count(
                    "leases", None if kv.lease else f"server {name} has no lease: its key would never expire"
                )
            elif key.startswith(layout.leaders):
                server = self._records.get(layout.servers + bytes(kv.value))
                wrong = None
                if server is None:
                    wrong = f"{name} is {kv.value!r}, which is not a server"
                elif not kv.lease or kv.lease != server.lease:
                    wrong = f"{name} does not have the lease of its server"
                self._tally.count("leases", wrong)

    # the replica

    async def check_replica(self, path: Path) -> list[Finding]:
        """Check the rules about the replica's file, and compare it with etcd."""
        try:
            log = integrity.open_log(path, examine=self._examine, replica=True)
        except (ForeignFileError, NewerFormatError, apsw.Error) as error:
            return [_not_compared(f"{path} is not a replica of a log ({error}); the next start replaces it")]
        try:
            rules = await asyncio.to_thread(
                lambda: list(integrity.check(log, first=self._first, progress=self._report))
            )
            findings = [finding._replace(name=f"replica {finding.name}") for finding in rules]
            findings.append(await self._compare(log.connection))
        except integrity.FileInUseError as error:
            raise StoreUnavailableError(str(error)) from error
        finally:
            log.connection.close()
        return findings

    async def _compare(self, connection: apsw.Connection) -> Finding:
        execute: Any = connection.execute
        origin = execute("SELECT value FROM metadata WHERE name = ?", (ORIGIN,)).fetchone()
        if origin is None:
            return _not_compared("the local replica is incomplete; the next start fetches it again")
        if origin[0] != self._origin:
            return _not_compared("the local replica is of another log; the next start replaces it")
        revision, _ = tables.read_revisions(connection)
        raw = revision - self._offset
        if raw > self._revision:
            self._revision = await self._newest_revision()
        name, invariant = "replica", _REPLICA.format(revision)
        tally = _Tally(self._first, {name: invariant})
        if raw > self._revision:
            tally.count(name, f"the replica is ahead of etcd, which is at revision {self._revision + self._offset}")
            return next(tally.findings())
        try:
            await self._compare_at(raw, connection, lambda *details: tally.count(name, *details))
        except CompactedRevisionError:
            return _not_compared(
                f"etcd has compacted revision {revision}, which the local replica shows; the next start rebuilds it"
            )
        return next(tally.findings())

    async def _newest_revision(self) -> int:
        answer = await self._client.repeatedly("Range", _CALL_SECONDS, key=self._layout.identity, keys_only=True)
        return int(answer.header.revision)

    async def _compare_at(
        self, raw: int, connection: apsw.Connection, count: Callable[[str | None, Key | None, int], None]
    ) -> None:
        execute: Any = connection.execute
        seen: set[int] = set()
        async for kvs in pages(self._client, self._layout.objects, self._layout.objects_end, raw):
            self._report("replica")
            for kv in kvs:
                try:
                    item = self._fetched(kv)
                except ValueError:
                    continue  # a violation of etcd's rules
                here = execute(FIND, item.key).fetchone()
                seen.add(here[0] if here is not None else 0)
                count(_difference(item, here), item.key, item.revision)
        for *parts, position in execute(f"SELECT {KEY_BYTES}, position FROM current"):
            if position not in seen:
                count("the replica has it, etcd has not", key_of(parts), position >> ORDINAL_BITS)


def _difference(item: Fetched, here: Any) -> str | None:
    if here is None:
        return "etcd has it, the replica has not"
    position, value, tag, _ = here
    revision = position >> ORDINAL_BITS
    if revision != item.revision:
        return f"the replica has it at revision {revision}"
    if (value, tag) != (item.value, item.tag.encode()):
        return "the replica has another value"
    return None


def _not_compared(why: str) -> Finding:
    return Finding("replica", f"not compared: {why}", 0, 0, [])


def _number(content: bytes) -> int | None:
    return int(content) if content.isdigit() else None
