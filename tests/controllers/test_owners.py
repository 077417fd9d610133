"""Owners are found by the references of their dependents."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.controllers import owners
from kcp.controllers.owner_graph import owner_state
from kcp.controllers.owners import Owners
from kcp.store.contract import Key
from tests.support.objects import config_map
from tests.support.registry_client import Object, RegistryClient

SIZES = [10, 100_000]


def _references(owner: Object, uids: list[str]) -> list[dict[str, Any]]:
    return [{"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": uid} for uid in uids]


@pytest.mark.parametrize("size", SIZES)
async def test_a_reference_with_another_uid_has_no_owner(client: RegistryClient, size: int) -> None:
    owner = await client.create(client.config_maps, config_map("owner", a="b" * size))
    uid = owner["metadata"]["uid"]
    key = Key(client.config_maps.storage, client.cluster, "default", "child")
    found = await Owners(client.registry).classify(key, _references(owner, ["another", uid]))
    assert [reference["uid"] for reference in found.dangling] == ["another"]
    assert [reference["uid"] for reference in found.solid] == [uid]


@pytest.mark.parametrize("size", SIZES)
async def test_an_owner_is_decoded_once_for_all_references_to_it(
    client: RegistryClient, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []

    def noted(value: bytes) -> tuple[str, str]:
        decoded.append(len(value))
        return owner_state(value)

    monkeypatch.setattr(owners, "owner_state", noted)
    owner = await client.create(client.config_maps, config_map("owner", a="b" * size))
    key = Key(client.config_maps.storage, client.cluster, "default", "child")
    references = _references(owner, [f"uid-{number}" for number in range(100)])
    await Owners(client.registry).classify(key, references)
    assert len(decoded) == 1
