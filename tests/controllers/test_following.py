"""Controllers read the log in chunks of a bounded size, and apply changes in their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from kcp.controllers.following import Transition, TransitionQueue, present
from kcp.store.contract import Change, Event, Key, Range, Record
from kcp.store.sqlite.store import open_store
from tests.support.keys import make_key


def key(name: str) -> Key:
    return make_key("things", "root", "", name)


def record(name: str) -> Record:
    return Record(key(name), 1, b"{}", "")


@pytest.mark.parametrize(("count", "size"), [(20, 200_000), (1200, 10)])
async def test_the_present_records_are_read_in_chunks_of_a_bounded_size(tmp_path: Path, count: int, size: int) -> None:
    store = open_store(tmp_path / "kcp.db")
    names = [f"{number:04}" for number in range(count)]
    for name in names:
        await store.write([Change(key(name), b"x" * size)])
    chunks = [records async for records in present(store, Range("things"))]
    assert [one.key.name for records in chunks for one in records] == names
    assert len(chunks) > 2
    assert max(len(records) for records in chunks) * size < 2 << 20
    await store.close()


async def test_present_records_and_changes_are_applied_in_the_order_in_which_they_are_added() -> None:
    applied: list[Transition] = []

    async def apply(transition: Transition) -> None:
        applied.append(transition)

    queue = TransitionQueue("test", lambda *_: True, apply)
    queue.add_events([Event(1, key("a"), record("a"), None)])
    queue.start()
    queue.add_present([record("b"), record("c")])
    queue.add_events([Event(2, key("b"), None, record("b"))])
    await queue.applied()
    await queue.stop()
    assert [(one.key.name, one.before is None, one.after is None) for one in applied] == [
        ("a", True, False),
        ("b", True, False),
        ("c", True, False),
        ("b", False, True),
    ]


async def test_irrelevant_changes_are_not_applied() -> None:
    applied: list[str] = []

    async def apply(transition: Transition) -> None:
        applied.append(transition.key.name)

    queue = TransitionQueue("test", lambda key, _before, _after: key.name != "b", apply)
    queue.start()
    queue.add_present([record(name) for name in "abc"])
    await queue.applied()
    await queue.stop()
    assert applied == ["a", "c"]


async def test_a_change_that_cannot_be_applied_is_named_in_the_log_and_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    applied: list[str] = []

    async def apply(transition: Transition) -> None:
        if transition.key.name == "bad":
            raise ValueError("not an object")
        applied.append(transition.key.name)

    queue = TransitionQueue("test", lambda *_: True, apply)
    queue.start()
    queue.add_present([record("bad"), record("good")])
    await queue.applied()
    await queue.stop()
    assert applied == ["good"]
    assert [each.getMessage() for each in caplog.records] == [f"a change of {key('bad')} is ignored"]
