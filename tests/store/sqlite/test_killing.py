"""`kill -9` of a process that writes: every acknowledged write is there afterwards, and the revision never goes back."""

from __future__ import annotations

import os
import random
import selectors
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kcp.store.contract import Range
from kcp.store.sqlite.store import open_store
from tests.support.keys import make_key

ROUNDS = int(os.environ.get("KCP_CRASH_ROUNDS", "6"))

WRITER = """
import asyncio, os, random, sys
from pathlib import Path
from kcp.store.contract import Change, Key
from kcp.store.sqlite.store import open_store

async def main():
    store = open_store(Path(sys.argv[1]), durability=sys.argv[2])
    os.write(1, f"open {store.revision}\\n".encode())

    async def client(number):
        step = 0
        while True:
            step += 1
            name = f"{number}-{random.randrange(20)}"
            keys = [Key("w", "c", "n", name), Key("w", "c", "n", name + "-twin")]
            value = f"{os.getpid()}.{number}.{step}".encode() if random.random() < 0.7 else None
            revision = await store.write([Change(key, value) for key in keys])
            os.write(1, f"done {revision} {name} {'' if value is None else value.decode()}\\n".encode())

    async def compactor():
        while True:
            await asyncio.sleep(0.02)
            await store.compact(store.revision - random.randrange(50))

    await asyncio.gather(compactor(), *(client(number) for number in range(8)))

asyncio.run(main())
"""


def _run_and_kill(path: Path, durability: str, seconds: float) -> list[bytes]:
    """Return the lines of a writer that is killed while it writes; an incomplete line is no acknowledgement."""
    command = [sys.executable, "-c", WRITER, str(path), durability]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        read = bytearray()
        end = None
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            while chunk := os.read(process.stdout.fileno(), 1 << 20):
                read += chunk
                if end is None and b"done" in read:
                    end = time.monotonic() + seconds
                if end is not None and time.monotonic() > end and process.poll() is None:
                    process.kill()
        assert process.wait() == -9, read[-500:]
    return bytes(read).split(b"\n")[:-1]


@pytest.mark.parametrize("durability", ["full", "relaxed"])
async def test_acknowledged_writes_survive_and_the_revision_never_goes_back(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "kcp.db"
    dice = random.Random(7)
    acknowledged: dict[str, tuple[int, bytes]] = {}
    seen = 0

    async def look() -> int:
        store = open_store(path, durability="full")
        assert store.revision >= seen
        found = {record.key.name: record for record in store.scan(Range("w")).records}
        for name, (revision, value) in acknowledged.items():
            record = found.get(name)
            if record is None:
                # deleted: by the acknowledged write, or by a later one that was not acknowledged
                deleted = value == b"" or store.revision > revision
                assert deleted, f"{name} of revision {revision} is gone"
            else:
                assert record.revision >= revision, f"{name} went back from {revision} to {record.revision}"
                assert record.revision > revision or record.value == value
            twin = found.get(name + "-twin")
            assert (record and record[1:]) == (twin and twin[1:]), f"half of a write of {name}"
        for name, record in found.items():
            assert store.get(make_key("w", "c", "n", name)) == record
        check: list[str] = []
        await store._writer.run(lambda db: check.extend(row[0] for row in db.execute("PRAGMA integrity_check")))
        assert check == ["ok"]
        revision = store.revision
        await store.close()
        return revision

    for _ in range(ROUNDS):
        lines = _run_and_kill(path, durability, dice.uniform(0.02, 0.25))
        word, opened = lines[0].split()
        assert (word, int(opened) >= seen) == (b"open", True)
        for line in lines[1:]:
            word, revision, name, value = line.split(b" ")
            known = acknowledged.get(name.decode())
            if known is None or known[0] < int(revision):
                acknowledged[name.decode()] = (int(revision), value)
            seen = max(seen, int(revision))
        assert len(lines) > 1
        seen = await look()
