"""``kcp store check`` as an operator runs it: its lines and exit codes, beside a server and without one."""

from __future__ import annotations

import json
import os
import pty
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import apsw
import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from tests.support.commands import call
from tests.support.damaging import execute
from tests.support.kcp_process import Started, run, started
from tests.support.waiting import PATIENCE


def send(server: Started, method: str, path: str, body: object = None) -> None:
    """Send one mutating request as the administrator."""
    token = (server.root / "data" / "admin.token").read_text()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, method=method, headers=headers, data=content)
    trust = ssl.create_default_context(cafile=str(server.root / "data" / "ca.crt"))
    with urllib.request.urlopen(request, context=trust, timeout=PATIENCE) as answer:
        answer.read()


def use(server: Started) -> None:
    """Create, update and delete objects of several kinds in several logical clusters, some with a lifetime."""
    for cluster in ("root", "team"):
        maps = f"/clusters/{cluster}/api/v1/namespaces/default/configmaps"
        for name in ("a", "b", "c"):
            meta = {"name": name, "annotations": {"x": "y"}}
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"resourceVersion": ""}}
            send(server, "POST", maps, made)
            if name != "c":
                send(server, "PUT", f"{maps}/{name}", {**made, "metadata": {"name": name}})
        send(server, "DELETE", f"{maps}/a")
        send(server, "POST", f"/clusters/{cluster}/api/v1/namespaces", {"metadata": {"name": "more"}})
        send(server, "DELETE", f"/clusters/{cluster}/api/v1/namespaces/more")
        about = {"kind": "ConfigMap", "namespace": "default", "name": "b"}
        event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Tested", "type": "Normal"}
        send(server, "POST", f"/clusters/{cluster}/api/v1/namespaces/default/events", event)


def test_a_servers_log_is_sound_beside_it_and_when_it_has_stopped(tmp_path: Path) -> None:
    root = tmp_path / ".kcp"
    with started(root) as server:
        use(server)
        done = run("store", "check", "--root-directory", str(root))
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        *lines, last = done.stdout.splitlines()
        assert last == f"{len(lines)} rules, 0 violations"
        shown = {line.split()[0]: line.split()[1:3] for line in lines}
        assert all(outcome == "ok" for outcome, _ in shown.values())
        assert int(shown["values"][1]) > 10
        assert int(shown["expiry"][1]) == 2
        assert server.stop()[0] == 0
    assert run("store", "check", "--root-directory", str(root)).returncode == 0
    copy = tmp_path / "copy.db"
    assert run("snapshot", "save", "--root-directory", str(root), str(copy)).returncode == 0
    assert run("store", "check", str(copy)).returncode == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"{", "it is not JSON"),
        (b"[]", "not an object that begins with apiVersion"),
        (b'{"apiVersion":"v1","kind":"K","metadata":{"name":"b"}}', "does not begin with an empty resourceVersion"),
        (b'{"apiVersion":"v1","kind":"K","metadata":{"resourceVersion":"7","name":"b"}}', "empty resourceVersion"),
        (b'{"apiVersion":"v1", "kind":"K","metadata":{"resourceVersion":"","name":"b"}}', "empty resourceVersion"),
        (b'{"apiVersion":"v1","kind":"K","metadata":{"resourceVersion":"","name":"c"}}', "its metadata names c"),
        (
            b'{"apiVersion":"v1","kind":"K","metadata":{"resourceVersion":"","name":"b","annotations":{"a":"b"}}}',
            "its annotations",
        ),
        (
            b'{"apiVersion":"v1","kind":"K","metadata":{"resourceVersion":"","annotations":{"kcp.io/cluster":"b"}}}',
            "kcp.io/cluster",
        ),
    ],
)
def test_an_invalid_value_is_exit_code_1(tmp_path: Path, value: bytes, words: str) -> None:
    from kcp.store.sqlite.tables import MIGRATIONS

    path = tmp_path / "kcp.db"
    connection = apsw.Connection(str(path))
    for migration in MIGRATIONS:
        connection.execute(migration)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}; PRAGMA application_id = 0x6B637031")
    for number, bad in enumerate((value, value, value), 1):
        key = ("configmaps", f"team-{number}", "", "b")
        connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, 0, 0, '', ?, NULL)", (number << 10, *key, bad))
        connection.execute("INSERT INTO current VALUES (?, ?, ?, ?, ?)", (*key, number << 10))
    connection.close()
    done = call("store", "check", str(path), "--first", "2")
    assert done.returncode == 1
    assert "values         3 BROKEN" in done.stdout
    assert "    team-1: configmaps b at revision 1: " in done.stdout
    assert words in done.stdout
    assert "    and 1 more\n" in done.stdout
    assert done.stdout.endswith("15 rules, 3 violations\n")


def test_progress_is_shown_on_a_terminal(tmp_path: Path) -> None:
    with started(tmp_path / ".kcp") as server:
        use(server)
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "kcp", "store", "check", "--root-directory", str(tmp_path / ".kcp")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
            os.close(theirs)
            assert process.stdout is not None
            assert b"0 violations" in process.stdout.read()
        shown = os.read(ours, 4096).decode()
        os.close(ours)
        assert "integrity ... 0 s" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--root-directory", "nowhere"), "nowhere/data/kcp.db does not exist"),
        (("garbage",), "cannot be read as a log"),
        (("garbage", "--etcd-servers", "http://127.0.0.1:1"), "cannot be given together"),
        (("--etcd-servers", "http://127.0.0.1:1:1"), "has no valid port"),
        (("--etcd-servers", "http://127.0.0.1:1", "--etcd-certfile", "x"), "must be given together"),
        (("--first", "-1"), "--first"),
        (("--frist", "1"), "No such option"),
    ],
)
def test_a_store_that_cannot_be_checked_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "garbage").write_bytes(b"garbage" * 1000)
    done = call("store", "check", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_in_etcd_and_its_replica(tmp_path: Path) -> None:
    if binary() is None:
        pytest.skip(MISSING)
    root = tmp_path / ".kcp"
    with EtcdCluster(tmp_path) as cluster:
        place = ("--etcd-servers", ",".join(cluster.urls), "--etcd-prefix", "/here")
        with started(root, *place) as server:
            use(server)
            done = run("store", "check", "--root-directory", str(root), *place)
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
            assert "the local replica equals etcd at revision" in done.stdout
            assert server.stop()[0] == 0
        (copy,) = (root / "data").glob("replica-*.db")
        execute(copy, "DELETE FROM current WHERE name = 'b' AND cluster = 'team'")
        done = run("store", "check", "--root-directory", str(root), *place)
        assert done.returncode == 1
        assert "team: configmaps default/b at revision" in done.stdout
        assert "etcd has it, the replica has not" in done.stdout
        assert run("store", "check", "--root-directory", str(tmp_path), *place[:2]).returncode == 1, "no log there"
