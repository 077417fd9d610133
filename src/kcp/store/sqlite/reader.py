"""Reads of the SQLite log: one key, pages of a range now and at an older revision, history in pieces.

An older state needs no history index. A key that has not changed since is in ``current``. A key that has changed is in
``current`` with a newer position, or among the tombstones; following ``previous`` from there leads to the older value. So a
page of an older state costs as much as a page of the current one, plus a step for each later change of the keys *on the page*.

A damaged value is `UNREADABLE` in the result of a read of one key, and left out of a page. `DamagedValues` says when pages and
history check the values that they read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar

import apsw

from kcp.logical_clusters import WILDCARD
from kcp.store.contract import (
    UNREADABLE,
    CompactedError,
    Event,
    Hint,
    Key,
    Needle,
    Range,
    Record,
    StoreUnavailableError,
)
from kcp.store.hub import HistoryPiece
from kcp.store.sqlite.checksums import (
    CHECKED,
    CHECKED_BY_CURRENT,
    CHECKED_BY_KEY,
    CHECKED_ROWS,
    KEY_BYTES,
    checked_row,
    key_of,
    readable,
)
from kcp.store.sqlite.damage import DamagedValues
from kcp.store.sqlite.tables import ORDINAL_BITS, error_text

_COUNT_AT_MOST: Final = 2000
"""Keys counted after a page at most; beyond that, `Page.remaining` is -1."""
_CHANGED_AT_MOST: Final = 1000
_PIECE_ROWS: Final = 2000
"""Rows of the log read for one piece of history."""
_PIECE_EVENTS: Final = 250
_PIECE_BYTES: Final = 4 << 20
_LARGEST_BLOCK: Final = 64
"""Rows that a page of a past state with a limit in bytes reads at a time."""

FIND: Final = (
    f"SELECT log.position, {CHECKED_BY_CURRENT} FROM current CROSS JOIN log ON log.position = current.position "
    "WHERE current.resource = ? AND current.cluster = ? AND current.namespace = ? AND current.name = ?"
)
_ROWS: Final = (
    "SELECT current.resource, current.cluster, current.namespace, current.name, log.position, log.value, log.tag "
    "FROM current CROSS JOIN log ON log.position = current.position WHERE "
)
_IN_ORDER: Final = " ORDER BY current.cluster, current.namespace, current.name"
_PAST: Final = """
WITH RECURSIVE chain(position, previous) AS (
  SELECT position, previous FROM log WHERE position = ?1
  UNION ALL
  SELECT log.position, log.previous FROM chain JOIN log ON log.position = chain.previous
    WHERE chain.position >= ?2 AND log.position < chain.position
)
SELECT {} FROM log WHERE log.position = (SELECT chain.position FROM chain WHERE chain.position < ?2)
"""
_AT: Final = _PAST.format("log.position, " + CHECKED_BY_KEY.format("?3", "?4", "?5", "?6"))
_PREVIOUS: Final = f"SELECT {CHECKED_BY_KEY.format('?2', '?3', '?4', '?5')} FROM log WHERE position = ?1"
_HISTORY: Final = (
    f"SELECT position, deletes, previous, {KEY_BYTES}, {CHECKED} FROM log WHERE position > ? AND position <= ? AND "
)

P = ParamSpec("P")
R = TypeVar("R")

_make: Final = tuple.__new__
"""Makes a named tuple without its Python-level constructor, which is a large part of a list's cost."""


class RangePart(NamedTuple):
    """Part of a range: the records, whether more keys follow, and the keys that are left out because of damage."""

    records: list[Record]
    more: bool
    damaged: Sequence[Key] = ()


class Searched(NamedTuple):
    """A step of a search: the records found, and the last key examined (None at the end of the range)."""

    records: list[Record]
    last: Key | None


def _or_unavailable(method: Callable[Concatenate[Reader, P], R]) -> Callable[Concatenate[Reader, P], R]:
    """Decorate a read to raise the contract's StoreUnavailableError for SQLite's errors.

    A read that meets text that is not UTF-8 is repeated as one that checks what it reads.
    """

    @functools.wraps(method)
    def read(self: Reader, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except UnicodeDecodeError:
            if self.damage.check_all:
                raise
            self.damage.check_all = True
            return read(self, *args, **kwargs)
        except apsw.Error as error:
            raise StoreUnavailableError(f"the store cannot read: {error_text(error, self.connection)}") from error

    return read


class Reader:
    """Reads over one connection, on the event loop's thread. No statement stays open when a method returns.

    Each read raises StoreUnavailableError when the disk fails.
    """

    def __init__(self, connection: apsw.Connection, damage: DamagedValues) -> None:
        self.connection = connection
        self.damage = damage
        self._execute: Any = connection.execute

    @_or_unavailable
    def newest(self, key: Key) -> tuple[Record | None, int]:
        """Return the committed value of a key, and its position (0 if absent)."""
        for position, *columns in self._execute(FIND, key):
            return self._checked(key, position, columns), position
        return None, 0

    def _checked(self, key: Key, position: int, columns: Sequence[Any], *, current: bool = True) -> Record:
        """Make the record of a row from the columns `CHECKED`; report a damaged value."""
        return self._reported(key, position, *readable(position, *columns), current=current)

    def _reported(self, key: Key, position: int, value: bytes, tag: str, *, current: bool = True) -> Record:
        if value is UNREADABLE:
            self.damage.report(key, position >> ORDINAL_BITS, current=current)
        return _make(Record, (key, position >> ORDINAL_BITS, value, tag))

    def _checked_row(self, row: Sequence[Any]) -> Record:
        """Make the record of a row of `CHECKED_ROWS`; report a damaged value."""
        key, position, value, tag = checked_row(row)
        return self._reported(key, position, value, tag)

    @_or_unavailable
    def page(self, range_: Range, after: Key | None, limit: int, size: int = 0) -> RangePart:
        """Return a page of the committed state; it ends soon after ``size`` bytes of values (0: no limit)."""
        if (condition := _condition("current", range_, after)) is None:
            return RangePart([], False)
        where, bindings = condition
        if self.damage.check_all:
            return self._checked_page(where, bindings, limit, size)
        rows = self._execute(*_select(_ROWS, where, bindings, limit + 1 if limit else 0))
        if not size:
            return _cut(_records(rows), limit)
        records: list[Record] = []
        append = records.append
        for row in rows:
            append(_make(Record, (_make(Key, row[:4]), row[4] >> ORDINAL_BITS, row[5], row[6])))
            size -= len(row[5])
            if size < 0:
                del records[limit or len(records) :]
                return RangePart(records, True)
        return _cut(records, limit)

    def _checked_page(self, where: str, bindings: tuple[Any, ...], limit: int, size: int) -> RangePart:
        records: list[Record] = []
        damaged: list[Key] = []
        left = size
        for row in self._execute(*_select(CHECKED_ROWS, where, bindings, 0)):
            if (limit and len(records) == limit) or left < 0:
                return RangePart(records, True, damaged)
            record = self._checked_row(row)
            if record.value is UNREADABLE:
                damaged.append(record.key)
                continue
            records.append(record)
            if size:
                left -= len(record.value)
        return RangePart(records, False, damaged)

    @_or_unavailable
    def page_at(self, range_: Range, after: Key | None, limit: int, at: int, size: int = 0) -> RangePart:
        """Return a page of the state at an older revision, which must be retained; ``size`` as in `page`."""
        if _condition("current", range_, after) is None:
            return RangePart([], False)
        bound = (at + 1) << ORDINAL_BITS
        found: list[Record] = []
        damaged: list[Key] = []
        step = min(limit, _LARGEST_BLOCK) if size else limit
        with self.connection:  # one snapshot for all the statements
            last = self._some_at(range_, after, step, bound, found, damaged, size)
            while last is not None and len(found) <= limit:
                if size and found and sum([len(record[2]) for record in found]) > size:
                    del found[limit or len(found) :]
                    return RangePart(found, True, damaged)
                before, last = last, self._some_at(range_, last, step, bound, found, damaged, size)
                check_progress(before, last)
        return _cut(found, limit, damaged)

    def _some_at(
        self,
        range_: Range,
        after: Key | None,
        limit: int,
        bound: int,
        found: list[Record],
        damaged: list[Key],
        size: int = 0,
    ) -> Key | None:
        """Add the older values of the next rows; ends soon after ``size`` bytes of values (0: no limit).

        Returns the last key examined, None at the end of the range.
        """
        condition = _condition("current", range_, after)
        assert condition is not None
        held = 0
        last: Key | None = None
        records: list[Record] = []
        check = self.damage.check_all
        end = True
        rows = self._execute(*_select(CHECKED_ROWS if check else _ROWS, *condition, limit + 1 if limit else 0))
        for count, row in enumerate(rows, 1):
            position = row[4]
            newest = self._checked_row(row) if check else _record(row)
            last = newest.key
            if position < bound:
                records.append(newest)
            elif before := self._at(last, position, bound):
                records.append(before)
            held += len(newest.value)
            if (limit and count > limit) or (size and held > size):
                end = False
                break
        present = len(records)
        records += self._deleted_since(range_, after, None if end else last, bound)
        if len(records) > present:
            records.sort(key=_key_of)
        if self.damage.check_all:
            damaged += [record.key for record in records if record.value is UNREADABLE]
            records = [record for record in records if record.value is not UNREADABLE]
        found += records
        return None if end else last

    def _deleted_since(self, range_: Range, after: Key | None, until: Key | None, bound: int) -> list[Record]:
        """Return the older values of keys deleted since, after ``after`` and up to ``until``."""
        condition = _condition("tombstones", range_, after, until)
        assert condition is not None
        where, bindings = condition
        sql = (
            f"SELECT {KEY_BYTES}, position FROM tombstones WHERE {where} AND position >= ? "
            "ORDER BY cluster, namespace, name, position"
        )
        records = []
        # a key deleted twice since was created in between: the second walk ends at the creation, without a value
        for *parts, position in self._execute(sql, (*bindings, bound)).fetchall():
            if before := self._at(key_of(parts), position, bound):
                records.append(before)
        return records

    def _at(self, key: Key, position: int, bound: int) -> Record | None:
        """Return the value that a key had before ``bound``, following ``previous`` from one of its rows."""
        for found, *columns in self._execute(_AT, (position, bound, *key)):
            return self._checked(key, found, columns, current=False)
        return None

    @_or_unavailable
    def search(
        self, range_: Range, hint: Hint, after: Key | None, at: int, limit: int, size: int, keys: int
    ) -> Searched:
        """Find the records of the state at a revision that meet the hint, in the next ``keys`` keys after ``after``.

        Stops soon after ``limit`` records, or ``size`` bytes of their values (0: no limit). SQLite compares the values.
        """
        if _condition("current", range_, after) is None:
            return Searched([], None)
        bound = (at + 1) << ORDINAL_BITS
        records: list[Record] = []
        found = 0
        with self.connection:  # one snapshot for all the statements
            last = self._key_after(range_, after, keys)
            check_progress(after, last)
            condition = _condition("current", range_, after, last)
            assert condition is not None
            where, bindings = _hinted(*condition, hint, bound)
            for row in self._execute(*_select(_ROWS, where, bindings, 0)):
                record = _record(row)
                if row[4] >= bound:
                    before = self._at(record.key, row[4], bound)
                    if before is None or not hint.admits(before):
                        continue
                    record = before
                records.append(record)
                found += len(record.value)
                if len(records) == limit or (size and found > size):
                    last = record.key
                    break
            deleted = [record for record in self._deleted_since(range_, after, last, bound) if hint.admits(record)]
        if deleted:
            records = sorted([*records, *deleted], key=_key_of)
        return Searched(records, last)

    def _key_after(self, range_: Range, after: Key | None, count: int) -> Key | None:
        """Return the key that is ``count`` keys after a key; None where the range ends before."""
        condition = _condition("current", range_, after)
        assert condition is not None
        where, bindings = condition
        sql = f"SELECT resource, cluster, namespace, name FROM current WHERE {where} ORDER BY cluster, namespace, name LIMIT 1"
        row = self._execute(f"{sql} OFFSET ?", (*bindings, count - 1)).fetchone()
        return None if row is None else _make(Key, row)

    @_or_unavailable
    def count(self, range_: Range, after: Key | None = None, *, most: int = 0) -> int:
        """Count the committed keys of the range after a key; -1 if there are more than ``most``."""
        if (condition := _condition("current", range_, after)) is None:
            return 0
        where, bindings = condition
        limit = f" LIMIT {most + 1}" if most else ""
        counted: int = self._execute(
            f"SELECT count(*) FROM (SELECT 1 FROM current WHERE {where}{limit})", bindings
        ).fetchone()[0]
        return -1 if most and counted > most else counted

    @_or_unavailable
    def count_at(self, range_: Range, after: Key | None, at: int, *, most: int = 0) -> int:
        """Count the keys of the range at a revision; -1 if there are more than ``most``, or too many have changed since."""
        current, deleted = _condition("current", range_, after), _condition("tombstones", range_, after)
        if current is None or deleted is None:
            return 0
        bound = (at + 1) << ORDINAL_BITS
        changed_at_most = _CHANGED_AT_MOST if most else -2
        with self.connection:
            where, bindings = current
            same = self._execute(
                f"SELECT count(*) FROM (SELECT 1 FROM current WHERE {where} AND position < ? LIMIT ?)",
                (*bindings, bound, most + 1 if most else -1),
            ).fetchone()[0]
            changed = []
            for table, (where, bindings) in (("current", current), ("tombstones", deleted)):
                sql = f"SELECT position FROM {table} WHERE {where} AND position >= ? LIMIT ?"
                changed += self._execute(sql, (*bindings, bound, changed_at_most + 1)).fetchall()
            if most and (same > most or len(changed) > changed_at_most):
                return -1
            sql = _PAST.format("count(*)")
            counted: int = same + sum(self._execute(sql, (position, bound)).fetchone()[0] for (position,) in changed)
        return -1 if most and counted > most else counted

    @_or_unavailable
    def remaining(self, range_: Range, after: Key, at: int | None) -> int:
        """Count the keys after a page; -1 if they are too many to count."""
        if at is None:
            return self.count(range_, after, most=_COUNT_AT_MOST)
        return self.count_at(range_, after, at, most=_COUNT_AT_MOST)

    @_or_unavailable
    def history(self, range_: Range, after: int, through: int) -> HistoryPiece:
        """Return the events of a range after ``after``: a bounded piece of the history up to ``through``.

        Raises CompactedError where a change can no longer be read: a client lists again in either case.
        """
        start, end = ((after + 1) << ORDINAL_BITS) - 1, ((through + 1) << ORDINAL_BITS) - 1
        with self.connection:
            last = self._execute(
                "SELECT position FROM log WHERE position > ? AND position <= ? ORDER BY position LIMIT 1 OFFSET ?",
                (start, end, _PIECE_ROWS - 1),
            ).fetchone()
            if last is not None:
                through = last[0] >> ORDINAL_BITS
                end = ((through + 1) << ORDINAL_BITS) - 1
            condition = _condition("log", range_, None)
            assert condition is not None
            where, bindings = condition
            events: list[Event] = []
            size = 0
            for row in self._execute(f"{_HISTORY}{where} ORDER BY position", (start, end, *bindings)):
                revision = row[0] >> ORDINAL_BITS
                if (len(events) >= _PIECE_EVENTS or size > _PIECE_BYTES) and revision != events[-1].revision:
                    through = events[-1].revision
                    break
                if (event := self._event(row)) is None:
                    raise CompactedError(after, revision)
                size += sum(len(record.value) for record in (event.record, event.previous) if record is not None)
                events.append(event)
        if through <= after:  # damage has put rows out of order
            raise CompactedError(after, after + 1)
        return HistoryPiece(events, through)

    def _event(self, row: Sequence[Any]) -> Event | None:
        """Return the event of a row; None if its value is damaged."""
        position, deletes, previous, *parts, value, tag, expected = row
        key = key_of(parts)
        revision = position >> ORDINAL_BITS
        before = None
        if previous:
            columns = self._execute(_PREVIOUS, (previous, *key)).fetchone()
            before = self._checked(key, previous, columns or (None, b"", None), current=False)
        if deletes:
            return Event(revision, key, None, before)
        record = _make(Record, (key, revision, *readable(position, value, tag, expected)))
        if record.value is UNREADABLE:
            self.damage.report(key, revision, current=self.newest(key)[1] == position)
            return None
        return Event(revision, key, record, before)

    @_or_unavailable
    def due(self, now: int, limit: int) -> list[tuple[int, int, Key | None]]:
        """Return expired rows: expiry time, position, and key (None if the row has been compacted)."""
        sql = (
            f"SELECT expiry.due, expiry.position, {KEY_BYTES} FROM expiry "
            "LEFT JOIN log ON log.position = expiry.position WHERE expiry.due <= ? ORDER BY expiry.due LIMIT ?"
        )
        return [
            (due, position, None if parts[0] is None else key_of(parts))
            for due, position, *parts in self._execute(sql, (now, limit)).fetchall()
        ]

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def check_progress(after: Key | None, last: Key | None) -> None:
    """Raise StoreUnavailableError if a read of the keys after ``after`` has ended at an earlier one: it would never end."""
    if after is not None and last is not None and last <= after:
        raise StoreUnavailableError("the store cannot read: the keys of the file are out of order; run kcp store check")


def _key_of(record: Record) -> Key:
    return record.key


def _record(row: Sequence[Any]) -> Record:
    return _make(Record, (_make(Key, row[:4]), row[4] >> ORDINAL_BITS, row[5], row[6]))


def _records(rows: Iterable[Sequence[Any]]) -> list[Record]:
    return [_make(Record, (_make(Key, row[:4]), row[4] >> ORDINAL_BITS, row[5], row[6])) for row in rows]


def _cut(records: list[Record], limit: int, damaged: Sequence[Key] = ()) -> RangePart:
    if limit and len(records) > limit:
        del records[limit:]
        return RangePart(records, True, damaged)
    return RangePart(records, False, damaged)


def _select(rows: str, where: str, bindings: tuple[Any, ...], limit: int) -> tuple[str, tuple[Any, ...]]:
    sql = rows + where + _IN_ORDER
    return (f"{sql} LIMIT ?", (*bindings, limit)) if limit else (sql, bindings)


def _hinted(where: str, bindings: tuple[Any, ...], hint: Hint, bound: int) -> tuple[str, tuple[Any, ...]]:
    """Add to a condition on ``current`` that a row meets the hint or has changed since ``bound``."""
    if hint.name:
        where += " AND current.name = ?"
        bindings = (*bindings, hint.name)
    if hint.needles:
        needles = " AND ".join([_contains(needle) for needle in hint.needles])
        where += f" AND (current.position >= ? OR ({needles}))"
        bindings = (*bindings, bound)
        for needle in hint.needles:
            bindings += needle.strings if needle.tag is None else (needle.tag, *needle.strings)
    return where, bindings


def _contains(needle: Needle) -> str:
    """Return the SQL of a needle. Both operands of ``instr`` are BLOBs: it compares bytes."""
    exempt = [] if needle.tag is None else ["log.tag <> ?"]
    return f"({' OR '.join(exempt + ['instr(log.value, ?)'] * len(needle.strings))})"


def _condition(
    table: str, range_: Range, after: Key | None, until: Key | None = None
) -> tuple[str, tuple[Any, ...]] | None:
    """Return the SQL condition of a range after a key and up to a key of the range, and its bindings; None if no key can follow.

    A bound names only the columns in which keys of the range differ: SQLite then finds the rows by the primary key. Of a bound
    that names the others too it would use nothing, and read the range to its end.
    """
    parts, bindings = [f"{table}.resource = ?"], [range_.resource]
    after_parts: list[tuple[str, str]] = []
    until_parts: list[tuple[str, str]] = []
    is_open = False  # keys of the range differ in this column, or in one before
    beside = False  # the key sorts before the range
    for column, given, bound, end in (
        (
            "cluster",
            None if range_.cluster == WILDCARD else range_.cluster,
            after and after.cluster,
            until and until.cluster,
        ),
        ("namespace", range_.namespace, after and after.namespace, until and until.namespace),
        ("name", None, after and after.name, until and until.name),
    ):
        if given is not None:
            # "+": behind an open column, a constant would keep SQLite from reading in the order of the index
            parts.append(f"{'+' if is_open else ''}{table}.{column} = ?")
            bindings.append(given)
            if after is not None and not after_parts and not beside:
                assert bound is not None
                if bound > given:
                    return None
                beside = bound < given
        is_open = is_open or given is None
        if after is not None and not beside and (given is None or after_parts):
            assert bound is not None
            after_parts.append((column, bound))
        if until is not None and is_open:
            assert end is not None
            until_parts.append((column, end))
    for comparison, bounds in ((">", after_parts), ("<=", until_parts)):
        if bounds:
            columns = ", ".join(f"{table}.{column}" for column, _ in bounds)
            parts.append(f"({columns}) {comparison} ({', '.join('?' * len(bounds))})")
            bindings += [bound for _, bound in bounds]
    return " AND ".join(parts), tuple(bindings)
