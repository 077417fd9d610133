"""Random faults and users, with everything recorded that both servers saw: a checker looks for wrong deletions and leftovers.

Both sides are logical clusters of one server, so their changes have one order: that of resource versions.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from kcp.client import Client, ClientError, NotFoundError, StatusError, WatchOptions
from kcp.client.objects import BOOKMARK, DELETED
from kcp.multicluster.placement import CLUSTER_LABEL, FIELD_MANAGER, cluster_of, locator_of
from kcp.multicluster.syncer import Syncer
from kcp.testing import Server
from tests.multicluster.syncer.definitions import Object
from tests.multicluster.syncer.test_outages import cut_worlds
from tests.multicluster.syncer.world import CLUSTER, CONFIG_MAPS, SETTINGS, World, assigned
from tests.support.network_cuts import NetworkCut
from tests.support.waiting import eventually

NAMES = [f"map-{number}" for number in range(6)]
ROUNDS, ACTIONS, DELETIONS = 4, 25, 3
"""The least number of rounds, the actions in one, and how many copies have to be deleted for a history to say something."""


class Recorded(NamedTuple):
    """An event of one side, in the order of both."""

    revision: int
    side: str
    type: str
    object: Object


async def record(client: Client, side: str, events: list[Recorded]) -> None:
    """Record what happens to ConfigMaps until cancelled."""
    options = WatchOptions(resource_version="", initial_events=True, seconds=600)
    async for event in client.resource(CONFIG_MAPS, "").watch(options):
        if event.type != BOOKMARK:
            revision = int(event.object["metadata"]["resourceVersion"])
            events.append(Recorded(revision, side, event.type, event.object))


def deletions(events: list[Recorded]) -> int:
    """How many objects were deleted in the cluster."""
    return sum(event.side == "down" and event.type == DELETED for event in events)


def is_wanted(event: Recorded) -> bool:
    gone = event.type == DELETED or event.object["metadata"].get("deletionTimestamp")
    return not gone and cluster_of(event.object) == CLUSTER


def problems_of(events: list[Recorded], by_users: set[str]) -> list[str]:
    """Return what is wrong with a history. ``by_users`` are the UIDs of what users deleted in the cluster."""
    found: list[str] = []
    wanted: dict[str, tuple[int, int]] = {}
    """Since when the source of a UID is wanted, and when it was unwanted last: 0 for not, by UID."""
    copies: dict[str, int] = {}
    """When a copy was made, by UID."""
    for event in sorted(events, key=lambda each: each.revision):
        uid, locator = event.object["metadata"]["uid"], locator_of(event.object)
        if event.side == "up":
            since, unwanted = wanted.get(uid, (0, 0))
            wanted[uid] = (since or event.revision, unwanted) if is_wanted(event) else (0, event.revision)
            continue
        if locator is None and event.object["metadata"]["name"] == "kube-root-ca.crt":
            continue  # it goes with its namespace, when nothing else is there
        if locator is None:
            managers = {each["manager"] for each in event.object["metadata"].get("managedFields", ())}
            if FIELD_MANAGER in managers or (event.type == DELETED and uid not in by_users):
                found.append(f"{event.object['metadata']['name']}, which is no copy, is {event.type}")
            continue
        copies.setdefault(uid, event.revision)
        since, unwanted = wanted.get(locator.uid, (0, 0))
        if event.type == DELETED and uid not in by_users and since and unwanted < copies[uid]:
            found.append(f"the copy of {locator.name} was deleted at {event.revision}, which was wanted since {since}")
    return found


class Chaos:
    """Users and faults, at random but the same for a seed."""

    def __init__(self, seed: int, world: World, clients: tuple[Client, Client], networks: list[NetworkCut]) -> None:
        self.random = random.Random(seed)
        self.world = world
        self.by_users: set[str] = set()
        self._clients = clients
        self._networks = networks
        self._up = world.up.client.resource(CONFIG_MAPS, "shop")
        self._down = world.down.client.resource(CONFIG_MAPS, world.there)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start a syncer, or kill it and start another one."""
        await self.stop()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Run a syncer, again when it cannot start, as its process does."""
        while True:
            with suppress(ClientError, StatusError):
                await Syncer(*self._clients, CLUSTER, self.world.identity.cluster_uid, SETTINGS).run()
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def act(self) -> None:
        """Let one thing happen."""
        name = self.random.choice(NAMES)
        color = {"data": {"color": str(self.random.random())}}
        label = self.random.choice([None, CLUSTER, CLUSTER, "west"])
        actions = [
            lambda: self._up.create(assigned(name, data=color["data"])),
            lambda: self._up.create(assigned(name, data=color["data"])),
            lambda: self._up.patch(name, color),
            lambda: self._up.patch(name, {"metadata": {"labels": {CLUSTER_LABEL: label}}}),
            lambda: self._up.delete(name),
            lambda: self._down.patch(name, color) if label else self._remove(name),
            lambda: self._down.create({"metadata": {"name": name}}),
            self._fault,
        ]
        with suppress(StatusError):
            await self.random.choice(actions)()
        await asyncio.sleep(self.random.choice([0, 0, 0.01, 0.05]))

    async def _remove(self, name: str) -> None:
        """Delete an object in the cluster, whatever it is."""
        found = await self._down.get(name)
        self.by_users.add(found["metadata"]["uid"])
        await self._down.delete(name, uid=found["metadata"]["uid"])

    async def _fault(self) -> None:
        network = self.random.choice(self._networks)
        fault = self.random.choice(["cut", "silent", "heal", "heal", "kill"])
        if fault == "kill":
            await self.start()
        elif fault == "heal":
            network.heal()
        else:
            network.cut(silent=fault == "silent")

    async def settle(self) -> None:
        """Heal everything, remove what is local, and wait until both sides agree."""
        for network in self._networks:
            network.heal()
        try:
            await eventually(self._agree, "both sides agree")
        except AssertionError as error:
            sides = [(await each.list_all()).items for each in (self._up, self._down)]
            raise AssertionError(f"{error}: upstream {sides[0]}, downstream {sides[1]}") from None

    async def _agree(self) -> bool:
        for found in (await self._down.list_all()).items:
            if locator_of(found) is None and found["metadata"]["name"] in NAMES:
                with suppress(NotFoundError):
                    await self._remove(found["metadata"]["name"])
        sources = (await self._up.list_all(label_selector={CLUSTER_LABEL: CLUSTER})).items
        wanted = {each["metadata"]["name"]: each.get("data") for each in sources}
        deleting = any(each["metadata"].get("deletionTimestamp") for each in sources)
        copies = {each["metadata"]["name"]: each.get("data") for each in await self.world.copies(CONFIG_MAPS)}
        released = all(
            cluster_of(each) == CLUSTER or not each["metadata"].get("finalizers")
            for each in (await self._up.list_all()).items
        )
        return not deleting and released and wanted == copies


def _is_complete(events: list[Recorded], revision: int) -> bool:
    return {each.side for each in events if each.revision > revision} == {"up", "down"}


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_fault_makes_the_syncer_delete_wrongly_or_leave_something(
    kcp_server: Server, tmp_path: Path, seed: int
) -> None:
    events: list[Recorded] = []
    async with cut_worlds(kcp_server, tmp_path) as (world, up, down, networks):
        recorders = [
            asyncio.create_task(record(side.client, name, events))
            for side, name in ((world.up, "up"), (world.down, "down"))
        ]
        chaos = Chaos(seed, world, (up, down), networks)
        try:
            await chaos.start()
            rounds = 0
            while (
                rounds < ROUNDS or deletions(events) <= DELETIONS
            ):  # on a slow machine copies are made after the deletes
                for _ in range(ACTIONS):
                    await chaos.act()
                await chaos.settle()
                rounds += 1
            listed = [await side.client.resource(CONFIG_MAPS, "").list(limit=1) for side in (world.up, world.down)]
            revision = max(int(each.resource_version) for each in listed)
            for side in (world.up, world.down):
                await side.client.resource(CONFIG_MAPS, "default").create({"metadata": {"name": "last"}})
            await eventually(lambda: _is_complete(events, revision), "everything is recorded")
        finally:
            await chaos.stop()
            for task in recorders:
                task.cancel()
            await asyncio.gather(*recorders, return_exceptions=True)
        assert problems_of(events, chaos.by_users) == []


def test_the_checker_finds_a_wrong_deletion() -> None:
    source = {"metadata": {"uid": "u", "labels": {CLUSTER_LABEL: CLUSTER}}}
    locator = (
        '{"logicalCluster":"","logicalClusterUID":"","cluster":"","clusterUID":"","namespace":"","name":"a","uid":"u"}'
    )
    copy = {"metadata": {"uid": "d", "annotations": {"workload.kcp.io/locator": locator}}}
    made, placed = Recorded(1, "up", "ADDED", source), Recorded(2, "down", "ADDED", copy)
    gone = Recorded(4, "down", DELETED, copy)
    assert problems_of([made, placed, gone], set())
    assert not problems_of([made, placed, gone], {"d"})
    assert not problems_of([made, placed, Recorded(3, "up", DELETED, source), gone], set())
    local = {"metadata": {"uid": "l", "name": "local"}}
    written = {"metadata": {**local["metadata"], "managedFields": [{"manager": FIELD_MANAGER}]}}
    assert problems_of([Recorded(1, "down", "ADDED", local), Recorded(2, "down", "MODIFIED", written)], set())
    assert problems_of([Recorded(1, "down", "ADDED", local), Recorded(2, "down", DELETED, local)], set())
