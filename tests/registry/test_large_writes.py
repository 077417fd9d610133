"""Large writes wait for permits: what all of them have decoded has a bound, however many there are."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from kcp.api import errors
from kcp.registry.admission.chain import AdmissionRequest
from kcp.registry.requests import Target
from kcp.registry.verbs.large_writes import LargeWrites, Owner, Permit
from tests.registry.admission_cases import Probe, with_plugins
from tests.support.objects import config_map
from tests.support.registry_client import RegistryClient, refused
from tests.support.waiting import PATIENCE

LARGE = "x" * 700_000


async def begin(writes: LargeWrites, size: int, owner: Owner = Owner("one", "jane")) -> asyncio.Task[Permit | None]:  # noqa: B008 - immutable
    task = asyncio.create_task(writes.enter(size, owner))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


def end(*tasks: asyncio.Task[Permit | None]) -> None:
    for task in tasks:
        permit = task.result()
        assert permit is not None
        permit.end()


async def test_writes_wait_until_they_fit_in() -> None:
    writes = LargeWrites(100)
    first, second, third = [await begin(writes, size) for size in (60, 40, 1)]
    assert [each.done() for each in (first, second, third)] == [True, True, False]
    end(second)
    await third
    assert writes.bytes == 61
    end(first, third)
    assert writes.bytes == 0


async def test_permits_are_given_in_order() -> None:
    writes = LargeWrites(100)
    first, large, small = [await begin(writes, size) for size in (60, 90, 10)]
    assert [each.done() for each in (first, large, small)] == [True, False, False]
    end(first)
    await large
    await small
    end(large, small)
    assert writes.bytes == 0


async def test_the_next_permit_is_for_the_logical_cluster_and_user_that_hold_the_fewest_bytes() -> None:
    writes = LargeWrites(100)
    running = [await begin(writes, 50), await begin(writes, 40), await begin(writes, 10, Owner("two", "jane"))]
    again = await begin(writes, 5)
    another_user = await begin(writes, 5, Owner("one", "joe"))
    another_cluster = await begin(writes, 40, Owner("two", "joe"))
    newcomer = await begin(writes, 40, Owner("three", "jane"))
    end(running[1])
    await newcomer
    assert not another_cluster.done()  # it is the next one, and does not fit in yet
    end(running[0])
    await another_cluster
    await another_user
    await again
    end(running[2], again, another_user, another_cluster, newcomer)
    assert (writes.bytes, writes._held) == (0, {})


async def test_a_write_over_the_limit_is_alone() -> None:
    writes = LargeWrites(100)
    large, small = await begin(writes, 1_000), await begin(writes, 1)
    assert (large.done(), small.done()) == (True, False)
    end(large)
    await small
    end(small)


async def test_a_write_that_waits_no_longer_lets_the_next_one_begin() -> None:
    writes = LargeWrites(100)
    first, waiting, small = [await begin(writes, size) for size in (60, 90, 10)]
    waiting.cancel()
    await small
    end(first, small)
    assert writes.bytes == 0


async def test_a_permit_that_nobody_takes_is_over() -> None:
    writes = LargeWrites(100)
    first, waiting = await begin(writes, 60), await begin(writes, 90)
    end(first)
    waiting.cancel()  # it has its permit and does not know yet
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert writes.bytes == 0


async def test_a_write_may_be_alone() -> None:
    writes = LargeWrites(100)
    first = await begin(writes, 10)
    alone = asyncio.create_task(writes.alone())
    await asyncio.sleep(0)
    second = await begin(writes, 10)
    assert (alone.done(), second.done()) == (False, False)
    end(first)
    await alone
    assert not second.done()
    end(alone)
    await second
    end(second)


async def test_a_refusal_keeps_none_of_the_decoded_objects() -> None:
    class Decoded:
        """An object of the write."""

    async def write() -> None:
        local = Decoded()
        decoded.append(weakref.ref(local))
        try:
            raise ValueError
        except ValueError as error:
            raise errors.bad_request("no") from error

    decoded: list[weakref.ref[Decoded]] = []
    permit = await LargeWrites().enter(1)
    assert permit is not None
    with refused(400, "BadRequest"):
        await permit.around(write())
    gc.collect()
    assert decoded[0]() is None


class Bytes(Probe):
    """A plugin that records how much the large writes work on, and lets others run."""

    def watch(self, writes: LargeWrites) -> None:
        self.writes = writes
        self.seen: list[int] = []

    async def validate(self, request: AdmissionRequest) -> None:
        self.seen.append(self.writes.bytes)
        for _ in range(20):
            await asyncio.sleep(0)
        await super().validate(request)


async def test_small_patches_of_large_objects_take_permits(client: RegistryClient) -> None:
    names = [f"a{number}" for number in range(20)]
    for name in names:
        await client.create(client.config_maps, config_map(name, a=LARGE))
    probe = Bytes()
    patching = with_plugins(client, probe)
    writes = patching.registry.large_writes
    probe.watch(writes)
    changes: list[Any] = [patching.patch(client.config_maps, name, {"data": {"b": "c"}}) for name in names]
    await asyncio.gather(*changes)
    assert len(probe.seen) == len(names)
    assert all(len(LARGE) < size <= writes.limit for size in probe.seen)
    assert writes.bytes == 0


async def test_a_refused_write_ends_its_permit(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a", a=LARGE))
    with refused(422, "Invalid"):
        await client.patch(client.config_maps, "a", {"data": {"!": "c"}})
    assert client.registry.large_writes.bytes == 0


class Owned(Probe):
    """A plugin that reads the managed fields of new objects."""

    async def validate(self, request: AdmissionRequest) -> None:
        assert request.object is not None
        (entry,) = request.object["metadata"]["managedFields"]
        self.owned = len(entry["fieldsV1"]["f:data"])
        await super().validate(request)


async def test_a_large_object_has_the_managed_fields_of_a_small_one(client: RegistryClient) -> None:
    data = {f"k{number}": "v" for number in range(3_000)}
    small = await client.create(client.config_maps, {**config_map("small"), "data": data})
    large = await client.create(client.config_maps, {**config_map("large"), "data": data}, body_size=len(LARGE))
    (expected,), (found,) = small["metadata"]["managedFields"], large["metadata"]["managedFields"]
    assert {**found, "time": ""} == {**expected, "time": ""}
    assert found == (await client.get(client.config_maps, "large"))["metadata"]["managedFields"][0]


async def test_plugins_can_read_the_managed_fields_of_a_large_object(client: RegistryClient) -> None:
    probe = Owned()
    data = {f"k{number}": "v" for number in range(3_000)}
    await with_plugins(client, probe).create(
        client.config_maps, {**config_map("a"), "data": data}, body_size=len(LARGE)
    )
    assert probe.owned == len(data) + 1, "each key and the map itself"


class Copying(Probe):
    """A plugin that patches another large object before it admits one."""

    def copy_with(self, client: RegistryClient) -> None:
        self.client = client

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.target.name == "a":
            await self.client.patch(self.client.config_maps, "b", {"data": {"copied": "yes"}})


async def test_a_write_of_a_plugin_does_not_wait_for_the_write_that_waits_for_it(client: RegistryClient) -> None:
    for name in ("a", "b"):
        await client.create(client.config_maps, config_map(name, a=LARGE))
    plugin = Copying()
    patching = with_plugins(client, plugin)
    patching.registry.large_writes.limit = len(LARGE)
    plugin.copy_with(patching)
    async with asyncio.timeout(PATIENCE):
        await patching.patch(client.config_maps, "a", {"data": {"b": "c"}})
    assert (await client.get(client.config_maps, "b"))["data"]["copied"] == "yes"
    assert patching.registry.large_writes.bytes == 0


class Earlier(Probe):
    """A plugin that lets another client write the object before it admits the first attempt."""

    def write_with(self, client: RegistryClient) -> None:
        self.client = client

    async def validate(self, request: AdmissionRequest) -> None:
        await super().validate(request)
        if len(self.validated) == 1:
            await self.client.apply(self.client.config_maps, config_map("a", first="yes"), "first")


async def test_a_large_apply_that_meets_another_create_is_made_again(client: RegistryClient) -> None:
    probe = Earlier()
    probe.write_with(client)
    data = {f"k{number}": "v" for number in range(3_000)}
    applied = await with_plugins(client, probe).apply(
        client.config_maps, {**config_map("a"), "data": data}, "second", body_size=len(LARGE)
    )
    assert [seen.operation for seen in probe.validated] == ["CREATE", "UPDATE"]
    assert applied["data"] == {**data, "first": "yes"}
    owned = {entry["manager"]: entry["fieldsV1"]["f:data"] for entry in applied["metadata"]["managedFields"]}
    assert owned["first"] == {"f:first": {}}
    assert owned["second"].keys() == {f"f:{key}" for key in data}


async def test_a_large_update_that_meets_another_is_made_again(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a", a=LARGE))
    probe = Earlier()
    probe.write_with(client)
    patched = await with_plugins(client, probe).patch(client.config_maps, "a", {"data": {"b": "c"}})
    assert [seen.operation for seen in probe.validated] == ["UPDATE", "UPDATE"]
    assert patched["data"] == {"a": LARGE, "b": "c", "first": "yes"}


async def test_a_large_create_that_comes_second_is_refused(client: RegistryClient) -> None:
    probe = Earlier()
    probe.write_with(client)
    with refused(409, "AlreadyExists"):
        await with_plugins(client, probe).create(client.config_maps, config_map("a", a=LARGE), body_size=len(LARGE))
    assert (await client.get(client.config_maps, "a"))["data"] == {"first": "yes"}


async def test_the_outcome_of_a_large_write_has_the_object_as_it_is_stored(client: RegistryClient) -> None:
    context = client.context(body_size=len(LARGE))
    written = await client.registry.create(context, Target(client.config_maps, "default"), config_map("a", a=LARGE))
    assert written.object == await client.get(client.config_maps, "a")
