"""A definition that cannot be decrypted: nobody knows what its type is, so nothing may count as absent.

The server's file has a definition whose value was moved there from another one: aesgcm binds a value to its key.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from kcp.store.sqlite.checksums import checksum
from tests.encryption.files import IDENTITY, configuration, keys, written
from tests.support.objects import DEFINITIONS, definition, widget
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
GADGETS = "/apis/example.com/v1/namespaces/default/gadgets"
NAME = "widgets.example.com"
FAILURE = "NamespaceDeletionDiscoveryFailure"


def exchange_value(file: Path, name: str, value: bytes | None = None) -> bytes:
    """Give a definition the stored value of another one, or a value that it had; returns the value that it has until then."""
    with apsw.Connection(str(file)) as connection:
        ((position,),) = connection.execute("SELECT position FROM current WHERE name = ?", (name,)).fetchall()
        ((before,),) = connection.execute("SELECT value FROM log WHERE position = ?", (position,)).fetchall()
        if value is None:
            other = "SELECT value FROM log WHERE name = 'gadgets.example.com' AND value NOT NULL"
            ((value,),) = connection.execute(f"{other} ORDER BY position DESC LIMIT 1").fetchall()  # type: ignore[assignment]
        assert isinstance(before, bytes)
        had = before
        assert isinstance(value, bytes)
        assert isinstance(position, int)
        new = (value, checksum(value, position), position)
        connection.execute("UPDATE log SET value = ?, checksum = ? WHERE position = ?", new)
    connection.close()
    return had


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def flags(root: Path) -> dict[str, Any]:
    rules = configuration((("customresourcedefinitions.apiextensions.k8s.io",), (keys("aesgcm", "key1"), IDENTITY)))
    return {"encryption_provider_config": written(root / "keys.yaml", rules)}


@pytest.fixture
def before(root: Path, flags: dict[str, Any]) -> bytes:
    """The value of the definition that a file then lacks; there are objects of its type."""
    with RunningServer(root, **flags) as server:
        for plural, kind in (("widgets", "Widget"), ("gadgets", "Gadget")):
            assert server.post(DEFINITIONS, definition(plural, kind)).status == 201
        wait_until(lambda: server.get(GADGETS).status == 200, "the types are served")
        assert server.post("/api/v1/namespaces", {"metadata": {"name": "going"}}).status == 201
        for namespace in ("default", "going"):
            assert server.post(WIDGETS.replace("default", namespace), widget("w")).status == 201
    return exchange_value(root / "data/kcp.db", NAME)


@pytest.fixture
def server(root: Path, flags: dict[str, Any], before: bytes) -> Iterator[RunningServer]:
    with RunningServer(root, **flags) as server:
        yield server


@pytest.mark.parametrize("path", [WIDGETS, f"{WIDGETS}/w", f"/clusters/*{WIDGETS}", f"{WIDGETS}?watch=true"])
def test_a_read_of_its_objects_is_unavailable_and_not_absent(server: RunningServer, path: str) -> None:
    answer = server.get(path)
    assert (answer.status, answer.json["reason"]) == (503, "ServiceUnavailable")
    for words in ("the definition of the resource cannot be read", NAME, "logical cluster root", "cannot be decrypted"):
        assert words in answer.json["message"]


def test_its_objects_are_not_written(server: RunningServer) -> None:
    assert server.post(WIDGETS, widget("x")).status == 503
    assert server.ask("PUT", f"{WIDGETS}/w", widget("w", 2)).status == 503
    assert server.ask("DELETE", f"{WIDGETS}/w").status == 503


def test_other_types_are_served(server: RunningServer) -> None:
    assert server.get(GADGETS).status == 200
    assert server.get(f"/clusters/other{WIDGETS}").status == 404
    assert server.get("/apis/example.com/v1/namespaces/default/others").status == 404
    assert [each["name"] for each in server.get("/apis/example.com/v1").json["resources"]] == ["gadgets"]


def test_readiness_notes_the_definition_and_does_not_fail(server: RunningServer) -> None:
    assert server.get(WIDGETS).status == 503
    answer = server.get("/readyz?verbose")
    noted = f"[!]values noted: 1 value cannot be decrypted (customresourcedefinitions.apiextensions.k8s.io {NAME} of"
    assert (answer.status, noted in answer.body.decode()) == (200, True)
    server.process.composition.metrics._text_time = 0.0  # type: ignore[union-attr]
    assert "kcp_store_damaged_values 1.0" in server.get("/metrics").body.decode()


def test_a_namespace_is_not_removed_while_objects_may_be_left_in_it(
    root: Path, flags: dict[str, Any], before: bytes
) -> None:
    def failure(server: RunningServer) -> dict[str, str]:
        conditions = server.get("/api/v1/namespaces/going").json.get("status", {}).get("conditions", ())
        return next((each for each in conditions if each["type"] == FAILURE), {})

    with RunningServer(root, **flags) as server:
        assert server.ask("DELETE", "/api/v1/namespaces/going").status == 200
        wait_until(lambda: failure(server).get("status") == "True", "the namespace says what it waits for")
        assert failure(server)["reason"] == "DiscoveryFailed"
        assert NAME in failure(server)["message"]
    exchange_value(root / "data/kcp.db", NAME, before)
    with RunningServer(root, **flags) as server:
        wait_until(lambda: server.get("/api/v1/namespaces/going").status == 404, "the namespace is removed")
        assert server.get(f"{WIDGETS.replace('default', 'going')}/w").status == 404
        assert server.get(f"{WIDGETS}/w").status == 200


def test_a_definition_that_is_deleted_in_spite_of_it_takes_its_type_away(server: RunningServer) -> None:
    answer = server.ask("DELETE", f"{DEFINITIONS}/{NAME}?ignoreStoreReadErrorWithClusterBreakingPotential=true")
    assert answer.status == 200
    assert server.get(WIDGETS).status == 404
    assert "[+]values ok" in server.get("/readyz?verbose").body.decode()
