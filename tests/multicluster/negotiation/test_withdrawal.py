"""An API that is withdrawn loses no object that was created meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.client import APIResource, Client, InvalidError, NotFoundError, load_configuration
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.negotiation import writes
from kcp.multicluster.negotiation.withdrawal import closed, reopened
from kcp.testing import LogicalCluster
from tests.support.objects import definition, widget
from tests.support.waiting import eventually

WIDGETS = APIResource("example.com", "v1", "widgets", "Widget")
RULE = {"rule": "!has(self.spec) || self.spec != 'x'"}


def with_rules(*rules: dict[str, str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    return definition(
        "widgets", "Widget", schema={**schema, **({"x-kubernetes-validations": [*rules]} if rules else {})}
    )


@pytest.mark.parametrize("made", [with_rules(), with_rules(RULE)])
def test_a_closed_definition_is_as_before_when_it_is_reopened(made: dict[str, Any]) -> None:
    assert reopened(made) == made
    assert closed(made) != made
    assert reopened(closed(made)) == made


async def test_a_closed_definition_refuses_objects(kcp_cluster: LogicalCluster) -> None:
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        await client.resource(CUSTOM_RESOURCE_DEFINITIONS).create(closed(with_rules()))
        with pytest.raises(InvalidError, match="the API is being withdrawn"):
            await client.resource(WIDGETS, "default").create(widget("late"))


class CreatingClient(Client):
    """A client beside which somebody creates an object, after the first check for objects and before the next request."""

    looks = 0

    def resource(self, resource: APIResource, namespace: str | None = None) -> Any:
        verbs = super().resource(resource, namespace)
        if resource.plural != "widgets":
            return verbs
        listed = verbs.list

        async def list_(**options: Any) -> Any:
            found = await listed(**options)
            self.looks += 1
            if self.looks == 1:
                await super(CreatingClient, self).resource(WIDGETS, "default").create(widget("early"))
            return found

        verbs.list = list_  # type: ignore[method-assign]
        return verbs


async def test_an_object_that_is_created_during_the_withdrawal_keeps_the_api(kcp_cluster: LogicalCluster) -> None:
    async with CreatingClient(load_configuration(kcp_cluster.kubeconfig)) as client:
        definitions = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
        made = await definitions.create(with_rules())
        kept = await writes.withdraw_definition(client, made)
        assert client.looks == 2
        assert kept is not None
        assert kept["spec"] == made["spec"]
        await Client.resource(client, WIDGETS, "default").create(widget("later"))


@pytest.mark.parametrize("closed_before", [False, True])
async def test_a_definition_without_objects_is_deleted(kcp_cluster: LogicalCluster, closed_before: bool) -> None:
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        definitions = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
        made = await definitions.create(closed(with_rules()) if closed_before else with_rules())
        assert await writes.withdraw_definition(client, made) is None

        async def is_gone() -> bool:
            try:
                await definitions.get("widgets.example.com")
            except NotFoundError:
                return True
            return False

        await eventually(is_gone, "the definition is gone")


async def test_a_definition_that_was_left_closed_is_reopened_where_it_has_objects(kcp_cluster: LogicalCluster) -> None:
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        definitions = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
        made = await definitions.create(with_rules())
        await client.resource(WIDGETS, "default").create(widget("kept"))
        left = await definitions.replace(closed(made))
        kept = await writes.withdraw_definition(client, left)
        assert kept is not None
        assert kept["spec"] == made["spec"]
