"""Whatever happens in whatever order, negotiation ends in a state that its rules would not change."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from random import Random

import pytest

from kcp.client import AlreadyExistsError, Client, ConflictError, NotFoundError, load_configuration
from kcp.multicluster.negotiation import NegotiationController
from kcp.multicluster.negotiation.api import UpdateStrategy, import_name
from kcp.multicluster.negotiation.comparisons import Comparisons
from kcp.multicluster.negotiation.decisions import decide, decide_definition
from kcp.multicluster.negotiation.installing import install
from kcp.multicluster.negotiation.publishing import serving
from kcp.multicluster.negotiation.records import State, import_of, negotiated_of
from kcp.multicluster.negotiation.specs import CommonSpec
from kcp.testing import LogicalCluster
from tests.multicluster.negotiation.apis import fields
from tests.multicluster.negotiation.control_plane import ControlPlane, condition
from tests.support.waiting import eventually

DEFINITION = "widgets.example.com"
LOCATIONS = ("east", "west", "north", "south")
VERSIONS = ("v1", "v1beta1")
FIELDS = ("a", "b", "c")
OPERATIONS = 40


class Users:
    """Somebody who does anything that users and clusters may do."""

    def __init__(self, plane: ControlPlane, random: Random) -> None:
        self.plane = plane
        self.random = random

    async def act(self) -> None:
        """Do one thing. It may be impossible at the moment."""
        act = self.random.choice(
            [
                self.offer,
                self.offer,
                self.offer,
                self.withdraw,
                self.set_strategy,
                self.publish,
                self.delete,
                self.enforce,
            ]
        )
        with contextlib.suppress(NotFoundError, AlreadyExistsError, ConflictError):
            await act()

    def _import(self) -> tuple[str, str, str]:
        location, version = self.random.choice(LOCATIONS), self.random.choice(VERSIONS)
        return import_name("widgets", location, version, "example.com"), location, version

    async def offer(self) -> None:
        name, location, version = self._import()
        names = self.random.sample(FIELDS, self.random.randint(1, len(FIELDS)))
        strategy = str(self.random.choice(list(UpdateStrategy)))
        spec = {**fields(*sorted(names), version=version), "location": location, "schemaUpdateStrategy": strategy}
        await self.plane.imports.apply({"metadata": {"name": name}, "spec": spec}, field_manager="test", force=True)

    async def withdraw(self) -> None:
        await self.plane.imports.delete(self._import()[0])

    async def set_strategy(self) -> None:
        await self.plane.set_strategy(self._import()[0], str(self.random.choice(list(UpdateStrategy))))

    async def publish(self) -> None:
        name = f"widgets.{self.random.choice(VERSIONS)}.example.com"
        await self.plane.publish(name, publish=self.random.random() < 0.7)

    async def delete(self) -> None:
        await self.plane.negotiated.delete(f"widgets.{self.random.choice(VERSIONS)}.example.com")

    async def enforce(self) -> None:
        """Apply a definition, or delete the present one."""
        if self.random.random() < 0.5:
            await self.plane.definitions.delete(DEFINITION)
            return
        schema = fields(*self.random.sample(FIELDS, 2))["openAPIV3Schema"]
        names = {"plural": "widgets", "kind": "Widget"}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
        await self.plane.definitions.create({"metadata": {"name": DEFINITION}, "spec": spec})


async def unsettled(plane: ControlPlane) -> list[str]:
    """Return what the rules would change; nothing when negotiation has ended."""
    definition = await plane.get(plane.definitions, DEFINITION)
    imports = [import_of(each, CommonSpec(each["spec"])) for each in (await plane.imports.list_all()).items]
    negotiated = [negotiated_of(each, CommonSpec(each["spec"])) for each in (await plane.negotiated.list_all()).items]
    if any(each.deleting for each in negotiated) or (definition and definition["metadata"].get("deletionTimestamp")):
        return ["something is being deleted"]
    offered = defaultdict(list)
    for each in sorted(imports, key=lambda each: (each.created, each.name)):
        offered[each.version].append(each)
    known = {each.version: each for each in negotiated}
    states = {version: State(tuple(offered[version]), known.get(version)) for version in {*offered, *known}}
    decisions = decide(states, definition, Comparisons(), auto_publish=False)
    found = []
    for version, decision in decisions.items():
        present = known.get(version)
        if (present.spec if present else None) != decision.spec or (present and present.publish != decision.publish):
            found.append(f"{version}: {present} is to be {decision.spec}")
        for each in offered[version]:
            compatible = each.name not in decision.rejected
            available = compatible and serving(definition, version).served
            for kind, status in (("Compatible", compatible), ("Available", available)):
                held = next((one for one in each.conditions if one["type"] == kind), {})
                if held.get("status") != str(status) or held.get("observedGeneration") != each.generation:
                    found.append(f"{each.name}: {kind} is to be {status}: {held}")
    change = decide_definition(definition, known)
    if change.wanted is not None or change.withdraw:
        found.append("the definition is to be changed")
    for stored in (await plane.negotiated.list_all()).items:
        served = serving(definition, stored["spec"]["groupVersion"]["version"]).served
        if condition(stored, "Published").get("status") != str(served):
            found.append(f"{stored['metadata']['name']}: Published is to be {served}")
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_negotiation_ends_where_its_rules_change_nothing(kcp_cluster: LogicalCluster, seed: int) -> None:
    random = Random(seed)
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        await install(client)
        plane = ControlPlane(client)
        users = Users(plane, random)
        for _ in range(3):
            # two controllers at a time, as when a leader has lost its lease without knowing
            controllers = [NegotiationController(client, recheck=0.2) for _ in range(random.randint(1, 2))]
            async with controllers[0].running():
                if len(controllers) > 1:
                    async with controllers[1].running():
                        await several(users, random)
                else:
                    await several(users, random)
        async with NegotiationController(client, recheck=0.2).running():
            last: list[str] = []

            async def is_settled() -> bool:
                last[:] = await unsettled(plane)
                return not last

            try:
                await eventually(is_settled, "negotiation has ended")
            except AssertionError as error:
                raise AssertionError(f"{error}: {last}") from None


async def several(users: Users, random: Random) -> None:
    """Act several times, at once and one after the other."""
    for _ in range(OPERATIONS // 3):
        await asyncio.gather(*(users.act() for _ in range(random.randint(1, 3))))
