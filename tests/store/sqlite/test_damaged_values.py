"""Checksums of one file: detection, when reads check values, and the scrubbing of the whole file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from kcp.store.contract import Change, DamagedValueError, Hint, Needle, Range, StoreUnavailableError
from kcp.store.sqlite import scrubbing
from kcp.store.sqlite.checksums import checksum
from kcp.store.sqlite.damage import DamagedValues
from kcp.store.sqlite.reader import check_progress
from kcp.store.sqlite.search import Pace
from kcp.store.sqlite.store import SQLiteStore, open_store
from tests.store.conformance.backends import WIDGETS, key, names, put
from tests.store.sqlite.older_formats import write_older_file
from tests.support.clocks import Clock
from tests.support.damaging import execute
from tests.support.waiting import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the log."""
    return tmp_path / "kcp.db"


@asynccontextmanager
async def opened(path: Path, clock: Callable[[], float] | None = None) -> AsyncIterator[SQLiteStore]:
    """Open the file, and close it at the end."""
    store = open_store(path, clock=clock)
    try:
        yield store
    finally:
        await store.close()


async def filled(path: Path, chosen: Iterable[str] = "abc") -> None:
    """Write a value of each of the chosen names."""
    async with opened(path) as store:
        for name in chosen:
            await put(store, name, b'{"of":"%b"}' % name.encode(), tag="tag")


@asynccontextmanager
async def damaged(path: Path, sql: str) -> AsyncIterator[SQLiteStore]:
    """Open a file of a, b and c that was changed while it was closed."""
    await filled(path)
    execute(path, sql)
    async with opened(path) as store:
        yield store


def summary(store: SQLiteStore) -> str | None:
    return store.readiness_notes()["values"]()


async def scrubbed(store: SQLiteStore) -> None:
    """Wait until a pass over the whole file has found no damage."""
    await eventually(lambda: not store._damage.check_all, "the file has been verified")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the first pass when the file is opened, and the others without a pause."""
    monkeypatch.setattr(scrubbing, "_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(scrubbing, "_SECONDS", 0.01)
    monkeypatch.setattr(scrubbing, "_SECONDS_WITH_DAMAGE", 0.01)
    monkeypatch.setattr(scrubbing, "_PAUSE_SECONDS", 0.0)


async def test_every_value_has_the_checksum_of_its_content_and_position(path: Path) -> None:
    async with opened(path) as store:
        await store.write([Change(key(f"n{number}"), b"{}" * number) for number in range(100)])
        await store.write([Change(key("n1"), None), Change(key("n2"), None)])
    with apsw.Connection(str(path)) as connection:
        rows = list(connection.execute("SELECT position, value, checksum FROM log"))
    connection.close()
    assert len(rows) == 102
    assert all(found == checksum(value, position) for position, value, found in rows)
    assert len({found for _, _, found in rows}) > 99, "equal values of several rows have several checksums"


async def test_a_value_of_another_row_is_damage(path: Path) -> None:
    other = "SELECT value, checksum FROM log AS other WHERE other.name = 'a'"
    async with damaged(path, f"UPDATE log SET (value, checksum) = ({other}) WHERE name = 'b'") as store:
        with pytest.raises(DamagedValueError):
            store.get(key("b"))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE log SET tag = CAST(x'ff' AS TEXT) WHERE name = 'b'",
        "UPDATE log SET value = CAST(x'ff' AS TEXT) WHERE name = 'b'",
        "UPDATE log SET value = 7 WHERE name = 'b'",
        "UPDATE log SET value = NULL WHERE name = 'b'",
        "UPDATE log SET checksum = 'text' WHERE name = 'b'",
        "UPDATE log SET checksum = CAST(x'ff' AS TEXT) WHERE name = 'b'",
    ],
)
async def test_any_bytes_in_the_columns_of_a_value_are_damage(path: Path, sql: str) -> None:
    async with damaged(path, sql) as store:
        with pytest.raises(DamagedValueError):
            store.get(key("b"))
        assert names(store.scan(WIDGETS).records) == ["a", "c"]
        await eventually(lambda: summary(store), "the note")


async def test_a_key_that_is_not_text_is_left_out_of_pages(path: Path) -> None:
    async with damaged(path, "UPDATE current SET name = CAST(x'62ff' AS TEXT) WHERE name = 'b'") as store:
        page = store.scan(WIDGETS)
        assert names(page.records) == ["a", "c"]
        assert [key.name for key in page.damaged] == ["b\\xff"]


async def test_damage_to_a_file_that_has_been_verified_is_found_by_the_next_pass(path: Path) -> None:
    await filled(path)
    async with opened(path) as store:
        await scrubbed(store)
        assert summary(store) is None
        execute(path, "UPDATE log SET value = CAST('x' AS BLOB) WHERE name = 'b'")
        assert await eventually(lambda: summary(store), "the note") == (
            "1 value is damaged (widgets default/b of logical cluster root); run kcp store check"
        )
        assert names(store.scan(WIDGETS).records) == ["a", "c"]


async def test_text_that_is_not_utf8_in_a_verified_file_makes_reads_check(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrubbing, "_SECONDS", 3600.0)
    await filled(path)
    async with opened(path) as store:
        await scrubbed(store)
        execute(path, "UPDATE log SET tag = CAST(x'ff' AS TEXT) WHERE name = 'b'")
        for options in ({}, {"at": store.revision}):
            page = store.scan(WIDGETS, **options)  # type: ignore[arg-type]
            assert names(page.records) == ["a", "c"]
        assert summary(store) is not None


async def test_the_damage_is_over_when_its_row_is_gone(path: Path) -> None:
    async with damaged(path, "UPDATE log SET value = CAST('x' AS BLOB) WHERE name = 'b'") as store:
        await eventually(lambda: summary(store), "the note")
        assert store.statistics()["damaged_values"] == 1
        writing = asyncio.ensure_future(put(store, "b", b"sound"))
        await asyncio.sleep(0)
        store.scan(WIDGETS)  # reads the committed state, which is the damaged one until the write is durable
        await writing
        assert summary(store) is None
        assert store.statistics()["damaged_values"] == 0
        assert store._damage.check_all, "a list of an older state may meet the damaged row"
        await store.compact(store.revision)
        await scrubbed(store)


async def test_a_value_that_is_replaced_while_a_pass_reads_it_is_not_current_damage(path: Path) -> None:
    await filled(path)
    execute(path, "UPDATE log SET value = CAST('x' AS BLOB) WHERE name = 'b'")
    damage, replaced = DamagedValues(), 1 << 40
    await scrubbing.Scrubbing(path, damage, lambda _: replaced).verify()
    assert damage.reported == 1
    assert damage.summary() is None


async def test_a_search_in_a_verified_file_ends_at_damage_and_reads_the_range_instead(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrubbing, "_SECONDS", 3600.0)
    await filled(path)
    async with opened(path) as store:
        await scrubbed(store)
        past = store.revision
        await put(store, "a", b"{}")
        execute(
            path, "UPDATE log SET value = CAST('x' AS BLOB) WHERE name = 'a' AND value = CAST(? AS BLOB)", b'{"of":"a"}'
        )
        hint = Hint(needles=(Needle((b'"of":"c"',)),))
        assert names((await store.select(WIDGETS, hint)).records) == ["c"]
        await scrubbed(store)
        page = await store.select(WIDGETS, hint, at=past)
        assert names(page.records) == ["b", "c"]
        assert [key.name for key in page.damaged] == ["a"]
        assert store._damage.check_all


async def test_each_damaged_value_is_logged_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await filled(path)
    execute(path, "UPDATE log SET value = CAST('x' AS BLOB) WHERE name != 'a'")
    with caplog.at_level(logging.ERROR):
        async with opened(path) as store:
            for _ in range(5):
                store.scan(WIDGETS)
                with pytest.raises(DamagedValueError):
                    store.get(key("b"))
            await eventually(lambda: summary(store), "the note")
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"the value of widgets default/{name} of logical cluster root at revision {revision} is damaged: run kcp store check"
        for name, revision in (("b", 2), ("c", 3))
    ]


async def test_what_is_remembered_of_much_damage_is_bounded(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(path) as store:
        for part in range(3):
            await store.write([Change(key(f"n{part}-{number:03}"), b"{}") for number in range(700)])
    execute(path, "UPDATE log SET value = CAST('x' AS BLOB) WHERE name < 'n2-650'")
    with caplog.at_level(logging.ERROR):
        async with opened(path) as store:
            page = store.scan(Range("widgets"), limit=10)
            assert names(page.records) == [f"n2-{number}" for number in range(650, 660)]
            assert store.count(WIDGETS) == 2100
    assert len(caplog.records) == store.statistics()["damaged_values"] == 1000


async def test_a_file_without_checksums_is_migrated_and_its_values_are_taken_as_they_are(path: Path) -> None:
    write_older_file(path, 2)
    async with opened(path) as store:
        assert names(store.scan(WIDGETS).records) == ["b"]
        await put(store, "a", b"new")
        await scrubbed(store)
    execute(path, "UPDATE log SET value = CAST('x' AS BLOB) WHERE NOT deletes")
    async with opened(path) as store:
        with pytest.raises(DamagedValueError):
            store.get(key("a"))
        before = store.get(key("b"))
        assert before is not None
        assert before.value == b"x", "it has no checksum"


async def test_an_expired_damaged_value_is_deleted(path: Path) -> None:
    clock = Clock(1e9)
    async with opened(path, clock) as store:
        await store.write([Change(key("b"), b"{}", lifetime=10)])
    execute(path, "UPDATE log SET value = CAST('x' AS BLOB)")
    clock.now += 60
    async with opened(path, clock) as store:
        await store.expire()
        assert store.get(key("b")) is None


async def test_a_key_whose_position_is_that_of_another_key_is_damaged(path: Path) -> None:
    other = "SELECT position FROM log WHERE name = 'a'"
    async with damaged(path, f"UPDATE current SET position = ({other}) WHERE name = 'b'") as store:
        with pytest.raises(DamagedValueError):
            store.get(key("b"))
        page = store.scan(WIDGETS)
        assert (names(page.records), page.damaged) == (["a", "c"], [key("b")])
        await eventually(lambda: summary(store), "the note")


async def test_a_key_that_is_damaged_where_it_is_looked_up_is_noted(path: Path) -> None:
    async with damaged(path, "UPDATE current SET name = 'z' WHERE name = 'b'") as store:
        await eventually(lambda: "widgets default/b of" in (summary(store) or ""), "the note")
        page = store.scan(WIDGETS)
        assert (names(page.records), page.damaged) == (["a", "c"], [key("z")])


@pytest.mark.parametrize("previous", ["position", "(SELECT position FROM log WHERE name = 'a')", "position + 1024"])
async def test_an_older_state_is_not_read_from_a_row_that_was_not_before(path: Path, previous: str) -> None:
    await filled(path)
    async with opened(path) as store:
        then = store.revision
        await put(store, "b", b"newer")
        await put(store, "c", b"newer")
    execute(path, f"UPDATE log SET previous = {previous} WHERE name = 'b' AND value = x'6e65776572'")
    async with opened(path) as store:
        page = store.scan(WIDGETS, at=then)
        assert [(record.key.name, record.value) for record in page.records] == [
            ("a", b'{"of":"a"}'),
            ("c", b'{"of":"c"}'),
        ]


async def test_damage_beside_values_does_not_end_the_verification(path: Path) -> None:
    async with damaged(path, "UPDATE log SET deletes = CAST(x'ff' AS TEXT) WHERE name = 'b'") as store:
        await scrubbed(store)


def add_cells(path: Path) -> None:
    """Let the last page of the table ``log`` claim more cells than it has: it then shows rows at position 0."""
    content = bytearray(path.read_bytes())
    leaf = max(start for start in range(4096, len(content), 4096) if content[start] == 13)
    content[leaf + 4] += 190
    path.write_bytes(content)


async def test_a_verification_of_rows_out_of_order_ends(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await filled(path, (f"n{number}" for number in range(300)))
    add_cells(path)
    async with opened(path) as store:
        await eventually(lambda: "could not be verified" in caplog.text, "the pass has ended")
        assert store._damage.check_all, "reads go on checking"


async def test_a_page_that_would_be_read_again_and_again_is_an_error() -> None:
    check_progress(None, key("a"))
    check_progress(key("a"), None)
    check_progress(key("a"), key("b"))
    with pytest.raises(StoreUnavailableError, match="out of order"):
        check_progress(key("b"), key("b"))


async def test_a_search_of_large_values_is_made_of_small_steps() -> None:
    pace = Pace()
    first = pace.keys
    pace.took(1e-4)
    assert pace.keys == 4 * first
    pace.took(1.0)
    assert 0 < pace.keys <= 0.02 * 4 * first
    for _ in range(10):
        pace.took(0.0)
    assert first < pace.keys <= 5000
