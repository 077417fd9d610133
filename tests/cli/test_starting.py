"""``kcp start``, from the first line of its output to its exit code."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest
import yaml

from devtools.ports import free_ports
from kcp.auth import certificates
from kcp.server.process.errors import ConfigurationError
from kcp.testing import Server
from kcp.testing.server import ServerError
from tests.support.kcp_process import Started, run, started
from tests.support.waiting import PATIENCE, wait_until


def test_start_prints_the_address_and_the_kubeconfig(tmp_path: Path) -> None:
    with started(Path(".kcp"), cwd=tmp_path) as server:
        said = "".join(server.said)
        assert "kubeconfig: .kcp/data/admin.kubeconfig\n" in said
        assert "    export KUBECONFIG=.kcp/data/admin.kubeconfig\n" in said
        assert server.get("/readyz") == b"ok"
        assert server.stop()[0] == 0


def test_the_kubeconfig_works_and_survives_a_restart(tmp_path: Path) -> None:
    root = tmp_path / ".kcp"
    (port,) = free_ports(1)
    with started(root, "--secure-port", str(port)) as server:
        first = (root / "data" / "admin.kubeconfig").read_bytes()
        config = yaml.safe_load(first)
        assert config["current-context"] == "admin"
        places = {entry["name"]: entry["cluster"]["server"] for entry in config["clusters"]}
        contexts = {entry["name"]: places[entry["context"]["cluster"]] for entry in config["contexts"]}
        assert contexts == {"admin": server.url, "user": f"{server.url}/clusters/user"}
        kubectl = Path(sys.executable).with_name("kubectl")
        for context in contexts:
            command = [
                kubectl,
                "--kubeconfig",
                root / "data" / "admin.kubeconfig",
                "--context",
                context,
                "get",
                "ns",
                "-o",
                "name",
            ]
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(tmp_path)}
            )
            assert done.stdout.split() == ["namespace/default", "namespace/kube-public", "namespace/kube-system"]
        assert server.stop()[0] == 0
    with started(root, "--secure-port", str(port)) as server:
        assert (root / "data" / "admin.kubeconfig").read_bytes() == first
        assert server.get("/readyz") == b"ok"


def test_files_are_readable_by_their_owner_only_and_in_the_root_directory(tmp_path: Path) -> None:
    root = tmp_path / ".kcp"
    with started(root, cwd=tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".kcp"}
        assert stat.S_IMODE(root.stat().st_mode) == 0o700
        assert stat.S_IMODE((root / "data").stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root / "data").iterdir()}
    private = ("ca.key", "serving.key", "admin.key", "admin.token", "admin.kubeconfig", "ca.crt", "serving.crt")
    assert {modes[name] for name in private} == {0o600}
    assert {modes[name] for name in modes if name.startswith("kcp.db")} == {0o600}
    assert {"kcp.db", "kcp.db-wal"} <= set(modes)
    assert not [name for name in modes if name.startswith(".")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_gracefully(tmp_path: Path, number: int) -> None:
    with started(tmp_path / ".kcp") as server:
        code, errors = server.stop(number)
        assert code == 0
        assert "Traceback" not in errors


def test_a_watch_does_not_delay_the_stop_and_ends_gracefully(tmp_path: Path) -> None:
    with started(tmp_path / ".kcp", "--shutdown-grace-period", "1h") as server:
        token = (server.root / "data" / "admin.token").read_text()
        command = ["curl", "-sSN", "--cacert", server.root / "data" / "ca.crt", "-H", f"Authorization: Bearer {token}"]
        watches = [
            subprocess.Popen(
                [*map(str, command), form, f"{server.url}/api/v1/namespaces?watch=true"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for form in ("--http1.1", "--http2")
        ]
        for watch in watches:
            assert watch.stdout is not None
            assert json.loads(watch.stdout.readline())["type"] == "ADDED"
        assert server.stop()[0] == 0
        for watch in watches:
            _, errors = watch.communicate(timeout=PATIENCE)
            assert (watch.returncode, errors) == (0, "")


def test_a_second_signal_stops_the_server_at_once(tmp_path: Path) -> None:
    with started(tmp_path / ".kcp", "--shutdown-delay-duration", "1m") as server:
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: b"shutting down" in failing(server), "the server says that it shuts down")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_start_that_waits_for_etcd(tmp_path: Path, number: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        etcd = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "kcp", "start", "--root-directory", str(tmp_path), "--etcd-servers", etcd]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = silent.accept()
            with connection:
                process.send_signal(number)
                said, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (0, "")
    (line,) = errors.splitlines()
    assert "stopping before the server is ready" in line


def is_ready(server: Started) -> bool:
    try:
        return server.get("/readyz") == b"ok"
    except OSError:
        return False


def failing(server: Started) -> bytes:
    """Return the response of /readyz, whatever its status."""
    try:
        return server.get("/readyz")
    except urllib.error.HTTPError as error:
        return error.read()


def test_objects_survive_a_restart(tmp_path: Path) -> None:
    root = tmp_path / ".kcp"
    with started(root) as server:
        before = json.loads(server.get("/api/v1/namespaces/default"))["metadata"]["uid"]
        server.process.kill()
    with started(root) as server:
        assert json.loads(server.get("/api/v1/namespaces/default"))["metadata"]["uid"] == before


def refused(*arguments: str | Path) -> str:
    """Return the one line that a server prints which cannot start."""
    done = run("start", *map(str, arguments))
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("kcp: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def refused_here(root: Path, *arguments: str | Path) -> str:
    """Return the line that a server would print which cannot start, from a server in this process."""
    with pytest.raises(ServerError) as caught:
        Server(root_directory=root, arguments=list(map(str, arguments))).start()
    assert isinstance(caught.value.__cause__, ConfigurationError)
    message = str(caught.value)
    assert "\n" not in message
    return f"kcp: {message}"


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = refused("--root-directory", tmp_path / ".kcp", "--secure-port", str(port))
    assert f"127.0.0.1:{port}" in message
    assert "--secure-port" in message


def test_an_address_of_another_machine_is_one_line(tmp_path: Path) -> None:
    assert "--bind-address" in refused(
        "--root-directory", tmp_path, "--bind-address", "192.0.2.1", "--secure-port", "0"
    )


def test_a_read_only_root_directory_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    message = refused("--root-directory", blocked / "sub", "--secure-port", "0")
    assert str(blocked) in message
    assert "--root-directory" in message


def test_a_second_server_on_one_directory_exits(tmp_path: Path) -> None:
    with started(tmp_path / ".kcp") as server:
        message = refused("--root-directory", tmp_path / ".kcp", "--secure-port", "0")
        assert str(server.process.pid) in message
        assert server.get("/readyz") == b"ok"


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    root = tmp_path / ".kcp"
    with started(root) as server:
        server.stop()
    with sqlite3.connect(root / "data" / "kcp.db") as database:
        database.execute("PRAGMA user_version = 9999")
    database.close()
    assert "newer" in refused("--root-directory", root, "--secure-port", "0")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tls-cert-file", "a.crt"), "--tls-private-key-file"),
        (("--tls-cert-file", "none.crt", "--tls-private-key-file", "none.key"), "none.crt"),
        (("--client-ca-file", "none.crt"), "--client-ca-file"),
        (("--token-auth-file", "none.csv"), "--token-auth-file"),
    ],
)
def test_missing_files_are_named(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in refused_here(tmp_path / ".kcp", *arguments)


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """The files of a generated CA."""
    pair = certificates.new_authority(name)
    found = folder / f"{name}.crt", folder / f"{name}.key"
    for path, content in zip(found, (pair.certificate, pair.key), strict=True):
        path.write_bytes(content)
    return found


def test_a_key_that_does_not_match_the_certificate_is_refused(tmp_path: Path) -> None:
    certificate, _ = key_pair(tmp_path, "one")
    _, key = key_pair(tmp_path, "other")
    given = ("--tls-cert-file", certificate, "--tls-private-key-file", key)
    message = refused("--root-directory", tmp_path / ".kcp", "--secure-port", "0", *given)
    assert f"the key in {key} is not that of the certificate in {certificate}" in message


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
@pytest.mark.parametrize("flag", ["--tls-cert-file", "--tls-private-key-file", "--client-ca-file"])
def test_files_with_other_content_are_refused(tmp_path: Path, flag: str, content: bytes) -> None:
    certificate, key = key_pair(tmp_path, "given")
    (wrong := tmp_path / "wrong").write_bytes(content)
    given = {"--tls-cert-file": certificate, "--tls-private-key-file": key, flag: wrong}
    words = [word for pair in given.items() for word in pair]
    message = refused_here(tmp_path / ".kcp", *words)
    assert message.startswith(f"kcp: {flag}: {wrong} holds no "), message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"token\n", "line 1: expected at least token, user name and user UID"),
        (b"token,jane,1\n,carl,2\n", "line 2: the token and the user name may not be empty"),
        (b"\xff\xfe,jane,1\n", "not a CSV file"),
    ],
)
def test_an_invalid_token_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (path := tmp_path / "tokens.csv").write_bytes(content)
    message = refused_here(tmp_path / ".kcp", "--token-auth-file", path)
    assert message.startswith(f"kcp: --token-auth-file: {path}")
    assert words in message


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--bind-address", "", "must not be empty"),
        ("--bind-address", "host.invalid", "is not an address of this machine"),
        ("--external-hostname", "a b", "is neither a host name nor an IP address"),
        ("--external-hostname", "https://kcp.example.com", "is neither a host name nor an IP address"),
        ("--tls-san", "", "is neither a host name nor an IP address"),
        ("--request-timeout", "0", "must be at least"),
        ("--min-request-timeout", "0s", "must be at least"),
        ("--history-retention", "0s", "must be at least"),
        ("--event-ttl", "500ms", "must be at least 1 seconds"),
    ],
)
def test_invalid_values_of_flags_are_refused(tmp_path: Path, flag: str, value: str, words: str) -> None:
    message = refused_here(tmp_path / ".kcp", flag, value)
    assert message.startswith(f"kcp: {flag}")
    assert words in message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("kcp.db", b"no database, but long enough to be read as the head of one" * 20, "is not a database"),
        ("kcp.db", None, "unable to open"),
        ("ca.key", b"nonsense", "remove both to generate new ones"),
        ("admin.kubeconfig", None, "admin.kubeconfig"),
    ],
)
def test_an_unusable_root_directory_is_refused(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    data = tmp_path / ".kcp" / "data"
    data.mkdir(parents=True)
    for path in key_pair(tmp_path, "ca"):
        path.rename(data / path.name)
    if content is None:
        (data / name).mkdir()
    else:
        (data / name).write_bytes(content)
    message = refused_here(data.parent)
    assert str(data / name) in message
    assert words in message


@pytest.mark.parametrize("left", [None, b""], ids=["missing", "empty"])
def test_a_missing_log_is_replaced_only_with_new_log(tmp_path: Path, left: bytes | None) -> None:
    root = tmp_path / ".kcp"
    with started(root) as server:
        assert server.stop()[0] == 0
    log = root / "data" / "kcp.db"
    for path in root.glob("data/kcp.db*"):
        path.unlink()
    if left is not None:
        log.write_bytes(left)
    message = refused("--root-directory", root, "--secure-port", "0")
    assert message.startswith(f"kcp: {log} is missing or empty, but admin.token beside it")
    assert "--new-log" in message
    with started(root, "--new-log") as server:
        assert server.get("/readyz") == b"ok"
        assert server.stop()[0] == 0
    with started(root) as server:
        assert server.get("/readyz") == b"ok"


@pytest.mark.parametrize("megabytes", [60, 110, 192, 511])
def test_too_little_address_space_is_one_line(tmp_path: Path, megabytes: int) -> None:
    command = [sys.executable, "-m", "kcp", "start", "--root-directory", str(tmp_path / ".kcp"), "--secure-port", "0"]
    limited = ["bash", "-c", f'ulimit -v {megabytes * 1024} && exec "$@"', "kcp", *command]
    done = subprocess.run(limited, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1
    assert done.stderr == (f"kcp: the address space is limited to {megabytes} MB (ulimit -v); a server needs 512 MB\n")


@pytest.mark.parametrize("options", ["ro", "size=16k"])
def test_a_full_file_system_is_one_line(tmp_path: Path, options: str) -> None:
    """Read-only, or full from the beginning."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", tmp_path], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs to mount a file system: {mounted.stderr.strip()}")
    try:
        message = refused("--root-directory", tmp_path / ".kcp", "--secure-port", "0")
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert any(
        words in message for words in ("Read-only file system", "No space left", "disk is full", "disk I/O error")
    ), message


def held_connections(server: Started, count: int, *, least: int = 0) -> list[ssl.SSLSocket]:
    """Open and keep as many connections as the server accepts, of which a busy machine may take long over the ``least``."""
    trust = ssl.create_default_context(cafile=str(server.root / "data" / "ca.crt"))
    place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    held: list[ssl.SSLSocket] = []
    with contextlib.suppress(OSError):
        while len(held) < count:
            plain = socket.create_connection(place, PATIENCE if len(held) < least else 1)
            held.append(trust.wrap_socket(plain, server_hostname=place[0]))
    return held


def test_the_server_survives_more_connections_than_open_files(tmp_path: Path) -> None:
    with started(tmp_path / ".kcp", files=256) as server:
        held = held_connections(server, 400, least=64)
        assert 64 <= len(held) < 128, "half of the files, because two HTTP servers may run at a time"
        for connection in held:
            connection.close()
        wait_until(lambda: is_ready(server), "the server accepts connections")
        assert server.stop()[0] == 0


def test_the_server_raises_its_limit_on_open_files(tmp_path: Path) -> None:
    with started(tmp_path / ".kcp", files=256) as server:
        assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (256, 256)
    with started(tmp_path / ".kcp") as server:
        soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard


def test_the_server_exits_when_it_cannot_accept_connections(tmp_path: Path) -> None:
    with started(tmp_path / ".kcp") as server:
        used = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used, used))
        held_connections(server, 1)
        _, errors = server.process.communicate(timeout=PATIENCE)
        assert server.process.returncode == 1
        assert "kcp: the HTTP server ended: Too many open files" in errors
        assert "Traceback" not in errors


def test_requests_are_logged_at_level_2_without_secrets(tmp_path: Path) -> None:
    with started(tmp_path / ".kcp", "-v", "2", "--log-format", "json") as server:
        token = (server.root / "data" / "admin.token").read_text()
        server.get("/clusters/team-1/api/v1/namespaces/default/configmaps?limit=1")
        _, errors = server.stop()
    lines = [json.loads(line) for line in errors.splitlines()]
    (line,) = [line for line in lines if line.get("resource") == "configmaps"]
    assert (line["cluster"], line["verb"], line["status"], line["user"]) == ("team-1", "list", 200, "admin")
    assert line["userAgent"].startswith("Python-urllib")
    assert line["latencyMilliseconds"] > 0
    assert len(line["auditID"]) == 36
    assert token not in errors


def test_log_lines_are_klog_s_by_default_and_requests_are_not_in_them(tmp_path: Path) -> None:
    with started(tmp_path / ".kcp") as server:
        server.get("/api/v1/namespaces")
        _, errors = server.stop()
    assert errors.startswith("I")
    assert '] "stopping"' in errors
    assert "namespaces" not in errors
