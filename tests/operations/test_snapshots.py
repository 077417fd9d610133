"""``kcp snapshot``: snapshots of the log of a running server, and the view of clients after a restore."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from pathlib import Path

from kcp.testing import Server
from tests.support.clients import Address, Answer, Connection
from tests.support.commands import kcp
from tests.support.objects import config_map

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def ask(server: Server, method: str, path: str, body: object = None) -> Answer:
    """Send one request."""
    async with Connection(Address.of(server)) as connection:
        return await connection.request(method, path, body)


async def test_a_snapshot_of_a_running_server_is_restored(tmp_path: Path) -> None:
    root, file = tmp_path / "root", tmp_path / "copy.db"
    root.mkdir()
    with Server(root_directory=root, in_process=False) as server:
        assert (await ask(server, "POST", CONFIG_MAPS, config_map("kept"))).status == 201
        saved = await kcp("snapshot", "save", "--root-directory", root, file)
        assert saved.exit_code == 0, saved.output
        assert file.stat().st_mode & 0o777 == 0o600  # there are Secrets in it
        lost = await ask(server, "POST", CONFIG_MAPS, config_map("lost"))
        newest = int(lost.json["metadata"]["resourceVersion"])
        refused = await kcp("snapshot", "restore", "--root-directory", root, file)
        assert refused.exit_code == 1
        assert "stop the server first" in refused.output
    told = await kcp("snapshot", "info", file)
    assert told.output == saved.output
    assert "logical clusters: " in told.output
    restored = await kcp("snapshot", "restore", "--root-directory", root, file)
    assert restored.exit_code == 0, restored.output
    with Server(root_directory=root, in_process=False) as server:
        listed = (await ask(server, "GET", CONFIG_MAPS)).json
        assert [item["metadata"]["name"] for item in listed["items"]] == ["kept", "kube-root-ca.crt"]
        assert int(listed["metadata"]["resourceVersion"]) > newest
        gone = await ask(server, "GET", f"{CONFIG_MAPS}?watch=true&resourceVersion={newest}&timeoutSeconds=1")
        assert gone.status == 410 or b'"code":410' in gone.body


async def test_a_snapshot_can_be_restored_several_times(tmp_path: Path) -> None:
    """After each restore, revisions continue above those that clients have seen, and the replaced log is kept."""
    root, file = tmp_path / "root", tmp_path / "copy.db"
    root.mkdir()
    log = root / "data/kcp.db"
    newest, kept = 0, []
    with Server(root_directory=root, in_process=False):
        assert (await kcp("snapshot", "save", "--root-directory", root, file)).exit_code == 0
    for turn in range(3):
        restored = await kcp("snapshot", "restore", "--root-directory", root, file)
        assert restored.exit_code == 0, restored.output
        kept.append(log.with_name("kcp.db.replaced" if not turn else f"kcp.db.replaced.{turn + 1}"))
        assert str(kept[-1]) in restored.output
        with Server(root_directory=root, in_process=False) as server:
            made = await ask(server, "POST", CONFIG_MAPS, config_map(f"made-{turn}"))
            assert made.status == 201, made.body
            assert int(made.json["metadata"]["resourceVersion"]) > newest
            if newest:
                gone = await ask(server, "GET", f"{CONFIG_MAPS}?watch=true&resourceVersion={newest}&timeoutSeconds=1")
                assert gone.status == 410 or b'"code":410' in gone.body
            newest = int(made.json["metadata"]["resourceVersion"])
            if turn == 0:
                os.kill(server.process_id, signal.SIGKILL)  # its last writes lie beside the file
    assert log.with_name("kcp.db.replaced.2-wal").stat().st_size > 0
    for number, there in enumerate(kept):
        checked = await kcp("store", "check", there)
        assert checked.exit_code == 0, checked.output
        with contextlib.closing(sqlite3.connect(there)) as connection:
            names = connection.execute("SELECT name FROM current WHERE name LIKE 'made-%'").fetchall()
        assert names == ([(f"made-{number - 1}",)] if number else [])


async def test_a_snapshot_replaces_an_unreadable_log(tmp_path: Path) -> None:
    root, file = tmp_path / "root", tmp_path / "copy.db"
    root.mkdir()
    with Server(root_directory=root):
        assert (await kcp("snapshot", "save", "--root-directory", root, file)).exit_code == 0
    (root / "data/kcp.db").write_bytes(b"nothing like a database" * 1000)
    restored = await kcp("snapshot", "restore", "--root-directory", root, file)
    assert restored.exit_code == 0, restored.output
    assert "kcp.db cannot be read: " in restored.output
    with Server(root_directory=root) as server:
        assert (await ask(server, "GET", CONFIG_MAPS)).status == 200


async def test_a_changed_snapshot_is_refused(tmp_path: Path) -> None:
    root, file = tmp_path / "root", tmp_path / "copy.db"
    root.mkdir()
    with Server(root_directory=root):
        assert (await kcp("snapshot", "save", "--root-directory", root, file)).exit_code == 0
    again = await kcp("snapshot", "save", "--root-directory", root, file)
    assert again.exit_code == 1
    assert "exists" in again.output
    content = bytearray(file.read_bytes())
    content[5000] ^= 1
    file.write_bytes(content)
    for command in (("info",), ("restore", "--root-directory", root)):
        refused = await kcp("snapshot", *command, file)
        assert refused.exit_code == 1
        assert "checksum" in refused.output


async def test_a_directory_without_a_log_is_named(tmp_path: Path) -> None:
    refused = await kcp("snapshot", "save", "--root-directory", tmp_path / "none", tmp_path / "copy.db")
    assert refused.exit_code == 1
    assert str(tmp_path / "none") in refused.output
