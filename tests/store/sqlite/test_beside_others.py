"""Another process that has the file open, as Litestream does: it reads for long, and writes a little now and then."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kcp.store.sqlite.store import open_store
from tests.store.conformance.backends import WIDGETS, delete, names, put

WRITER = """
import sqlite3, sys, time
other = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=180)
other.execute("CREATE TABLE _mine (number INTEGER)")
other.execute("INSERT INTO _mine VALUES (0)")
print("begun", flush=True)
for _ in iter(int, 1):
    other.execute("UPDATE _mine SET number = number + 1")
    time.sleep(0.002)
"""
READER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN")
print(other.execute("SELECT count(*) FROM current").fetchone()[0], flush=True)
sys.stdin.read()
print(other.execute("SELECT count(*) FROM current").fetchone()[0], flush=True)
"""


@contextlib.contextmanager
def beside(program: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has opened the file and reported it."""
    command = [sys.executable, "-c", program, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


async def test_writes_and_maintenance_wait_for_the_lock_of_another_process(tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"
    store = open_store(path)
    with beside(WRITER, path) as process:
        for turn in range(15):
            await asyncio.gather(*(put(store, f"n{index:03}", str(turn).encode()) for index in range(300)))
            await asyncio.gather(*(delete(store, f"n{index:03}") for index in range(0, 300, 2)))
            await store.compact(store.revision)
        assert process.poll() is None
    assert store.statistics()["failed_batches"] == 0
    assert len(names(store.scan(WIDGETS).records)) == 150
    await store.close()


async def test_a_long_read_of_another_process_does_not_block_writes(tmp_path: Path) -> None:
    path = tmp_path / "kcp.db"
    store = open_store(path)
    await put(store, "first")
    with beside(READER, path) as process:
        for turn in range(10):
            await asyncio.gather(*(put(store, f"n{index:03}", b"x" * 1000) for index in range(300)))
            await store.compact(store.revision)
            assert len(store.scan(WIDGETS).records) == 301, turn
        said, _ = await asyncio.to_thread(process.communicate, "")
        assert said == "1\n"  # it has read from one snapshot all the time
    await store.close()
