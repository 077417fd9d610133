"""Servers that share etcd: each has the file, keys are rotated one server after the other, and a KMS's seed is shared."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from kcp.store.encryption.opening import Encryption
from tests.encryption.files import IDENTITY, keys, secrets_with, written
from tests.encryption.kms_plugin import Plugin
from tests.support.kcp_process import run
from tests.support.running_server import RunningServer
from tests.support.waiting import PATIENCE, wait_until

SECRETS = "/api/v1/namespaces/default/secrets"


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    if binary() is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path_factory.mktemp("etcd"), 1) as running:
        yield running


def options(etcd: EtcdCluster, prefix: str, file: Path) -> dict[str, Any]:
    return {"etcd_servers": tuple(etcd.urls), "etcd_prefix": prefix, "encryption_provider_config": file}


def create(server: RunningServer, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"name": name}}
    assert server.post(SECRETS, body).status == 201


def data(server: RunningServer, name: str) -> str:
    """The content of a Secret, by a read that is current."""
    answer = server.get(f"{SECRETS}/{name}")
    assert answer.status == 200, answer.body
    return base64.b64decode(answer.json["data"]["name"]).decode()


def reload(server: RunningServer) -> None:
    """Reload the files of a server, and wait until the keys are in force."""
    figures = encryption_of(server).reloads
    before = figures.successes
    server.call(server.process.files.reload)
    wait_until(lambda: figures.successes > before, "the keys are in force")


def encryption_of(server: RunningServer) -> Encryption:
    storage = server.process.storage
    assert storage is not None
    assert storage.encryption is not None
    return storage.encryption


def test_keys_are_rotated_on_one_server_after_the_other(etcd: EtcdCluster, tmp_path: Path) -> None:
    file = written(tmp_path / "keys.yaml", secrets_with(keys("aesgcm", "key1"), IDENTITY))
    chosen = options(etcd, "/rotated", file)
    with RunningServer(tmp_path / "one", **chosen) as one, RunningServer(tmp_path / "two", **chosen) as two:
        create(one, "a")
        create(two, "b")
        assert (data(two, "a"), data(one, "b")) == ("a", "b")
        for names in (("key1", "key2"), ("key2", "key1")):
            written(file, secrets_with(keys("aesgcm", *names)))
            for server in (one, two):
                reload(server)
                create(server, f"{names[0]}-{'one' if server is one else 'two'}")
                for reader in (one, two):
                    assert {item["metadata"]["name"] for item in reader.get(SECRETS).json["items"]} >= {"a", "b"}
        listed = one.get(SECRETS).json
        for item in listed["items"]:
            assert two.ask("PUT", f"{SECRETS}/{item['metadata']['name']}", item).status == 200
        written(file, secrets_with(keys("aesgcm", "key2")))
        reload(one)
        reload(two)
        assert (data(one, "key1-two"), data(two, "key1-one")) == ("key1-two", "key1-one")
    servers = ("--etcd-servers", ",".join(etcd.urls), "--etcd-prefix", "/rotated")
    check = run(
        "store", "check", *servers, "--root-directory", str(tmp_path / "no"), "--encryption-provider-config", str(file)
    )
    assert check.returncode == 0, check.stdout


def test_servers_share_a_seed_and_follow_a_new_key_of_the_service(
    etcd: EtcdCluster, tmp_path: Path, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcp.store.encryption.opening._SPREAD_SECONDS", 0.5)
    vault = {"kms": {"apiVersion": "v2", "name": "vault", "endpoint": plugin.endpoint, "timeout": "30s"}}
    file = written(tmp_path / "keys.yaml", secrets_with(vault))
    chosen = options(etcd, "/kms", file)
    with RunningServer(tmp_path / "one", **chosen) as one, RunningServer(tmp_path / "two", **chosen) as two:
        create(one, "a")
        create(two, "b")
        assert (data(two, "a"), data(one, "b")) == ("a", "b")
        assert plugin.calls.count("Encrypt") == 1
        plugin.rotate("key-2")
        poll(one)
        create(one, "c")
        wait_until(lambda: two.get(f"{SECRETS}/c").status == 200, "the other server has the new key")
        poll(two)
        create(two, "d")
        assert data(one, "d") == "d"
        assert plugin.calls.count("Encrypt") == 2
        assert "kms-providers ok" in one.get("/readyz?verbose").body.decode()
        plugin.healthz = "sealed"
        poll(one)
        assert one.get("/readyz").status == 500
        assert two.get("/readyz").status == 200
        assert data(one, "d") == "d"


def poll(server: RunningServer) -> None:
    """Let a server ask the service for the ID of its key, as it does every minute."""
    encryption = encryption_of(server)
    (provider,) = encryption._keyring.kms
    server.submit(provider.poll(encryption._announce)).result(PATIENCE)
