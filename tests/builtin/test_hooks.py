"""The hooks of strategies change only the object that they get, not the values of its members, which others share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from kcp.api import metadata
from kcp.logical_clusters import DEFAULT
from kcp.registry.contexts import RequestContext
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.decoding import prune_and_default
from tests.builtin.conftest import ADMIN, Types

SPECS: dict[str, Any] = {
    "namespaces": {"spec": {"finalizers": ["example.com/kept"]}, "status": {"conditions": [{"type": "A"}]}},
    "resourcequotas": {"spec": {"hard": {"cpu": "1000m"}}, "status": {"hard": {"cpu": "1"}}},
    "certificatesigningrequests": {
        "spec": {"usages": ["client auth"], "username": "x"},
        "status": {"conditions": [{"type": "Approved", "status": "True"}]},
    },
    "customresourcedefinitions": {
        "spec": {
            "group": "example.com",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": True, "storage": True}],
            "conversion": {"webhook": {"clientConfig": {"service": {"name": "a"}}}},
        },
        "status": {"storedVersions": ["v0"]},
    },
    "apiservices": {"spec": {"group": "example.com", "version": "v1"}, "status": {"conditions": [{"type": "A"}]}},
}


def _objects(type_: ResourceType) -> tuple[dict[str, Any], dict[str, Any]]:
    """An object as a write takes it, and one that shares the values of its members."""
    obj: dict[str, Any] = {"apiVersion": type_.api_version, "kind": type_.kind, "metadata": {"name": "x"}}
    obj |= orjson.loads(orjson.dumps(SPECS.get(type_.plural, {})))
    prune_and_default(obj, type_)
    obj["metadata"]["creationTimestamp"] = metadata.now()
    return dict(obj, metadata=dict(obj["metadata"])), obj


def _hooks(type_: ResourceType) -> dict[str, Callable[[Any, Any], Any]]:
    """The hooks of a strategy, each as a function of the new object and the old one."""
    strategy, context = type_.strategy, RequestContext(ADMIN, DEFAULT)
    return {
        "create": lambda obj, _: strategy.prepare_for_create(obj, context),
        "update": lambda obj, old: strategy.prepare_for_update(obj, old, context),
        "status": strategy.prepare_for_status_update,
        "delete": lambda obj, _: strategy.prepare_for_delete(obj, context),
        **strategy.subresource_updates,
    }


@pytest.mark.parametrize("plural", SPECS)
def test_the_values_of_members_stay_as_they_are(types: Types, plural: str) -> None:
    (type_,) = [each for each in types.all if each.plural == plural]
    for name, hook in _hooks(type_).items():
        obj, shared = _objects(type_)
        old, _ = _objects(type_)
        before, old_before = orjson.dumps(shared), orjson.dumps(old)
        hook(obj, old)
        assert orjson.dumps(shared) == before, name
        assert orjson.dumps(old) == old_before, name


def test_the_finalizer_of_a_namespace_is_set_once_however_often_its_create_is_attempted(types: Types) -> None:
    namespaces = types("namespaces")
    for _ in range(2):
        obj, shared = _objects(namespaces)
        namespaces.strategy.prepare_for_create(obj, RequestContext(ADMIN, DEFAULT))
        assert obj["spec"]["finalizers"] == ["example.com/kept", "kubernetes"]
        assert shared["spec"]["finalizers"] == ["example.com/kept"]
