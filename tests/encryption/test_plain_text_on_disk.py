"""No file and no key in etcd has the content of an encrypted object, and what moves them needs no key or says that it does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from tests.encryption.files import IDENTITY, configuration, containing, encoded, keys, secrets_with, written
from tests.support.kcp_process import run
from tests.support.running_server import RunningServer
from tests.support.waiting import PATIENCE

WORDS = ("xylophone", "marimba-label", "vibraphone-annotation")
SECRETS = "/api/v1/namespaces/default/secrets"
FLAG = "--encryption-provider-config"


def make(server: RunningServer, cluster: str = "root") -> None:
    """Create a Secret with a word in its data, labels and annotations, change it, and delete another one."""
    for name in ("kept", "gone"):
        metadata = {"name": name, "labels": {"l": WORDS[1]}, "annotations": {"a": WORDS[2]}}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"w": WORDS[0]}}
        assert server.post(f"/clusters/{cluster}{SECRETS}", body).status == 201
    answer = server.ask(
        "PATCH", f"/clusters/{cluster}{SECRETS}/kept", {"type": "kept"}, Content_Type="application/merge-patch+json"
    )
    assert answer.status in (200, 422)
    assert server.ask("DELETE", f"/clusters/{cluster}{SECRETS}/gone").status == 200


def found_in(folder: Path) -> list[str]:
    return [f"{word} in {name}" for word in WORDS for name in containing(folder, word)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "keys.yaml", secrets_with(keys("aesgcm", "key1"), IDENTITY))


@pytest.fixture
def root(tmp_path: Path, file: Path) -> Path:
    """The root directory of a server that has run with encrypted Secrets."""
    root = tmp_path / "root"
    with RunningServer(root, encryption_provider_config=file) as server:
        make(server)
        assert not found_in(root)  # the write-ahead log included
    return root


def test_the_words_are_found_where_nothing_is_encrypted(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "root") as server:
        make(server)
        assert {name.split()[0] for name in found_in(tmp_path)} == set(WORDS)


def test_files_snapshots_and_exports_have_no_plain_text(root: Path, tmp_path: Path, file: Path) -> None:
    for command in (["snapshot", "save", str(tmp_path / "a.db")], ["store", "export", str(tmp_path / "a.jsonl.gz")]):
        done = run(*command[:2], "--root-directory", str(root), command[2])
        assert done.returncode == 0, done.stderr
    assert not found_in(tmp_path)

    # both come back, and need the key
    other = tmp_path / "other"
    done = run("store", "import", "--root-directory", str(other), str(tmp_path / "a.jsonl.gz"))
    assert done.returncode == 0, done.stderr
    done = run("snapshot", "restore", "--root-directory", str(root), str(tmp_path / "a.db"))
    assert done.returncode == 0, done.stderr
    for directory in (root, other):
        refused = run("start", "--root-directory", str(directory), "--secure-port", "0")
        assert refused.returncode == 1
        assert "values of secrets are encrypted with k8s:enc:aesgcm:v1:key1:" in refused.stderr
        with RunningServer(directory, encryption_provider_config=file) as server:
            assert server.get(f"{SECRETS}/kept").status == 200
    assert not found_in(tmp_path)


def test_a_check_needs_the_keys_only_for_what_is_in_values(root: Path, file: Path, tmp_path: Path) -> None:
    check = ("store", "check", "--root-directory", str(root))
    without = run(*check)
    assert without.returncode == 0, without.stdout
    assert "encrypted values, whose content is not checked without --encryption-provider-config" in without.stdout
    with_keys = run(*check, FLAG, str(file))
    assert with_keys.returncode == 0, with_keys.stdout
    assert "encrypted values, decrypted for the rule above" in with_keys.stdout
    wrong = written(tmp_path / "wrong.yaml", secrets_with(keys("aesgcm", "key1")).replace(encoded(1), encoded(2)))
    with_others = run(*check, FLAG, str(wrong))
    assert with_others.returncode == 1
    assert "secrets default/kept at revision" in with_others.stdout
    assert "it cannot be decrypted" in with_others.stdout


def test_a_check_does_not_need_the_key_of_superseded_values(root: Path, file: Path) -> None:
    both, new = (secrets_with(keys("aesgcm", *names)) for names in (("key2", "key1"), ("key2",)))
    written(file, both)
    with RunningServer(root, encryption_provider_config=file) as server:
        body = server.get(f"{SECRETS}/kept").json
        assert server.ask("PUT", f"{SECRETS}/kept", body).status == 200
    written(file, new)
    check = run("store", "check", "--root-directory", str(root), FLAG, str(file))
    assert check.returncode == 0, check.stdout
    assert re.search(
        r"encrypted values, decrypted .* except \d superseded ones or key records whose key is not", check.stdout
    )


def test_one_logical_cluster_is_encrypted_anew_where_it_is_imported(root: Path, tmp_path: Path, file: Path) -> None:
    exported = tmp_path / "one.jsonl"
    done = run("store", "export", "--root-directory", str(root), "--logical-cluster", "root", str(exported))
    assert done.returncode == 0, done.stderr
    other = tmp_path / "other"
    target = ("store", "import", "--root-directory", str(other), "--logical-cluster", "team", str(exported))
    refused = run(*target)
    assert refused.returncode == 1
    assert "secrets default/kept of logical cluster root is encrypted, and must be encrypted again" in refused.stderr
    both = written(tmp_path / "both.yaml", secrets_with(keys("aesgcm", "key2", "key1")))
    done = run(*target, FLAG, str(both))
    assert done.returncode == 0, done.stderr
    assert not found_in(other)
    alone = written(tmp_path / "alone.yaml", secrets_with(keys("aesgcm", "key2")))
    with RunningServer(other, encryption_provider_config=alone) as server:
        assert server.get(f"/clusters/team{SECRETS}/kept").status == 200
    assert "key2" in run("start", "--root-directory", str(other), "--secure-port", "0").stderr


def test_an_import_encrypts_what_the_configuration_of_the_target_names(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "plain") as server:
        make(server)
    exported = tmp_path / "export" / "one.jsonl"
    exported.parent.mkdir()
    run("store", "export", "--root-directory", str(tmp_path / "plain"), "--logical-cluster", "root", str(exported))
    file = written(tmp_path / "keys.yaml", configuration((["*.*"], [keys("aesgcm", "key1")])))
    done = run("store", "import", "--root-directory", str(tmp_path / "other"), FLAG, str(file), str(exported))
    assert done.returncode == 0, done.stderr
    assert not found_in(tmp_path / "other")
    with RunningServer(tmp_path / "other", encryption_provider_config=file) as server:
        assert server.get(f"{SECRETS}/kept").status == 200


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    if binary() is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path_factory.mktemp("etcd"), 1) as running:
        yield running


def test_etcd_replicas_and_exports_have_no_plain_text(etcd: EtcdCluster, tmp_path: Path, file: Path) -> None:
    options: dict[str, Any] = {"etcd_servers": tuple(etcd.urls), "encryption_provider_config": file}
    with RunningServer(tmp_path / "one", **options) as one, RunningServer(tmp_path / "two", **options) as two:
        make(one)
        answer = two.get(f"{SECRETS}/kept?resourceVersion=")
        assert answer.json["metadata"]["labels"] == {"l": WORDS[1]}
        token = (tmp_path / "one" / "data" / "admin.token").read_text().strip()
    every = dump(etcd)
    assert b"k8s:enc:aesgcm:v1:key1:" in every
    for word in (*WORDS, token, "PRIVATE KEY"):
        assert word.encode() not in every
    servers = ("--etcd-servers", ",".join(etcd.urls))
    done = run("snapshot", "save", *servers, str(tmp_path / "a.jsonl"))
    assert done.returncode == 0, done.stderr
    assert not found_in(tmp_path)
    assert json.dumps(token)[1:-1] not in (tmp_path / "a.jsonl").read_text()
    check = run("store", "check", *servers, "--root-directory", str(tmp_path / "one"), FLAG, str(file))
    assert check.returncode == 0, check.stdout
    refused = run("start", *servers, "--root-directory", str(tmp_path / "three"), "--secure-port", "0")
    assert refused.returncode == 1
    assert "give --encryption-provider-config" in refused.stderr


def dump(etcd: EtcdCluster) -> bytes:
    """All keys and values of etcd, as they are."""
    import asyncio

    from kcp.store.etcd.client import EtcdClient

    async def read() -> bytes:
        client = EtcdClient(etcd.options("/").connection)
        try:
            answer = await client.repeatedly("Range", PATIENCE, key=b"\0", range_end=b"\0")
            return b"\n".join(part for kv in answer.kvs for part in (kv.key, kv.value))
        finally:
            await client.close()

    return asyncio.run(read())
