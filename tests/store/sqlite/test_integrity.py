"""Checks of a SQLite log: no violation in a log that a store wrote, and each kind of manual damage is found by its rule."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from kcp.store.contract import Change
from kcp.store.findings import Finding
from kcp.store.sqlite import integrity
from kcp.store.sqlite.compaction import _compact_step
from kcp.store.sqlite.store import SQLiteStore, open_store
from kcp.store.sqlite.tables import (
    COMPACTED_THROUGH,
    FORMAT,
    OLDEST,
    ORDINAL_BITS,
    PUT_METADATA,
    REVISION,
    ForeignFileError,
    NewerFormatError,
)
from tests.store.sqlite.older_formats import write_older_file
from tests.support.damaging import execute
from tests.support.keys import make_key
from tests.support.waiting import eventually


async def any_history(store: SQLiteStore, dice: random.Random, writes: int) -> None:
    """Write puts, deletes, lifetimes and large values; compact now and then."""
    for _ in range(writes):
        changes = []
        for number in dice.sample(range(30), dice.choice((1, 1, 1, 2, 7))):
            key = make_key(dice.choice(("w", "x")), f"c{number % 3}", "", f"n{number}")
            kind = dice.random()
            if kind < 0.3:
                changes.append(Change(key, None))
            else:
                changes.append(Change(key, b"{}", lifetime=dice.choice((None, None, 1000))))
        if len({change.key for change in changes}) == len(changes):
            await store.write(changes)
        if dice.random() < 0.05:
            await store.compact(store.revision - dice.randrange(40))


def found(path: Path, **more: bool) -> dict[str, Finding]:
    log = integrity.open_log(
        path, examine=lambda _key, value, _current: None if value == b"{}" else "not as promised", **more
    )
    try:
        return {finding.name: finding for finding in integrity.check(log)}
    finally:
        log.connection.close()


def broken(path: Path) -> set[str]:
    return {name for name, finding in found(path).items() if finding.broken}


@pytest.mark.parametrize("seed", range(4))
async def test_no_violation_is_found_after_any_history_beside_an_open_store_or_after_it(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    path = tmp_path / "kcp.db"
    for durability in ("full", "relaxed", "full"):  # reopening, and revisions that are skipped
        store = open_store(path, durability=durability)
        for _ in range(2):
            await any_history(store, dice, 60)
            assert broken(path) == set()
        await store.close()
        assert broken(path) == set()
    findings = found(path)
    assert {"previous", "tombstones", "expiry", "values"} <= {name for name, each in findings.items() if each.examined}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["kcp.db", "kcp.db.lock"], "nothing is left behind"


async def test_no_violation_is_found_beside_a_store_that_writes_and_compacts(tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"
    store = open_store(path)
    stop = asyncio.Event()

    async def go_on_writing() -> None:
        dice = random.Random(1)
        while not stop.is_set():
            await any_history(store, dice, 10)

    async def check() -> int:
        findings = await asyncio.to_thread(found, path)
        assert [finding for finding in findings.values() if finding.broken] == []
        return findings["shape"].examined

    writing = asyncio.create_task(go_on_writing())
    first = await check()
    for _ in range(10):
        await check()

    async def changed() -> bool:
        return await check() != first

    await eventually(changed, "the file changes between checks")
    stop.set()
    await writing
    await store.close()


async def test_a_compaction_that_a_killed_process_left_half_done_is_no_violation(tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"
    store = open_store(path)
    for number in range(700):
        await store.write([Change(make_key("w", "c", "", f"n{number % 10}"), b"{}")])
    await store.close()
    connection = apsw.Connection(str(path))
    for fact in (OLDEST, REVISION):
        connection.execute(PUT_METADATA, (fact, 700))
    steps = 0
    done = False
    while not done:
        assert broken(path) == set()
        done = _compact_step(connection, 700 << ORDINAL_BITS)
        steps += 1
    connection.close()
    assert broken(path) == set()
    assert steps > 2


async def _write_both_sides(path: Path) -> None:
    """Write rows below the revision that is compacted, and above it."""
    store = open_store(path)
    dice = random.Random(7)
    for name in ("below", "above"):
        key = make_key("w", "c", "", f"{name}-a")
        for number in range(3):
            await store.write([Change(key, b"{}"), Change(make_key("w", "c", "", f"{name}-{number}"), b"{}")])
        await store.write([Change(make_key("w", "c", "", f"{name}-0"), None)])
        await store.write([Change(make_key("w", "c", "", f"{name}-0"), b"{}", lifetime=1000)])
        await store.write([Change(make_key("w", "c", "", f"{name}-1"), None)])
        if name == "below":
            await any_history(store, dice, 60)
            await store.compact(store.revision)
    await store.close()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with rows on both sides of the compaction line."""
    path = tmp_path_factory.mktemp("sound") / "kcp.db"
    asyncio.run(_write_both_sides(path))
    assert broken(path) == set()
    return path


A = "resource = 'w' AND cluster = 'c' AND name = 'above-a'"
NEWEST = f"(SELECT max(position) FROM log WHERE {A})"
OLDEST_ABOVE = f"(SELECT min(position) FROM log WHERE {A})"
GONE = "(SELECT position FROM log WHERE deletes AND name = 'above-1')"
NO_TEXT = "CAST(x'ff' AS TEXT)"
BREAKS: list[tuple[str, str, str]] = [
    ("counter", "oldest", f"UPDATE metadata SET value = 1000000 WHERE name = '{OLDEST}'"),
    ("counter", "compacted", f"UPDATE metadata SET value = 3 WHERE name = '{OLDEST}'"),
    ("metadata", "not a valid number", f"UPDATE metadata SET value = -3 WHERE name = '{REVISION}'"),
    ("metadata", "not a valid number", f"UPDATE metadata SET value = 'many' WHERE name = '{REVISION}'"),
    ("schema", "expiry: not as", "ALTER TABLE expiry ADD COLUMN note TEXT"),
    ("schema", "tombstones: missing", "DROP TABLE tombstones"),
    ("shape", "another type", f"UPDATE log SET value = NULL WHERE position = {NEWEST}"),
    ("shape", "another type", f"UPDATE log SET value = 'text' WHERE position = {NEWEST}"),
    ("shape", "another type", f"UPDATE log SET tag = x'00' WHERE position = {NEWEST}"),
    ("shape", "another type", f"UPDATE log SET deletes = 2 WHERE position = {NEWEST}"),
    ("writes", "changes of this write", f"DELETE FROM log WHERE position = {OLDEST_ABOVE}"),
    (
        "writes",
        "changes the key 2 times",
        "UPDATE log SET name = 'above-a' WHERE name = 'above-2'",
    ),
    ("previous", "not the row before it", f"UPDATE log SET previous = {OLDEST_ABOVE} WHERE position = {NEWEST}"),
    ("previous", "but previous is none", f"UPDATE log SET previous = 0 WHERE position = {NEWEST}"),
    ("previous", "not before it", f"UPDATE log SET previous = position WHERE position = {NEWEST}"),
    ("previous", "is no row of the key", f"UPDATE log SET previous = 1024 WHERE position = {OLDEST_ABOVE}"),
    (
        "previous",
        "after a deletion",
        """UPDATE log SET previous = 1024 WHERE name = 'above-0' AND NOT previous
           AND position > (SELECT position FROM log WHERE name = 'above-0' AND deletes)""",
    ),
    ("previous", "deletes what was not there", f"UPDATE log SET deletes = 1 WHERE position = {OLDEST_ABOVE}"),
    (
        "compacted",
        "is still there",
        f"""UPDATE metadata SET value = (SELECT max(position) FROM log)
            WHERE name IN ('{COMPACTED_THROUGH}', '{OLDEST}', '{REVISION}')""",
    ),
    ("current", "not in the log", "UPDATE current SET position = 999999999 WHERE name = 'above-a'"),
    ("current", "of another key", f"UPDATE current SET position = {NEWEST} WHERE name = 'above-2'"),
    ("current", "names a deletion", f"UPDATE log SET deletes = 1 WHERE position = {NEWEST}"),
    ("newest", "is not the newest", f"UPDATE current SET position = {OLDEST_ABOVE} WHERE name = 'above-a'"),
    ("newest", "is not in current", "DELETE FROM current WHERE name = 'above-a'"),
    (
        "newest",
        "deleted, but in current",
        f"INSERT INTO current SELECT resource, cluster, namespace, name, previous FROM log WHERE position = {GONE}",
    ),
    ("tombstones", "has no tombstone", f"DELETE FROM tombstones WHERE position = {GONE}"),
    ("tombstones", "no delete in the log", f"UPDATE tombstones SET name = 'other' WHERE position = {GONE}"),
    ("expiry", "the expiry time is invalid", "UPDATE expiry SET due = -4"),
    ("expiry", "not in the log", "INSERT INTO expiry VALUES (4, 999999999)"),
    ("expiry", "a deletion has", f"INSERT INTO expiry VALUES (4, {GONE})"),
    ("texts", "its name in log is not UTF-8", f"UPDATE log SET name = {NO_TEXT} WHERE position = {NEWEST}"),
    ("texts", "its tag in log is not UTF-8", f"UPDATE log SET tag = {NO_TEXT} WHERE position = {NEWEST}"),
    ("texts", "its cluster in current is not UTF-8", f"UPDATE current SET cluster = {NO_TEXT} WHERE name = 'above-a'"),
    ("texts", "its name in tombstones is not UTF-8", f"UPDATE tombstones SET name = {NO_TEXT} WHERE position = {GONE}"),
    ("metadata", "\\xff is", f"UPDATE metadata SET (name, value) = ({NO_TEXT}, {NO_TEXT}) WHERE name = '{REVISION}'"),
    ("checksums", "not what was written", f"UPDATE log SET value = CAST('[]' AS BLOB) WHERE position = {NEWEST}"),
    ("checksums", "not what was written", f"UPDATE log SET checksum = checksum + 1 WHERE position = {NEWEST}"),
    ("values", "not as promised", f"UPDATE log SET value = CAST('x' AS BLOB) WHERE position = {NEWEST}"),
]


@pytest.mark.parametrize(("rule", "words", "sql"), BREAKS, ids=[f"{rule}: {words}" for rule, words, _ in BREAKS])
def test_each_manual_damage_is_found_by_its_rule(sound: Path, tmp_path: Path, rule: str, words: str, sql: str) -> None:
    path = tmp_path / "kcp.db"
    shutil.copyfile(sound, path)
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    assert connection.changes() or rule == "schema"
    connection.close()
    finding = found(path)[rule]
    assert finding.broken
    assert any(words in violation.what for violation in finding.first), finding


COLUMNS = {
    "log": "position resource cluster namespace name deletes previous tag value checksum",
    "current": "resource cluster namespace name position",
    "tombstones": "resource cluster namespace name position",
    "expiry": "due position",
    "metadata": "name value",
}


@pytest.mark.parametrize("content", [NO_TEXT, "x'ff'", "'text'", "-1", "1.5", "NULL"])
def test_a_check_survives_any_content_of_any_column(sound: Path, tmp_path: Path, content: str) -> None:
    path, changed = tmp_path / "kcp.db", 0
    for table, columns in COLUMNS.items():
        for column in columns.split():
            shutil.copyfile(sound, path)
            connection = apsw.Connection(str(path))
            one = f"SELECT {columns.replace(' ', ', ')} FROM {table} LIMIT 1"
            with contextlib.suppress(
                apsw.ConstraintError, apsw.MismatchError
            ):  # the file cannot have this by any change
                connection.execute(
                    f"UPDATE {table} SET {column} = {content} WHERE ({columns.replace(' ', ', ')}) = ({one})"
                )
                changed += connection.changes()
            connection.close()
            assert len(found(path)) == len(integrity.RULES)
    assert changed


def test_a_violation_names_its_key_and_revision_and_all_are_counted(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"
    shutil.copyfile(sound, path)
    connection = apsw.Connection(str(path))
    wanted = set(connection.execute("SELECT name, position >> ? FROM log WHERE value IS NOT NULL", (ORDINAL_BITS,)))
    connection.close()
    execute(path, "UPDATE log SET value = CAST('x' AS BLOB) WHERE value IS NOT NULL")
    log = integrity.open_log(path, examine=lambda _key, _value, _current: "bad")
    every = {each.name: each for each in integrity.check(log, first=1000)}["values"]
    few = {each.name: each for each in integrity.check(log, first=2)}["values"]
    log.connection.close()
    assert {(each.key.name, each.revision) for each in every.first if each.key} == wanted
    assert every.broken == few.broken == every.examined == len(wanted)
    assert len(few.first) == 2


async def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"
    store = open_store(path)
    for start in range(0, 2000, 500):
        await store.write([Change(make_key("w", "c", "", f"n{start + i}"), b"{}" * 100) for i in range(500)])
    await store.close()
    content = bytearray(path.read_bytes())
    for offset in range(30 * 4096, 34 * 4096):
        content[offset] = 0xFF
    path.write_bytes(content)
    assert "integrity" in broken(path)


def write_garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def write_foreign(path: Path) -> None:
    with apsw.Connection(str(path)) as connection:
        connection.execute("CREATE TABLE things (a)")


def write_newer(path: Path) -> None:
    asyncio.run(_opened_once(path))
    with apsw.Connection(str(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


async def _opened_once(path: Path) -> None:
    await open_store(path).close()


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (write_garbage, apsw.NotADBError),
        (write_foreign, ForeignFileError),
        (write_newer, NewerFormatError),
        (lambda _path: None, FileNotFoundError),
    ],
)
def test_files_that_are_no_log_are_refused(
    tmp_path: Path, write: Callable[[Path], None], error: type[Exception]
) -> None:
    write(tmp_path / "kcp.db")
    with pytest.raises(error):
        integrity.open_log(tmp_path / "kcp.db")


@pytest.mark.parametrize("format_", range(1, FORMAT))
def test_a_file_of_an_older_format_is_checked_as_it_is(tmp_path: Path, format_: int) -> None:
    path = tmp_path / "kcp.db"
    write_older_file(path, format_)
    before = path.read_bytes()
    assert broken(path) == set()
    execute(path, "UPDATE facts SET value = -1 WHERE name = 'forgotten'")
    assert "metadata" in broken(path)
    assert len(path.read_bytes()) == len(before)
    assert [file.name for file in tmp_path.iterdir()] == ["kcp.db"]


def test_a_file_that_a_server_opens_during_the_check_is_no_violation(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"
    shutil.copyfile(sound, path)
    execute(path, "DELETE FROM current")
    log = integrity.open_log(path)
    connection = apsw.Connection(str(path))
    connection.execute(PUT_METADATA, (REVISION, 10**6))
    with pytest.raises(integrity.FileInUseError):
        list(integrity.check(log))
    connection.close()
    log.connection.close()
