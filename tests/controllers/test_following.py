"""How controllers read the log: in chunks of a bounded size, and in the order of the changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kcp.controllers.following import Transition, TransitionQueue, present
from kcp.store.contract import Change, Event, Key, Range, Record
from kcp.store.sqlite.store import open_store


def key(name: str) -> Key:
    return Key("things", "root", "", name)


def record(name: str, revision: int = 1) -> Record:
    return Record(key(name), revision, b"{}", "")


def test_large_records_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    async def work() -> None:
        store = open_store(tmp_path / "kcp.db")
        size = 200_000
        for number in range(120):
            await store.write([Change(key(f"{number:03}"), b"x" * size)])
        chunks = [records async for records in present(store, Range("things"))]
        assert [one.key.name for records in chunks for one in records] == [f"{number:03}" for number in range(120)]
        assert len(chunks[0]) == 50
        assert {len(records) for records in chunks[1:-1]} == {(4 << 20) // size}
        await store.close()

    asyncio.run(work())


def test_small_records_are_read_many_at_a_time(tmp_path: Path) -> None:
    async def work() -> None:
        store = open_store(tmp_path / "kcp.db")
        await store.write([Change(key(f"{number:04}"), b"x") for number in range(900)])
        assert [len(records) async for records in present(store, Range("things"))] == [50, 500, 350]
        await store.close()

    asyncio.run(work())


def test_present_records_and_changes_are_applied_in_the_order_in_which_they_are_added() -> None:
    async def work() -> None:
        applied: list[Transition] = []
        queue = TransitionQueue(lambda _: True, applied.append)
        queue.add_events([Event(1, key("a"), record("a"), None, None)])
        queue.start()
        queue.add_present([record("b"), record("c")])
        queue.add_events([Event(2, key("b"), None, record("b"), record("b"))])
        await queue.applied()
        await queue.stop()
        assert [(one.key.name, one.before is None, one.after is None) for one in applied] == [
            ("a", True, False),
            ("b", True, False),
            ("c", True, False),
            ("b", False, True),
        ]

    asyncio.run(work())


def test_a_change_that_cannot_be_applied_is_named_in_the_log_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        applied: list[str] = []

        def apply(transition: Transition) -> None:
            if transition.key.name == "bad":
                raise ValueError("not an object")
            applied.append(transition.key.name)

        queue = TransitionQueue(lambda _: True, apply)
        queue.start()
        queue.add_present([record("bad"), record("good")])
        await queue.applied()
        await queue.stop()
        assert applied == ["good"]

    asyncio.run(work())
    assert [each.getMessage() for each in caplog.records] == [f"a change of {key('bad')} is ignored"]
