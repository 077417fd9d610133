"""The invariants of a SQLite log. Checking is read-only and sees one snapshot; a server may use the file meanwhile.

`RULES` lists the invariants. A rule is a query, or a function, that finds violations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from kcp.store.contract import UNREADABLE, LogError
from kcp.store.findings import FIRST, Examine, Finding, Progress, Violation
from kcp.store.sqlite import tables
from kcp.store.sqlite.checksums import CHECKED, KEY_BYTES, is_text, key_of, readable, text
from kcp.store.sqlite.tables import COMPACTED_THROUGH, MAX_CHANGES, OLDEST, ORDINAL_BITS, REVISION

_PROGRESS_STEPS: Final = 200_000
"""Steps of SQLite's virtual machine between two calls of the progress handler."""
_READ_ONLY: Final = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


class FileInUseError(LogError):
    """A server has opened the file while it was checked as a file that no server uses."""


Find = Callable[["Log"], tuple[int, Iterator[Violation]]]


class Log(NamedTuple):
    """A snapshot of a file, for the rules. ``replica`` says that the file is the local replica of a log in etcd."""

    connection: apsw.Connection
    examine: Examine | None
    replica: bool
    path: Path
    alone: bool
    """Whether no server used the file when it was opened."""

    def rows(self, sql: str, **bindings: int | str) -> Any:
        """A query's rows."""
        execute: Any = self.connection.execute
        return execute(sql, bindings)

    def number(self, sql: str) -> int:
        """A query that counts."""
        return int(self.rows(sql).fetchone()[0])


class Rule(NamedTuple):
    """An invariant. ``find`` returns the number of items examined, and the violations."""

    name: str
    invariant: str
    find: Find
    replicas: bool = True
    """Whether the rule applies to replicas of a log in etcd."""


def check(log: Log, *, first: int = FIRST, progress: Progress | None = None) -> Iterator[Finding]:
    """Check every rule in turn. A file that is too damaged for a rule violates it. Raises FileInUseError."""
    try:
        for rule in RULES:
            if log.replica and not rule.replicas:
                continue
            if progress is not None:
                _report_progress(log.connection, rule.name, progress)
            examined, broken = 0, 0
            shown: list[Violation] = []
            try:
                examined, violations = rule.find(log)
                shown = list(islice(violations, first))
                broken = len(shown) + sum(1 for _ in violations)
            except (apsw.Error, UnicodeDecodeError) as error:
                shown.append(Violation(None, 0, f"the file cannot be read: {error}"))
                broken = max(broken, len(shown))
            if broken and log.alone and _write_ahead_log(log.path).exists():
                raise FileInUseError(f"a server has opened {log.path} meanwhile: check again")
            yield Finding(rule.name, rule.invariant, examined, broken, shown)
    finally:
        log.connection.set_progress_handler(None)


def _report_progress(connection: apsw.Connection, name: str, progress: Progress) -> None:
    def alive() -> bool:
        progress(name)
        return False

    alive()
    connection.set_progress_handler(alive, _PROGRESS_STEPS)


def open_log(path: Path, *, examine: Examine | None = None, replica: bool = False) -> Log:
    """Open a snapshot of a file. The caller closes its connection.

    Raises ForeignFileError, NewerFormatError, apsw.Error, and FileNotFoundError where there is none.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    alone = not _write_ahead_log(path).exists()
    # offline: leave no -wal or -shm file behind
    connection = apsw.Connection(f"file:{_quoted(path)}{'?immutable=1' if alone else ''}", flags=_READ_ONLY)
    try:
        # the last connection to close would checkpoint the write-ahead log: a check must not write
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_timeout(5000)
        tables.read_as_newest(connection, path)
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM sqlite_schema").fetchall()  # the first read takes the snapshot
    except BaseException:
        connection.close(force=True)
        raise
    return Log(connection, examine, replica, path, alone)


def _write_ahead_log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.absolute()))


# rules that are queries: each row is a key, a position, and what is wrong. A damaged file may have any bytes in its columns

_KEY: Final = "resource, cluster, namespace, name"
_POSITION: Final = "CASE typeof(position) WHEN 'integer' THEN position ELSE 0 END"
_COMPACTED: Final = f"(SELECT coalesce((SELECT value FROM metadata WHERE name = '{COMPACTED_THROUGH}'), 0))"
"""The position up to which superseded rows have been removed."""
_IN_LOG: Final = "SELECT count(*) FROM log"
_SAME_KEY: Final = (
    "({0}.resource, {0}.cluster, {0}.namespace, {0}.name) = (log.resource, log.cluster, log.namespace, log.name)"
)


def _query(counted: str, sql: str) -> Find:
    found = (
        f"WITH found({_KEY}, position, what) AS ({sql}) SELECT {KEY_BYTES}, {_POSITION}, CAST(what AS BLOB) FROM found"
    )

    def find(log: Log) -> tuple[int, Iterator[Violation]]:
        return log.number(counted), map(_violation, log.rows(found))

    return find


def _violation(row: tuple[Any, ...]) -> Violation:
    *parts, position, what = row
    return Violation(key_of(parts), position >> ORDINAL_BITS, text(what))


_SHAPE: Final = f"""
SELECT {_KEY}, position, 'a column has a value of another type than it must' FROM log
WHERE typeof(resource) != 'text' OR typeof(cluster) != 'text' OR typeof(namespace) != 'text' OR typeof(name) != 'text'
   OR typeof(deletes) != 'integer' OR deletes NOT IN (0, 1) OR typeof(previous) != 'integer' OR previous < 0
   OR typeof(tag) != 'text' OR typeof(value) NOT IN ('blob', 'null') OR (value IS NULL AND NOT deletes)
   OR position < {MAX_CHANGES} OR resource = '' OR name = ''
"""
# the rows of a write are numbered without gaps; above the compaction line all of them are kept
_WRITES: Final = f"""
SELECT min(resource), min(cluster), min(namespace), min(name), min(position),
  'of the ' || (max(position & {MAX_CHANGES - 1}) + 1) || ' changes of this write, ' || count(*) || ' are there'
FROM log WHERE position >> {ORDINAL_BITS} > {_COMPACTED} >> {ORDINAL_BITS}
GROUP BY position >> {ORDINAL_BITS} HAVING count(*) != max(position & {MAX_CHANGES - 1}) + 1
UNION ALL
SELECT {_KEY}, min(position), 'this write changes the key ' || count(*) || ' times' FROM log
GROUP BY {_KEY}, position >> {ORDINAL_BITS} HAVING count(*) > 1
"""
# `previous` of a row is the row before it of the key, above the compaction line and wherever that row is kept
_PREVIOUS: Final = f"""
WITH chain AS (
  SELECT {_KEY}, position, deletes, previous,
    lag(position) OVER (PARTITION BY {_KEY} ORDER BY position) AS before,
    lag(deletes) OVER (PARTITION BY {_KEY} ORDER BY position) AS before_deletes
  FROM log
)
SELECT {_KEY}, position, CASE
    WHEN previous >= position THEN 'previous is not before it'
    WHEN deletes AND NOT previous AND before IS NULL THEN 'it deletes what was not there'
    WHEN before IS NULL OR before < previous THEN
      'previous (revision ' || (previous >> {ORDINAL_BITS}) || ') is no row of the key, above the compaction line'
    WHEN before_deletes AND previous THEN 'it comes after a deletion, but has a previous row'
    WHEN previous = 0 THEN 'the row of revision ' || (before >> {ORDINAL_BITS}) || ' comes before it, but previous is none'
    ELSE 'previous (revision ' || (previous >> {ORDINAL_BITS}) || ') is not the row before it (revision '
      || (before >> {ORDINAL_BITS}) || ')' END
FROM chain WHERE previous >= position OR (deletes AND NOT previous)
  OR (before IS NULL AND previous AND position > {_COMPACTED})
  OR (before IS NOT NULL AND previous != CASE WHEN before_deletes THEN 0 ELSE before END
      AND (position > {_COMPACTED} OR previous = 0))
"""
_REMOVED: Final = f"""
SELECT {_KEY}, position, 'a deletion below the compaction line is still there' FROM log
WHERE deletes AND position <= {_COMPACTED}
UNION ALL
SELECT log.resource, log.cluster, log.namespace, log.name, log.position,
  'it is superseded below the compaction line and still there'
FROM log AS later JOIN log ON log.position = later.previous
WHERE later.previous AND later.position <= {_COMPACTED}
"""
_CURRENT: Final = f"""
SELECT current.resource, current.cluster, current.namespace, current.name, current.position, CASE
    WHEN log.position IS NULL THEN 'current names a row that is not in the log'
    WHEN NOT {_SAME_KEY.format("current")} THEN 'current names a row of another key'
    ELSE 'current names a deletion' END
FROM current LEFT JOIN log ON log.position = current.position
WHERE log.position IS NULL OR NOT {_SAME_KEY.format("current")} OR log.deletes
"""
_NEWEST: Final = f"""
WITH newest AS (SELECT {_KEY}, max(position) AS position, deletes FROM log GROUP BY {_KEY})
SELECT newest.resource, newest.cluster, newest.namespace, newest.name, newest.position, CASE
    WHEN newest.deletes THEN 'the key is deleted, but in current'
    WHEN current.position IS NULL THEN 'the newest row of the key is not in current'
    ELSE 'current names revision ' || (current.position >> {ORDINAL_BITS}) || ', which is not the newest of the key' END
FROM newest LEFT JOIN current USING ({_KEY})
WHERE CASE WHEN newest.deletes THEN current.position IS NOT NULL ELSE current.position IS NOT newest.position END
"""
_TOMBSTONES: Final = f"""
SELECT {_KEY}, position, 'a delete in the log has no tombstone' FROM log
WHERE deletes AND ({_KEY}, position) NOT IN (SELECT {_KEY}, position FROM tombstones)
UNION ALL
SELECT {_KEY}, position, 'a tombstone has no delete in the log' FROM tombstones
WHERE NOT EXISTS (SELECT 1 FROM log WHERE log.position = tombstones.position AND deletes AND {_SAME_KEY.format("tombstones")})
"""
_EXPIRY: Final = f"""
SELECT coalesce(resource, ''), coalesce(cluster, ''), coalesce(namespace, ''), coalesce(name, ''), expiry.position, CASE
    WHEN due <= 0 OR typeof(due) != 'integer' THEN 'the expiry time is invalid: ' || due
    WHEN deletes THEN 'a deletion has a lifetime'
    ELSE 'a row has a lifetime that is not in the log, above the compaction line' END
FROM expiry LEFT JOIN log ON log.position = expiry.position
WHERE due <= 0 OR typeof(due) != 'integer' OR deletes OR (log.position IS NULL AND expiry.position > {_COMPACTED})
"""


# rules that are more than a query


def _integrity(log: Log) -> tuple[int, Iterator[Violation]]:
    found = (row[0] for row in log.rows("PRAGMA integrity_check(1000000)"))
    return log.number("PRAGMA page_count"), (Violation(None, 0, text) for text in found if text != "ok")


def _schema(log: Log) -> tuple[int, Iterator[Violation]]:
    """Compare the tables with those that the migrations up to the file's format create."""
    fresh = apsw.Connection(":memory:")
    for migration in tables.MIGRATIONS[: log.number("PRAGMA user_version")]:
        fresh.execute(migration)
    sql = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
    expected: dict[Any, Any] = dict(fresh.execute(sql))
    fresh.close()
    there = dict(log.rows(sql))
    return len(expected), (
        Violation(None, 0, f"{name}: {'missing' if name not in there else 'not as this version of kcp makes it'}")
        for name in expected
        if there.get(name) != expected[name]
    )


def _metadata(log: Log) -> tuple[int, Iterator[Violation]]:
    number = "CASE typeof(value) WHEN 'integer' THEN value ELSE CAST(value AS BLOB) END"
    rows = log.rows(f"SELECT CAST(name AS BLOB), {number} FROM metadata")
    metadata = {text(name): value for name, value in rows}
    return len(metadata), (
        Violation(None, 0, f"{name} is {value!r}, not a valid number")
        for name, value in metadata.items()
        if not isinstance(value, int) or value < 0
    )


def _counter(log: Log) -> tuple[int, Iterator[Violation]]:
    wanted = (REVISION, OLDEST, COMPACTED_THROUGH)
    rows = log.rows("SELECT CAST(name AS BLOB), value FROM metadata WHERE typeof(value) = 'integer'")
    metadata = {text(name): value for name, value in rows if text(name) in wanted}
    newest = log.number("SELECT coalesce(max(position), 0) FROM log") >> ORDINAL_BITS
    revision, oldest = max(newest, metadata.get(REVISION, 0)), metadata.get(OLDEST, 0)
    line = metadata.get(COMPACTED_THROUGH, 0) >> ORDINAL_BITS
    found = []
    # a replica's revision advances with etcd's, which does not only count changes of keys: its oldest revision may be ahead
    if oldest > revision and not log.replica:
        found.append(Violation(None, revision, f"the oldest revision, {oldest}, is above the newest one"))
    if line > oldest:
        found.append(Violation(None, line, f"compacted up to here, but the oldest available revision is {oldest}"))
    return 3, iter(found)


def _texts(log: Log) -> tuple[int, Iterator[Violation]]:
    def found() -> Iterator[Violation]:
        for table, counted in (("log", "tag"), ("current", "''"), ("tombstones", "''")):
            for *parts, tag, position in log.rows(
                f"SELECT {KEY_BYTES}, CAST({counted} AS BLOB), {_POSITION} FROM {table}"
            ):
                for column, content in zip((*_KEY.split(", "), "tag"), (*parts, tag), strict=True):
                    if not is_text(content):
                        what = f"its {column} in {table} is not UTF-8"
                        yield Violation(key_of(parts), position >> ORDINAL_BITS, what)

    tables_ = "(SELECT count(*) FROM log) + (SELECT count(*) FROM current) + (SELECT count(*) FROM tombstones)"
    return log.number(f"SELECT {tables_}"), found()


_POSITION_OF_KEY: Final = f"SELECT current.position FROM current WHERE {_SAME_KEY.format('current')}"
_WITH_VALUE: Final = "FROM log WHERE typeof(value) = 'blob'"


def _checksums(log: Log) -> tuple[int, Iterator[Violation]]:
    def found() -> Iterator[Violation]:
        for *parts, position, value, tag, expected in log.rows(
            f"SELECT {KEY_BYTES}, position, {CHECKED} {_WITH_VALUE}"
        ):
            if readable(position, value, tag, expected)[0] is UNREADABLE and is_text(tag):
                key = key_of(parts)
                yield Violation(
                    key, position >> ORDINAL_BITS, "the value is not what was written: its checksum differs"
                )

    return log.number(f"SELECT count(*) {_WITH_VALUE} AND checksum IS NOT NULL"), found()


def _values(log: Log) -> tuple[int, Iterator[Violation]]:
    examine = log.examine
    if examine is None:
        return 0, iter(())

    def found() -> Iterator[Violation]:
        columns = f"{KEY_BYTES}, position, value, ({_POSITION_OF_KEY})"
        for *parts, position, value, newest in log.rows(f"SELECT {columns} {_WITH_VALUE}"):
            key = key_of(parts)
            if wrong := examine(key, value, newest == position):
                yield Violation(key, position >> ORDINAL_BITS, wrong)

    return log.number(f"SELECT count(*) {_WITH_VALUE}"), found()


RULES: Final = (
    Rule("integrity", "SQLite's integrity check of pages and indexes passes", _integrity),
    Rule("schema", "the tables are those of the file's format", _schema),
    Rule("metadata", "the log's metadata are non-negative numbers", _metadata),
    Rule("counter", "compaction line <= oldest revision <= newest revision", _counter),
    Rule("shape", "every row has a key, a position and a value of the right types", _query(_IN_LOG, _SHAPE)),
    Rule(
        "writes", "above the compaction line every write is complete, and changes a key once", _query(_IN_LOG, _WRITES)
    ),
    Rule("previous", "every row names the previous row of its key", _query(_IN_LOG, _PREVIOUS)),
    Rule("compacted", "no superseded value or delete is left below the compaction line", _query(_IN_LOG, _REMOVED)),
    Rule(
        "current",
        "every current row names a value of its key in the log",
        _query("SELECT count(*) FROM current", _CURRENT),
    ),
    Rule(
        "newest",
        "exactly the newest value of every existing key is current",
        _query(f"SELECT count(*) FROM (SELECT 1 FROM log GROUP BY {_KEY})", _NEWEST),
    ),
    Rule(
        "tombstones",
        "every retained delete has a tombstone, and no other row has",
        _query("SELECT count(*) FROM tombstones", _TOMBSTONES),
    ),
    Rule(
        "expiry",
        "every expiry time belongs to a value in the log, or to a compacted one",
        _query("SELECT count(*) FROM expiry", _EXPIRY),
    ),
    Rule("texts", "every key and tag is UTF-8", _texts),
    Rule("checksums", "every value that has a checksum is what was written", _checksums),
    Rule("values", "every value is an object in its stored form", _values),
)
"""All rules, in the order in which they are checked."""
