"""Litestream beside a server's file: it replicates continuously, and a restored file is put in place as on the page."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from kcp.store.contract import Range
from kcp.store.sqlite.store import open_store
from kcp.testing import Server
from tests.conftest import Report
from tests.operations.litestream import MISSING, Litestream, binary
from tests.operations.test_export_import import MAPS, PAGE, ask, commands, done, is_gone, listed
from tests.support.clients import Address, Connection
from tests.support.objects import config_map
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(binary() is None, reason=MISSING)

WRITERS = 4


def configured(folder: Path) -> Litestream:
    """Return the page's configuration, with its paths in a folder."""
    (text,) = re.findall(r"^```yaml\n(dbs:.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    text = re.sub(r"path: (/\S+)", lambda found: f"path: {folder}{found[1]}", text)
    file = folder / "litestream.yml"
    file.write_text(text.replace("sync-interval: 1s", "sync-interval: 200ms"))
    assert commands("Litestream", "litestream replicate") == ["litestream replicate -config litestream.yml"]
    return Litestream(file)


def restore(litestream: Litestream, folder: Path) -> Path | None:
    """Restore the newest state that Litestream has; None if there is none."""
    (command,) = commands("Litestream", "litestream restore")
    (folder / "restored.db").unlink(missing_ok=True)
    words = [word if not word.startswith("/") else f"{folder}{word}" for word in shlex.split(command)[1:]]
    ended = subprocess.run([litestream.program, *words], cwd=folder, capture_output=True, text=True, check=False)
    return folder / "restored.db" if ended.returncode == 0 else None


async def names_in(copy: Path) -> set[str]:
    """Return the names of the objects in a restored file. Opens it as a server would, which changes it."""
    store = open_store(copy)
    try:
        return {record.key.name for record in store.scan(Range("configmaps")).records}
    finally:
        await store.close()


async def load(address: Address, prefix: str, seconds: float) -> list[str]:
    """Write for a while with several clients; return the names of the acknowledged objects.

    It goes by time, not by writes, because Litestream copies at intervals: some must come while it writes.
    """
    acknowledged: list[str] = []
    end = time.monotonic() + seconds

    async def write(worker: int) -> None:
        async with Connection(address) as connection:
            number = 0
            while not number or time.monotonic() < end:
                name = f"{prefix}{worker}-{number}"
                answer = await connection.request("POST", f"/{MAPS}", config_map(name, text="x" * 2000))
                assert answer.status == 201, answer.body
                acknowledged.append(name)
                number += 1

    await asyncio.gather(*map(write, range(WRITERS)))
    return acknowledged


async def until_copied(litestream: Litestream, folder: Path, names: set[str]) -> None:
    """Wait until Litestream can restore all these objects."""

    async def copied() -> bool:
        copy = restore(litestream, folder)
        return copy is not None and await names_in(copy) >= names

    await eventually(copied, "Litestream has copied everything")


async def test_nothing_that_litestream_has_copied_is_lost_with_the_disk(tmp_path: Path, measured: Report) -> None:
    root = tmp_path / "var/lib/kcp"
    root.mkdir(parents=True)
    with Server(root_directory=root):
        pass  # the file is there
    with configured(tmp_path) as litestream:
        first = Server(root_directory=root, in_process=False)
        first.start()
        written = set(await load(Address.of(first), "a", 3))
        os.kill(first.process_id, signal.SIGKILL)
        first.stop()
        second = Server(root_directory=root, in_process=False)
        second.start()
        written |= set(await load(Address.of(second), "b", 1.5))
        began = time.monotonic()
        await until_copied(litestream, tmp_path, written)
        measured(
            f"litestream: {len(written)} objects written, all copied {time.monotonic() - began:.1f} s after the last"
        )
        lost = await ask(second, "POST", MAPS, config_map("perhaps-lost"))
        seen = int(lost.json["metadata"]["resourceVersion"])
        os.kill(second.process_id, signal.SIGKILL)
        second.stop()
        litestream.kill()
    assert "level=ERROR" not in litestream.log.read_text()
    for file in (root / "data").glob("kcp.db*"):
        file.unlink()
    assert restore(litestream, tmp_path) is not None
    assert "start the server" in await done(commands("Litestream", "kcp snapshot restore")[0], tmp_path)
    with Server(root_directory=root, in_process=False, arguments=["--publish-root-ca=false"]) as third:
        found = await listed(third, MAPS)
        assert {item["metadata"]["name"] for item in found["items"]} - {"perhaps-lost"} == written
        assert int(found["metadata"]["resourceVersion"]) > seen
        assert await is_gone(third, MAPS, seen)


async def test_litestream_catches_up_after_it_was_stopped(tmp_path: Path) -> None:
    """It is stopped and restarted, also while the server checkpoints and restarts its write-ahead log."""
    root = tmp_path / "var/lib/kcp"
    root.mkdir(parents=True)
    written: set[str] = set()
    with Server(root_directory=root, in_process=False) as server:
        for turn in "abc":
            with configured(tmp_path) as litestream:
                written |= set(await load(Address.of(server), f"{turn}-with", 1))
            written |= set(await load(Address.of(server), f"{turn}-without", 0.5))
    with Server(root_directory=root, in_process=False), configured(tmp_path) as litestream:
        await until_copied(litestream, tmp_path, written)
