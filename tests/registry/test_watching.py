"""WATCH: the guarantees for clients."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from kcp.registry.representations.table_rows import TableRows
from kcp.registry.requests import ListOptions, Target
from tests.support.objects import config_map, widget
from tests.support.registry_client import RegistryClient, refused


async def test_every_change_once_and_in_order(client: RegistryClient) -> None:
    watch = await client.watch(client.config_maps)
    await client.create(client.config_maps, config_map("a"))
    await client.patch(client.config_maps, "a", {"data": {"a": "2"}})
    await client.delete(client.config_maps, "a")
    assert await watch.events(3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_watch_resumes_from_any_kept_version(client: RegistryClient) -> None:
    versions = []
    for number in range(20):
        made = await client.create(client.config_maps, config_map(f"c-{number:02}"))
        versions.append(made["metadata"]["resourceVersion"])
    watch = await client.watch(client.config_maps, resource_version=versions[4])
    await client.create(client.config_maps, config_map("last"))
    names = [name for _, name in await watch.events(16)]
    assert names == [*(f"c-{number:02}" for number in range(5, 20)), "last"]


async def test_compacted_and_future_versions_are_expired(client: RegistryClient) -> None:
    for name in "abc":
        await client.create(client.config_maps, config_map(name))
    await client.registry.store.compact(client.registry.store.revision)
    with refused(410, "Expired"):
        await client.watch(client.config_maps, resource_version="2")
    with refused(410, "Expired"):
        await client.watch(client.config_maps, resource_version="99999")


async def test_deleted_events_carry_the_last_state_and_a_new_version(client: RegistryClient) -> None:
    made = await client.create(client.config_maps, config_map("a"))
    watch = await client.watch(client.config_maps)
    await client.delete(client.config_maps, "a")
    kind, obj = await watch.event()
    assert kind == "DELETED"
    assert obj["data"] == {"a": "1"}
    assert int(obj["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


async def test_the_write_that_removes_the_last_finalizer_is_not_in_the_deleted_event(client: RegistryClient) -> None:
    made = config_map("a", metadata={"finalizers": ["example.com/hold"]})
    await client.create(client.config_maps, made)
    await client.delete(client.config_maps, "a")
    marked = await client.get(client.config_maps, "a")
    watch = await client.watch(client.config_maps)
    answer = await client.patch(client.config_maps, "a", {"metadata": {"finalizers": None}, "data": {"a": "last"}})
    assert answer["data"] == {"a": "last"}
    assert "finalizers" not in answer["metadata"]
    assert answer["metadata"]["resourceVersion"] == marked["metadata"]["resourceVersion"]
    kind, obj = await watch.event()
    assert kind == "DELETED"
    version = obj["metadata"].pop("resourceVersion")
    assert int(version) > int(marked["metadata"].pop("resourceVersion"))
    assert obj == marked


async def test_a_watch_with_bookmarks_marks_the_end_of_its_initial_events(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a"))
    for version in ("", "0"):
        watch = await client.watch(client.config_maps, resource_version=version, allow_bookmarks=True)
        assert (await watch.event())[0] == "ADDED"
        kind, obj = await watch.event()
        assert kind == "BOOKMARK"
        assert obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_selector_sees_objects_come_and_go(client: RegistryClient) -> None:
    watch = await client.watch(client.config_maps, labels="on=yes")
    await client.create(client.config_maps, config_map("a"))
    await client.patch(client.config_maps, "a", {"metadata": {"labels": {"on": "yes"}}})
    await client.patch(client.config_maps, "a", {"data": {"a": "2"}})
    await client.patch(client.config_maps, "a", {"metadata": {"labels": {"on": None}}})
    await client.delete(client.config_maps, "a")
    await client.create(client.config_maps, config_map("b", metadata={"labels": {"on": "yes"}}))
    assert await watch.events(4) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]


async def test_initial_events_end_with_the_annotated_bookmark(client: RegistryClient) -> None:
    for name in "abc":
        await client.create(client.config_maps, config_map(name))
    watch = await client.watch(
        client.config_maps,
        send_initial_events=True,
        resource_version="",
        resource_version_match="NotOlderThan",
        allow_bookmarks=True,
    )
    await client.create(client.config_maps, config_map("d"))
    assert await watch.events(3) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]
    kind, bookmark = await watch.event()
    assert kind == "BOOKMARK"
    assert bookmark["kind"] == "ConfigMap"
    assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert bookmark["metadata"].keys() == {"resourceVersion", "annotations"}
    assert await watch.events(1) == [("ADDED", "d")]


async def test_without_a_version_the_present_comes_first(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a"))
    watch = await client.watch(client.config_maps, resource_version="0")
    await client.create(client.config_maps, config_map("b"))
    assert await watch.events(2) == [("ADDED", "a"), ("ADDED", "b")]


async def test_a_watch_sees_its_namespace_and_cluster_only(client: RegistryClient) -> None:
    other = client.at("other")
    await client.create(client.type("namespaces"), {"metadata": {"name": "elsewhere"}})
    watch = await client.watch(client.config_maps, "default")
    await other.create(other.config_maps, config_map("x"))
    await client.create(client.config_maps, config_map("x"), "elsewhere")
    await client.create(client.config_maps, config_map("mine"))
    assert await watch.events(1) == [("ADDED", "mine")]


async def test_the_wildcard_watches_all_logical_clusters(client: RegistryClient) -> None:
    everywhere = client.at("*")
    watch = await everywhere.watch(everywhere.config_maps)
    for name in ("one", "two"):
        there = client.at(name)
        await there.create(there.config_maps, config_map("c"))
    seen = [(await watch.event())[1]["metadata"]["annotations"]["kcp.io/cluster"] for _ in range(2)]
    assert seen == ["one", "two"]


async def test_bookmarks_move_on_without_events(client: RegistryClient) -> None:
    watch = await client.watch(client.config_maps)
    await client.create(client.type("secrets"), {"metadata": {"name": "s"}})
    assert watch.stream.revision == client.registry.store.revision


async def test_many_watchers_see_the_same_in_the_same_order(client: RegistryClient) -> None:
    await client.define()
    watches = [await client.watch(client.widgets) for _ in range(50)]
    await asyncio.gather(*(client.create(client.widgets, widget(f"w-{number}")) for number in range(100)))
    seen = [await watch.events(100) for watch in watches]
    assert all(events == seen[0] for events in seen)
    assert len(set(seen[0])) == 100


async def test_options_must_fit_together(client: RegistryClient) -> None:
    with refused(422, "Invalid"):
        await client.watch(client.config_maps, send_initial_events=True)
    with refused(422, "Invalid"):
        await client.watch(client.config_maps, resource_version_match="NotOlderThan")


async def test_touching_a_virtual_namespace_is_a_modification(client: RegistryClient) -> None:
    namespaces = client.type("namespaces")
    watch = await client.watch(namespaces)
    await client.patch(namespaces, "default", {"metadata": {"labels": {"x": "y"}}})
    assert await watch.events(1) == [("MODIFIED", "default")]


async def test_a_watch_as_a_table_has_its_columns_in_the_first_event_only(client: RegistryClient) -> None:
    target = Target(client.config_maps, "default")
    now = str(client.registry.store.revision)
    streams = [
        await client.registry.watch(client.context(), target, ListOptions(resource_version=now), TableRows())
        for _ in range(2)
    ]
    for name in ("a", "b"):
        await client.create(client.config_maps, config_map(name))
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


async def test_the_columns_are_in_a_bookmark_that_comes_first(client: RegistryClient) -> None:
    options = ListOptions(send_initial_events=True, resource_version_match="NotOlderThan", allow_bookmarks=True)
    stream = await client.registry.watch(client.context(), Target(client.config_maps, "default"), options, TableRows())
    frames: list[bytes] = []
    while not frames:
        frames += await stream.next(5)
    (bookmark,) = map(orjson.loads, frames)
    assert bookmark["type"] == "BOOKMARK"
    assert [column["name"] for column in bookmark["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    stream.close()


async def test_the_end_of_the_initial_events_is_marked_for_clients_that_take_bookmarks(client: RegistryClient) -> None:
    options = ListOptions(send_initial_events=True, resource_version_match="NotOlderThan")
    stream = await client.registry.watch(client.context(), Target(client.config_maps, "default"), options, TableRows())
    while stream.pending:
        assert await stream.next(5) == []
    stream.close()
