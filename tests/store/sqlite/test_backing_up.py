"""Backups: a copy made under load is consistent, and a restored log never assigns a revision twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kcp.store.contract import CompactedError, StoreUnavailableError
from kcp.store.sqlite.snapshots import copy_log
from kcp.store.sqlite.store import open_store
from tests.store.conformance.backends import WIDGETS, key, names, put


async def test_revisions_of_a_restored_log_continue_above_those_seen_after_the_backup(tmp_path: Path) -> None:
    path, copy = tmp_path / "kcp.db", tmp_path / "copy.db"
    store = open_store(path)
    kept = await put(store, "kept", b"1", tag="v1")
    await asyncio.to_thread(copy_log, path, copy)
    lost = await put(store, "lost")
    await store.close()
    for _ in range(2):
        restored = open_store(copy)
        assert names(restored.scan(WIDGETS).records) == ["kept"]
        assert restored.get(key("kept")) == (key("kept"), kept, b"1", "v1")
        assert restored.oldest > lost
        first = restored.revision
        with pytest.raises(CompactedError):
            restored.watch(WIDGETS, lost)
        await restored.close()
    restored = open_store(copy)
    assert restored.revision == first  # once is enough
    assert await put(restored, "new") == first + 1
    await restored.close()


async def test_a_backup_under_load_has_whole_writes_and_blocks_no_writer(tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"
    store = open_store(path)
    await asyncio.gather(*(put(store, f"n{index:04}", b"x" * 1000) for index in range(3000)))
    before = store.revision
    backup = asyncio.create_task(asyncio.to_thread(copy_log, path, tmp_path / "copy.db"))
    written = 0
    while not backup.done():
        await put(store, f"during{written:04}")
        written += 1
    await backup
    assert written > 0
    copy = open_store(tmp_path / "copy.db")
    found = names(copy.scan(WIDGETS).records)
    during = [name for name in found if name.startswith("during")]
    assert during == [f"during{index:04}" for index in range(len(during))]
    assert len(found) - len(during) == 3000
    assert store.revision == before + written
    await copy.close()
    await store.close()


async def test_a_backup_replaces_nothing_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"
    store = open_store(path)
    await put(store, "a")
    await store.close()
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(FileExistsError):
        copy_log(path, taken)
    assert taken.read_text() == "mine"
    with pytest.raises(StoreUnavailableError, match="cannot be written"):
        copy_log(path, tmp_path / "missing" / "copy.db")
