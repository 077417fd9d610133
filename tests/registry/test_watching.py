"""WATCH: what clients may rely on."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from kcp.registry.representations.table_rows import TableRows
from kcp.registry.requests import ListOptions, Target
from tests.registry.world import World, config_map, refused, scenario, widget


@scenario
async def test_every_change_once_and_in_order(world: World) -> None:
    watch = await world.watch(world.config_maps)
    await world.create(world.config_maps, config_map("a"))
    await world.patch(world.config_maps, "a", {"data": {"a": "2"}})
    await world.delete(world.config_maps, "a")
    assert await watch.events(3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


@scenario
async def test_a_watch_resumes_from_any_kept_version(world: World) -> None:
    versions = []
    for number in range(20):
        made = await world.create(world.config_maps, config_map(f"c-{number:02}"))
        versions.append(made["metadata"]["resourceVersion"])
    watch = await world.watch(world.config_maps, resource_version=versions[4])
    await world.create(world.config_maps, config_map("last"))
    names = [name for _, name in await watch.events(16)]
    assert names == [*(f"c-{number:02}" for number in range(5, 20)), "last"]


@scenario
async def test_compacted_and_future_versions_are_expired(world: World) -> None:
    for name in "abc":
        await world.create(world.config_maps, config_map(name))
    await world.registry.store.compact(world.registry.store.revision)
    with refused(410, "Expired"):
        await world.watch(world.config_maps, resource_version="2")
    with refused(410, "Expired"):
        await world.watch(world.config_maps, resource_version="99999")


@scenario
async def test_deleted_events_carry_the_last_state_and_a_new_version(world: World) -> None:
    made = await world.create(world.config_maps, config_map("a"))
    watch = await world.watch(world.config_maps)
    await world.delete(world.config_maps, "a")
    kind, obj = await watch.event()
    assert kind == "DELETED"
    assert obj["data"] == {"a": "1"}
    assert int(obj["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


@scenario
async def test_a_selector_sees_objects_come_and_go(world: World) -> None:
    watch = await world.watch(world.config_maps, labels="on=yes")
    await world.create(world.config_maps, config_map("a"))
    await world.patch(world.config_maps, "a", {"metadata": {"labels": {"on": "yes"}}})
    await world.patch(world.config_maps, "a", {"data": {"a": "2"}})
    await world.patch(world.config_maps, "a", {"metadata": {"labels": {"on": None}}})
    await world.delete(world.config_maps, "a")
    await world.create(world.config_maps, config_map("b", labels={"on": "yes"}))
    assert await watch.events(4) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]


@scenario
async def test_initial_events_end_with_the_annotated_bookmark(world: World) -> None:
    for name in "abc":
        await world.create(world.config_maps, config_map(name))
    watch = await world.watch(
        world.config_maps,
        send_initial_events=True,
        resource_version="",
        resource_version_match="NotOlderThan",
        allow_bookmarks=True,
    )
    await world.create(world.config_maps, config_map("d"))
    assert await watch.events(3) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]
    kind, bookmark = await watch.event()
    assert kind == "BOOKMARK"
    assert bookmark["kind"] == "ConfigMap"
    assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert bookmark["metadata"]["resourceVersion"]
    assert await watch.events(1) == [("ADDED", "d")]


@scenario
async def test_without_a_version_the_present_comes_first(world: World) -> None:
    await world.create(world.config_maps, config_map("a"))
    watch = await world.watch(world.config_maps, resource_version="0")
    await world.create(world.config_maps, config_map("b"))
    assert await watch.events(2) == [("ADDED", "a"), ("ADDED", "b")]


@scenario
async def test_a_watch_sees_its_namespace_and_cluster_only(world: World) -> None:
    other = world.at("other")
    await world.create(world.type("namespaces"), {"metadata": {"name": "elsewhere"}})
    watch = await world.watch(world.config_maps, "default")
    await other.create(other.config_maps, config_map("x"))
    await world.create(world.config_maps, config_map("x"), "elsewhere")
    await world.create(world.config_maps, config_map("mine"))
    assert await watch.events(1) == [("ADDED", "mine")]


@scenario
async def test_the_wildcard_watches_all_logical_clusters(world: World) -> None:
    everywhere = world.at("*")
    watch = await everywhere.watch(everywhere.config_maps)
    for name in ("one", "two"):
        there = world.at(name)
        await there.create(there.config_maps, config_map("c"))
    seen = [(await watch.event())[1]["metadata"]["annotations"]["kcp.io/cluster"] for _ in range(2)]
    assert seen == ["one", "two"]


@scenario
async def test_bookmarks_move_on_without_events(world: World) -> None:
    watch = await world.watch(world.config_maps)
    await world.create(world.type("secrets"), {"metadata": {"name": "s"}})
    assert watch.stream.revision == world.registry.store.revision


@scenario
async def test_many_watchers_see_the_same_in_the_same_order(world: World) -> None:
    await world.define()
    watches = [await world.watch(world.widgets) for _ in range(50)]
    await asyncio.gather(*(world.create(world.widgets, widget(f"w-{number}")) for number in range(100)))
    seen = [await watch.events(100) for watch in watches]
    assert all(events == seen[0] for events in seen)
    assert len(set(seen[0])) == 100


@scenario
async def test_options_must_fit_together(world: World) -> None:
    with refused(422, "Invalid"):
        await world.watch(world.config_maps, send_initial_events=True)
    with refused(422, "Invalid"):
        await world.watch(world.config_maps, resource_version_match="NotOlderThan")


@scenario
async def test_touching_a_virtual_namespace_is_a_modification(world: World) -> None:
    namespaces = world.type("namespaces")
    watch = await world.watch(namespaces)
    await world.patch(namespaces, "default", {"metadata": {"labels": {"x": "y"}}})
    assert await watch.events(1) == [("MODIFIED", "default")]


@scenario
async def test_a_watch_as_a_table_has_its_columns_in_the_first_event_only(world: World) -> None:
    target = Target(world.config_maps, "default")
    now = str(world.registry.store.revision)
    streams = [
        await world.registry.watch(world.context(), target, ListOptions(resource_version=now), TableRows())
        for _ in range(2)
    ]
    for name in ("a", "b"):
        await world.create(world.config_maps, config_map(name))
    for stream in streams:
        frames: list[Any] = []
        while len(frames) < 2:
            frames += [orjson.loads(frame) for frame in await stream.next(5)]
        first, second = (frame["object"] for frame in frames)
        assert [column["name"] for column in first["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert second["columnDefinitions"] is None
        assert [table["rows"][0]["cells"][0] for table in (first, second)] == ["a", "b"]
        assert orjson.loads(stream.bookmark())["object"]["columnDefinitions"] is None
        stream.close()


@scenario
async def test_the_columns_are_in_a_bookmark_that_comes_first(world: World) -> None:
    options = ListOptions(send_initial_events=True, resource_version_match="NotOlderThan", allow_bookmarks=True)
    stream = await world.registry.watch(world.context(), Target(world.config_maps, "default"), options, TableRows())
    frames: list[bytes] = []
    while not frames:
        frames += await stream.next(5)
    (bookmark,) = map(orjson.loads, frames)
    assert bookmark["type"] == "BOOKMARK"
    assert [column["name"] for column in bookmark["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    stream.close()


@scenario
async def test_the_end_of_the_initial_events_is_marked_for_clients_that_take_bookmarks(world: World) -> None:
    options = ListOptions(send_initial_events=True, resource_version_match="NotOlderThan")
    stream = await world.registry.watch(world.context(), Target(world.config_maps, "default"), options, TableRows())
    while stream.pending:
        assert await stream.next(5) == []
    stream.close()
