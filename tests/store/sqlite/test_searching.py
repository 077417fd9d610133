"""A search of a large range reads each key once, however many steps it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Change, Hint, Key, Needle, Range
from kcp.store.sqlite import tables
from kcp.store.sqlite.damage import DamagedValues
from kcp.store.sqlite.reader import Reader
from kcp.store.sqlite.store import open_store

_CLUSTER = LogicalClusterName("root")
_KEYS = 1000
_STEP = 10
_MOST = 100
"""Instructions of SQLite's virtual machine for each key that a step examines, the start of the step included."""


async def _fill(path: Path) -> int:
    """Store keys, delete and create half of them again; return the revision."""
    store = open_store(path)
    keys = [Key("widgets", _CLUSTER, "default", f"w{number:04}") for number in range(_KEYS)]
    await store.write([Change(key, b"value") for key in keys])
    await store.write([Change(key, None) for key in keys[::2]])
    revision = await store.write([Change(key, b"value") for key in keys[::2]])
    await store.close()
    return revision


@pytest.mark.parametrize(
    "range_",
    [
        Range("widgets", _CLUSTER, "default"),
        Range("widgets", _CLUSTER),
        Range("widgets", WILDCARD),
        Range("widgets", WILDCARD, "default"),
    ],
    ids=["namespace", "logical cluster", "all logical clusters", "namespace of all"],
)
async def test_a_step_of_a_search_reads_no_more_than_its_keys(tmp_path: Path, range_: Range) -> None:
    revision = await _fill(tmp_path / "kcp.db")
    connection = tables.connect(tmp_path / "kcp.db", cache_kilobytes=1024, writable=False)
    reader = Reader(connection, DamagedValues())
    instructions = [0]

    def count() -> bool:
        instructions[0] += 10
        return False

    connection.set_progress_handler(count, 10)
    last: Key | None = None
    examined, most = 0, 0
    while examined < _KEYS:
        instructions[0] = 0
        _, last = reader.search(range_, Hint(needles=(Needle((b"nothing",)),)), last, revision, 0, 0, _STEP)
        examined += _STEP
        most = max(most, instructions[0])
    reader.close()
    assert most < _MOST * _STEP, most
