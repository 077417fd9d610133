"""Lists in which items may repeat, whatever their list type: a repetition hides no other error."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.registry.types.resource_types import ResourceType
from tests.support.objects import definition
from tests.support.registry_client import Object, RegistryClient, refused

FEW, MANY = 2, 300
"""Repetitions: the latter are more than the errors that are reported."""


def _map_list(**more: Any) -> Object:
    properties = {"name": {"type": "string"}, **more}
    items = {"type": "object", "required": ["name"], "properties": properties}
    return {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": items,
    }


def _object(properties: Object, **more: Any) -> Object:
    return {"type": "object", "properties": properties, **more}


async def _deployments(client: RegistryClient) -> ResourceType:
    """Deployments, with a rule of the definition."""
    template = _object({"spec": _object({"containers": _map_list(env=_map_list())})})
    rules = [{"rule": "self.replicas < 3"}]
    spec = _object({"replicas": {"type": "integer"}, "template": template}, **{"x-kubernetes-validations": rules})
    sent = definition("deployments", "Deployment", group="apps", schema=_object({"spec": spec}))
    sent["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved"}
    await client.create(client.definitions, sent, "")
    return client.type("deployments", "apps")


def _deployment(repetitions: int, *containers: str, replicas: int = 1) -> Object:
    env = [{"name": f"e{number}"} for number in range(repetitions)] * 2
    template = {"spec": {"containers": [{"name": name, "env": env} for name in containers]}}
    spec = {"replicas": replicas, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}


@pytest.mark.parametrize("repetitions", [FEW, MANY])
async def test_repeated_variables_hide_no_other_error(client: RegistryClient, repetitions: int) -> None:
    deployments = await _deployments(client)
    with refused(422, "Invalid") as problem:
        await client.create(deployments, _deployment(repetitions, "one", replicas=9))
    assert "failed rule: self.replicas < 3" in str(problem.value)
    with refused(422, "Invalid") as problem:
        await client.create(deployments, _deployment(repetitions, "one", "one"))
    assert str(problem.value).count("Duplicate value") == 1
    made = await client.create(deployments, _deployment(repetitions, "one"))
    made["spec"]["template"]["spec"]["containers"] *= 2
    with refused(422, "Invalid") as problem:
        await client.update(deployments, made)
    assert str(problem.value).count("Duplicate value") == 1


async def test_empty_values_of_a_secret_hide_no_other_error(client: RegistryClient) -> None:
    secrets = client.type("secrets", "")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}
    empty = {f"k{number:03}": "" for number in range(MANY)}
    with refused(400, "BadRequest") as problem:
        await client.create(secrets, {**secret, "data": {**empty, "z": 5}})
    assert "data.z" in str(problem.value)
    made = await client.create(secrets, {**secret, "data": empty})
    assert made["data"] == empty
