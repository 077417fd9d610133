"""What is always true of a log in a SQLite file, as rules that can be asked for: nothing is changed, one moment is looked at.

A file is checked with or without a server at work on it. `RULES` is the list; a rule is a query that finds what breaks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from kcp.logical_clusters import LogicalClusterName
from kcp.store import tables
from kcp.store.contract import Key
from kcp.store.tables import FORGOTTEN, MAX_CHANGES, OLDEST, ORDINAL_BITS, REVISION

FIRST: Final = 10
"""Violations of each rule that are told unless more are asked for."""
_PROGRESS_STEPS: Final = 200_000
"""Steps of SQLite's machine between two signs of life: some milliseconds."""
_READ_ONLY: Final = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


class FileTakenError(Exception):
    """A server has begun to use the file while it was looked at as one that nobody uses."""


class Violation(NamedTuple):
    """What breaks a rule: where (the key, and the revision, 0 where it is about neither) and how."""

    key: Key | None
    revision: int
    what: str


class Finding(NamedTuple):
    """What came of a rule: how many things it was asked of, how many break it, and the first of these."""

    name: str
    says: str
    examined: int
    broken: int
    first: list[Violation]


Examine = Callable[[Key, bytes], str | None]
"""Says what is wrong with a stored value, for who knows what values are; the store does not."""
Progress = Callable[[str], None]
Look = Callable[["Log"], tuple[int, Iterator[Violation]]]


class Log(NamedTuple):
    """A file at one moment, for the rules. ``replica`` is that it is a copy of what lies in etcd."""

    connection: apsw.Connection
    examine: Examine | None
    replica: bool
    path: Path
    alone: bool
    """Whether nobody used the file when it was opened."""

    def rows(self, sql: str, **bindings: int | str) -> Any:
        """A query's rows."""
        execute: Any = self.connection.execute
        return execute(sql, bindings)

    def number(self, sql: str) -> int:
        """A query that counts."""
        return int(self.rows(sql).fetchone()[0])


class Rule(NamedTuple):
    """What is always true. ``look`` counts what it is asked of, and finds what breaks it."""

    name: str
    says: str
    look: Look
    replicas: bool = True
    """Whether it is true of copies of a log in etcd, too."""


def check(log: Log, *, first: int = FIRST, progress: Progress | None = None) -> Iterator[Finding]:
    """Ask every rule in turn. A file that is too damaged for one breaks that rule. Raises FileTakenError."""
    try:
        for rule in RULES:
            if log.replica and not rule.replicas:
                continue
            if progress is not None:
                _show_life(log.connection, rule.name, progress)
            examined, broken = 0, 0
            told: list[Violation] = []
            try:
                examined, violations = rule.look(log)
                told = list(islice(violations, first))
                broken = len(told) + sum(1 for _ in violations)
            except apsw.Error as error:
                told.append(Violation(None, 0, f"the file cannot be read: {error}"))
                broken = max(broken, len(told))
            if broken and log.alone and _write_ahead_log(log.path).exists():
                raise FileTakenError(f"a server has begun to use {log.path} meanwhile: check again")
            yield Finding(rule.name, rule.says, examined, broken, told)
    finally:
        log.connection.set_progress_handler(None)


def _show_life(connection: apsw.Connection, name: str, progress: Progress) -> None:
    def alive() -> bool:
        progress(name)
        return False

    alive()
    connection.set_progress_handler(alive, _PROGRESS_STEPS)


def opened(path: Path, *, examine: Examine | None = None, replica: bool = False) -> Log:
    """A file as it is now. Close its connection.

    Raises ForeignFileError, NewerFormatError, apsw.Error, and FileNotFoundError where there is none.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    alone = not _write_ahead_log(path).exists()
    # alone, nothing is to be left beside the file by who only looks
    connection = apsw.Connection(f"file:{_quoted(path)}{'?immutable=1' if alone else ''}", flags=_READ_ONLY)
    try:
        # whoever reads last brings the write-ahead log into the file: not who only looks
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_timeout(5000)
        tables.read_format(connection, path)
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM sqlite_schema").fetchall()  # the snapshot is that of the first read
    except BaseException:
        connection.close(force=True)
        raise
    return Log(connection, examine, replica, path, alone)


def _write_ahead_log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.absolute()))


# rules that are queries: each row is a key, a position, and what is wrong

_KEY: Final = "resource, cluster, namespace, name"
_LINE: Final = f"(SELECT coalesce((SELECT value FROM facts WHERE name = '{FORGOTTEN}'), 0))"
"""The position up to which superseded rows are gone."""
_IN_LOG: Final = "SELECT count(*) FROM log"
_SAME_KEY: Final = (
    "({0}.resource, {0}.cluster, {0}.namespace, {0}.name) = (log.resource, log.cluster, log.namespace, log.name)"
)


def _query(counted: str, sql: str) -> Look:
    def look(log: Log) -> tuple[int, Iterator[Violation]]:
        return log.number(counted), map(_violation, log.rows(sql))

    return look


def _violation(row: tuple[Any, ...]) -> Violation:
    resource, cluster, namespace, name, position, what = row
    key = Key(str(resource), LogicalClusterName(str(cluster)), str(namespace), str(name))
    return Violation(key, position >> ORDINAL_BITS if isinstance(position, int) else 0, what)


_SHAPE: Final = f"""
SELECT {_KEY}, position, 'a column has a value of another type than it must' FROM log
WHERE typeof(resource) != 'text' OR typeof(cluster) != 'text' OR typeof(namespace) != 'text' OR typeof(name) != 'text'
   OR typeof(deletes) != 'integer' OR deletes NOT IN (0, 1) OR typeof(previous) != 'integer' OR previous < 0
   OR typeof(tag) != 'text' OR typeof(value) NOT IN ('blob', 'null') OR (value IS NULL AND NOT deletes)
   OR position < {MAX_CHANGES} OR resource = '' OR name = ''
"""
# the rows of a write are numbered without gaps, and those above the line are all there
_WRITES: Final = f"""
SELECT min(resource), min(cluster), min(namespace), min(name), min(position),
  'of the ' || (max(position & {MAX_CHANGES - 1}) + 1) || ' changes of this write, ' || count(*) || ' are there'
FROM log WHERE position >> {ORDINAL_BITS} > {_LINE} >> {ORDINAL_BITS}
GROUP BY position >> {ORDINAL_BITS} HAVING count(*) != max(position & {MAX_CHANGES - 1}) + 1
UNION ALL
SELECT {_KEY}, min(position), 'this write changes the key ' || count(*) || ' times' FROM log
GROUP BY {_KEY}, position >> {ORDINAL_BITS} HAVING count(*) > 1
"""
# for each row, the row of the key before it; above the line, and where that is there, `previous` is it
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
  OR (before IS NULL AND previous AND position > {_LINE})
  OR (before IS NOT NULL AND previous != CASE WHEN before_deletes THEN 0 ELSE before END
      AND (position > {_LINE} OR previous = 0))
"""
_FORGOTTEN: Final = f"""
SELECT {_KEY}, position, 'a deletion below the compaction line is still there' FROM log
WHERE deletes AND position <= {_LINE}
UNION ALL
SELECT log.resource, log.cluster, log.namespace, log.name, log.position,
  'it is superseded below the compaction line and still there'
FROM log AS later JOIN log ON log.position = later.previous
WHERE later.previous AND later.position <= {_LINE}
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
_DEPARTED: Final = f"""
SELECT {_KEY}, position, 'a deletion in the log is not among the departed' FROM log
WHERE deletes AND ({_KEY}, position) NOT IN (SELECT {_KEY}, position FROM departed)
UNION ALL
SELECT {_KEY}, position, 'among the departed, but no deletion in the log' FROM departed
WHERE NOT EXISTS (SELECT 1 FROM log WHERE log.position = departed.position AND deletes AND {_SAME_KEY.format("departed")})
"""
_EXPIRY: Final = f"""
SELECT coalesce(resource, ''), coalesce(cluster, ''), coalesce(namespace, ''), coalesce(name, ''), expiry.position, CASE
    WHEN due <= 0 OR typeof(due) != 'integer' THEN 'the moment is none: ' || due
    WHEN deletes THEN 'a deletion has a lifetime'
    ELSE 'a row has a lifetime that is not in the log, above the compaction line' END
FROM expiry LEFT JOIN log ON log.position = expiry.position
WHERE due <= 0 OR typeof(due) != 'integer' OR deletes OR (log.position IS NULL AND expiry.position > {_LINE})
"""


# rules that are more than a query


def _integrity(log: Log) -> tuple[int, Iterator[Violation]]:
    found = (row[0] for row in log.rows("PRAGMA integrity_check(1000000)"))
    return log.number("PRAGMA page_count"), (Violation(None, 0, text) for text in found if text != "ok")


def _schema(log: Log) -> tuple[int, Iterator[Violation]]:
    """The tables are those that the migrations up to the file's format make."""
    fresh = apsw.Connection(":memory:")
    for migration in tables.MIGRATIONS[: log.number("PRAGMA user_version")]:
        fresh.execute(migration)
    sql = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
    wanted: dict[Any, Any] = dict(fresh.execute(sql))
    fresh.close()
    there = dict(log.rows(sql))
    return len(wanted), (
        Violation(None, 0, f"{name}: {'missing' if name not in there else 'not as this version of kcp makes it'}")
        for name in wanted
        if there.get(name) != wanted[name]
    )


def _facts(log: Log) -> tuple[int, Iterator[Violation]]:
    facts = dict(log.rows("SELECT name, value FROM facts"))
    return len(facts), (
        Violation(None, 0, f"{name} is {value!r}, not a number that can be")
        for name, value in facts.items()
        if not isinstance(value, int) or value < 0
    )


def _counter(log: Log) -> tuple[int, Iterator[Violation]]:
    wanted = (REVISION, OLDEST, FORGOTTEN)
    facts = {
        name: value
        for name, value in log.rows("SELECT name, value FROM facts")
        if name in wanted and isinstance(value, int)
    }
    newest = log.number("SELECT coalesce(max(position), 0) FROM log") >> ORDINAL_BITS
    revision, oldest = max(newest, facts.get(REVISION, 0)), facts.get(OLDEST, 0)
    line = facts.get(FORGOTTEN, 0) >> ORDINAL_BITS
    found = []
    # a copy's counter goes on with etcd's, which counts more than changes of keys: there the oldest revision stands for it
    if oldest > revision and not log.replica:
        found.append(Violation(None, revision, f"the oldest revision, {oldest}, is behind the newest one"))
    if line > oldest:
        found.append(Violation(None, line, f"compacted, but the oldest revision that can be asked for is {oldest}"))
    return 3, iter(found)


def _values(log: Log) -> tuple[int, Iterator[Violation]]:
    examine = log.examine
    if examine is None:
        return 0, iter(())
    sql = f"SELECT {_KEY}, position, value FROM log WHERE typeof(value) = 'blob'"

    def found() -> Iterator[Violation]:
        for *parts, position, value in log.rows(sql):
            key = Key(*parts)
            if wrong := examine(key, value):
                yield Violation(key, position >> ORDINAL_BITS, wrong)

    return log.number("SELECT count(*) FROM log WHERE typeof(value) = 'blob'"), found()


RULES: Final = (
    Rule("integrity", "SQLite's own check of pages and indexes finds nothing", _integrity),
    Rule("schema", "the tables are those of the file's format", _schema),
    Rule("facts", "the facts are numbers from zero on", _facts),
    Rule("counter", "line of compaction <= oldest revision <= newest revision", _counter),
    Rule("shape", "every row has a key, a position and a value of the right types", _query(_IN_LOG, _SHAPE)),
    Rule("writes", "above the compaction line every write is whole, and changes a key once", _query(_IN_LOG, _WRITES)),
    Rule("previous", "every row names the one before it of its key", _query(_IN_LOG, _PREVIOUS)),
    Rule("forgotten", "nothing superseded or deleted is left below the line", _query(_IN_LOG, _FORGOTTEN)),
    Rule(
        "current",
        "what is current is a value of that key in the log",
        _query("SELECT count(*) FROM current", _CURRENT),
    ),
    Rule(
        "newest",
        "the newest value of every key, and no deleted key, is current",
        _query(f"SELECT count(*) FROM (SELECT 1 FROM log GROUP BY {_KEY})", _NEWEST),
    ),
    Rule(
        "departed",
        "the retained deletions are those of the log",
        _query("SELECT count(*) FROM departed", _DEPARTED),
    ),
    Rule(
        "expiry",
        "what has a lifetime is a value in the log, or compacted",
        _query("SELECT count(*) FROM expiry", _EXPIRY),
    ),
    Rule("values", "every value has the form that readers are promised", _values),
)
"""Everything that is asked, in this order."""
