"""A value that cannot be decrypted: requests for its object fail by name, nothing overwrites it, all others are served.

The server's file has a Secret whose value was moved there from another one: aesgcm binds a value to its key.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from kcp.store.sqlite.checksums import checksum
from tests.encryption.files import IDENTITY, keys, secrets_with, written
from tests.support.running_server import Answer, RunningServer

SECRETS = "/api/v1/namespaces/default/secrets"
IGNORE = "ignoreStoreReadErrorWithClusterBreakingPotential"


def secret(name: str, word: str = "word") -> dict[str, object]:
    labels = {"part": "of"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels},
        "stringData": {"k": word},
    }


def move_value(file: Path, source: str, target: str) -> None:
    """Give a Secret the stored value of another one, with a right checksum, as a thief with write access would."""
    with apsw.Connection(str(file)) as connection:
        rows = connection.execute("SELECT value FROM log WHERE name = ?", (source,)).fetchall()
        (position,) = connection.execute("SELECT position FROM current WHERE name = ?", (target,)).fetchone()  # type: ignore[misc]
        value = rows[-1][0]
        assert isinstance(value, bytes)
        assert isinstance(position, int)
        new = (value, checksum(value, position), position)
        connection.execute("UPDATE log SET value = ?, checksum = ? WHERE position = ?", new)
    connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    root = tmp_path_factory.mktemp("encrypted") / "root"
    root.mkdir()
    file = written(root / "keys.yaml", secrets_with(keys("aesgcm", "key1"), IDENTITY))
    with RunningServer(root, encryption_provider_config=file) as server:
        for name in "abc":
            assert server.post(SECRETS, secret(name)).status == 201
    move_value(root / "data/kcp.db", "a", "b")
    with RunningServer(root, encryption_provider_config=file) as server:
        yield server


def names(answer: Answer) -> list[str]:
    return [item["metadata"]["name"] for item in answer.json["items"]]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_request_for_the_object_fails_and_names_it_and_a_way_out(server: RunningServer, method: str) -> None:
    body = {"PUT": secret("b"), "PATCH": {"data": {"x": "eQ=="}}}.get(method)
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    answer = server.ask(method, f"{SECRETS}/b", body, Content_Type=content_type)
    assert (answer.status, answer.json["reason"], answer.json["details"]) == (
        500,
        "InternalError",
        {"name": "b", "kind": "secrets"},
    )
    for words in (
        'secrets "b" in namespace default of logical cluster root cannot be decrypted: ',
        "not what this key",
        IGNORE,
    ):
        assert words in answer.json["message"]


def test_a_create_of_its_name_finds_that_it_exists(server: RunningServer) -> None:
    assert server.post(SECRETS, secret("b")).status == 409


@pytest.mark.parametrize("query", ["", "?limit=1", "?labelSelector=part%3Dof"])
def test_a_list_has_all_others_and_a_warning(server: RunningServer, query: str) -> None:
    found, token, warnings = [], "", []
    while True:
        answer = server.get(f"{SECRETS}{query}{f'&continue={token}' if token else ''}")
        assert answer.status == 200
        found += names(answer)
        warnings += answer.headers.get_all("Warning") or []
        if not (token := answer.json["metadata"].get("continue", "")):
            break
    assert found == ["a", "c"]
    assert any('b\\"' in warning for warning in warnings)


def test_a_label_selector_finds_encrypted_objects(server: RunningServer) -> None:
    assert names(server.get(f"{SECRETS}?labelSelector=part=of")) == ["a", "c"]
    assert names(server.get(f"{SECRETS}?labelSelector=part=other")) == []
    assert names(server.get(f"{SECRETS}?fieldSelector=metadata.name=c")) == ["c"]


def test_an_update_without_changes_does_not_write(server: RunningServer) -> None:
    before = server.get(f"{SECRETS}/c").json
    assert server.ask("PUT", f"{SECRETS}/c", before).json["metadata"] == before["metadata"]


def test_the_option_of_kubernetes_deletes_the_object(server: RunningServer) -> None:
    assert server.post(SECRETS, secret("d")).status == 201
    answer = server.ask("DELETE", f"{SECRETS}/b?{IGNORE}=true")
    assert answer.status == 200
    assert server.get(f"{SECRETS}/b").status == 404
    assert server.post(SECRETS, secret("b")).status == 201
    assert names(server.get(SECRETS)) == ["a", "b", "c", "d"]
