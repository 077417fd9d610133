"""Files of the configuration that change while a server runs."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcp.auth import certificates
from kcp.server.process.reloading import ReloadedFiles
from kcp.testing import Server
from tests.support.objects import config_map
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

MAPS = "/api/v1/namespaces/default/configmaps"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


@pytest.fixture
def own(fresh_root: Path) -> Iterator[RunningServer]:
    server = RunningServer(fresh_root)
    yield server
    server.stop()


def tokens_of(server: RunningServer) -> Path:
    path = server.process.configuration.token_auth_file
    assert path is not None
    return path


def test_tokens_are_replaced_when_their_file_changes(own: RunningServer) -> None:
    tokens_of(own).write_text("new-token,joe,u-joe\n")
    assert own.get("/version", token="new-token").status == 401
    own.call(lambda: own.process.files.reload(changed_only=True))
    assert own.get("/version", token="new-token").status == 200
    assert own.get("/version", token="jane-token").status == 401
    assert own.get("/version").status == 200, "the administrator's token stays"


def test_a_file_that_has_not_changed_is_not_read_again(own: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kcp.server")
    own.call(lambda: own.process.files.reload(changed_only=True))
    assert not [record for record in caplog.records if "reloaded" in record.message]
    own.call(own.process.files.reload)
    assert [record for record in caplog.records if "reloaded" in record.message]


@pytest.mark.parametrize("content", ["broken\n", None])
def test_a_file_that_cannot_be_used_leaves_the_tokens_as_they_are(
    own: RunningServer, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    if content is None:
        tokens_of(own).unlink()
    else:
        tokens_of(own).write_text(content)
    for _ in range(2):
        own.call(lambda: own.process.files.reload(changed_only=True))
    assert own.get("/version", token="jane-token").status == 200
    assert len([record for record in caplog.records if "cannot reload" in record.message]) == 1


def test_a_client_authority_that_is_taken_away_is_not_trusted_any_more(fresh_root: Path, tmp_path: Path) -> None:
    authority, other = certificates.new_authority("mine"), certificates.new_authority("other")
    bundle = tmp_path / "clients.crt"
    bundle.write_bytes(authority.certificate)
    identity = certificates.new_client_identity(authority, "joe", ())
    (tmp_path / "joe.pem").write_bytes(identity.certificate + identity.key)
    server = RunningServer(fresh_root, client_ca_file=bundle)
    try:
        context = ssl.create_default_context(cafile=str(fresh_root / "data" / "ca.crt"))
        context.load_cert_chain(tmp_path / "joe.pem")
        assert server.post(WHO, REVIEW, token=None, context=context).status == 201
        bundle.write_bytes(other.certificate)
        server.call(lambda: server.process.files.reload(changed_only=True))

        def status() -> int:
            with contextlib.suppress(OSError, http.client.HTTPException):  # the HTTP server is replaced in this moment
                return server.post(WHO, REVIEW, token=None, context=context).status
            return 0

        assert wait_until(status, "the server answers") == 401
    finally:
        server.stop()


def test_the_servers_own_authority_stays_when_client_authorities_are_reloaded(fresh_root: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "clients.crt"
    bundle.write_bytes(certificates.new_authority("mine").certificate)
    server = RunningServer(fresh_root, client_ca_file=bundle)
    data = fresh_root / "data"
    try:
        context = ssl.create_default_context(cafile=str(data / "ca.crt"))
        context.load_cert_chain(data / "admin.crt", data / "admin.key")
        for name in ("ca.crt", "ca.key"):
            (data / name).unlink()
        server.call(server.process.files.reload)
        assert server.post(WHO, REVIEW, token=None, context=context).status == 201
        assert not (data / "ca.crt").exists(), "a running server generates no CA"
    finally:
        server.stop()


def test_several_parts_of_a_server_follow_one_file_and_a_fault_in_one_leaves_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shared"
    path.write_text("first")
    files = ReloadedFiles()
    contents = []

    def broken() -> None:
        raise ValueError("a fault of this part")

    caplog.set_level(logging.INFO, "kcp.server")
    files.add(path, broken)
    for _ in range(2):
        files.add(path, lambda: contents.append(path.read_text()))
    path.write_text("second, and longer")
    files.reload(changed_only=True)
    assert contents == ["second, and longer"] * 2
    assert "a fault of this part" in caplog.text
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.INFO] == [f"reloaded {path}"]


def test_sighup_reloads_at_once_and_does_not_end_the_server(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("old-token,jane,u\n")
    root = tmp_path / "root"
    root.mkdir()
    with Server(
        root_directory=root, in_process=False, arguments=["--token-auth-file", str(tokens), "-v", "2"]
    ) as server:
        tokens.write_text("new-token,joe,u\n")
        os.kill(server.process_id, signal.SIGHUP)
        wait_until(lambda: f"reloaded {tokens}" in (root / "server.log").read_text(), "the tokens are reloaded")
        os.kill(server.process_id, 0)


def test_watches_go_on_when_tokens_and_client_authorities_are_replaced(fresh_root: Path, tmp_path: Path) -> None:
    authority, other = certificates.new_authority("mine"), certificates.new_authority("other")
    bundle = tmp_path / "clients.crt"
    bundle.write_bytes(authority.certificate)
    with RunningServer(fresh_root, client_ca_file=bundle) as server, server.watch(f"{MAPS}?watch=true") as events:
        tokens_of(server).write_text("new-token,joe,u-joe\n")
        bundle.write_bytes(other.certificate)
        in_force = server.process.certificates
        assert in_force is not None
        server.call(lambda: server.process.files.reload(changed_only=True))
        wait_until(lambda: in_force._authorities == in_force._next_authorities, "the authorities are in force")
        wait_until(lambda: server.get("/version", token="new-token").status == 200, "the tokens are in force")
        assert server.post(MAPS, config_map("seen")).status == 201
        seen = (event["object"]["metadata"]["name"] for event in events)
        assert "seen" in seen
