"""Informers: a cache that is what the server has, with indexes and handlers, shared."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kcp.client import Change, Client, Informer, Informers, ObjectKey, ResourceClient
from kcp.client.reflectors import FollowOptions
from kcp.client.resource_client import EventBatch
from kcp.client.watching import WatchOptions
from kcp.logical_clusters import UNNAMED
from tests.client.resources import CONFIG_MAPS
from tests.support.waiting import eventually


def names(informer: Informer) -> set[str]:
    return {object_.key.name for object_ in informer.cache if object_.key.name != "kube-root-ca.crt"}


@asynccontextmanager
async def following(config_maps: ResourceClient, **options: object) -> AsyncIterator[Informer]:
    informer = Informer(config_maps, "", options=FollowOptions(page_size=2, first_delay=0.01, **options))  # type: ignore[arg-type]
    informer.start()
    try:
        await informer.synchronized()
        yield informer
    finally:
        await informer.stop()


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "list and watch"])
async def test_a_cache_has_what_is_present_and_follows_every_change(
    config_maps: ResourceClient, streaming: bool
) -> None:
    for number in range(5):
        await config_maps.create({"metadata": {"name": f"item-{number}"}})
    async with following(config_maps, streaming=streaming) as informer:
        assert names(informer) == {f"item-{number}" for number in range(5)}
        await config_maps.create({"metadata": {"name": "new"}, "data": {"x": "1"}})
        await config_maps.delete("item-0")
        await config_maps.patch("item-1", {"data": {"x": "2"}})
        await eventually(
            lambda: names(informer) == {"item-1", "item-2", "item-3", "item-4", "new"}, "the cache follows additions"
        )
        key = ObjectKey(UNNAMED, config_maps.namespace, "item-1")

        def data() -> object:
            found = informer.cache.get(key)
            return found is not None and found.decode().get("data")

        await eventually(lambda: data() == {"x": "2"}, "the cache follows changes")
        cached = informer.cache.get(key)
        assert cached is not None
        assert cached.decode() == await config_maps.get("item-1")


async def test_a_watch_that_the_server_ends_goes_on_at_the_version_where_it_was(
    config_maps: ResourceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    opened: list[WatchOptions] = []
    watch_batches = config_maps.watch_batches

    def noted(options: WatchOptions) -> AsyncGenerator[EventBatch, None]:
        opened.append(options)
        return watch_batches(options)

    monkeypatch.setattr(config_maps, "watch_batches", noted)
    async with following(config_maps, watch_seconds=1) as informer:
        informer.add_handler(lambda change: seen.append(change.key.name) if change.new else None)
        for number in range(3):
            await config_maps.create({"metadata": {"name": f"item-{number}"}})
            await another(opened)
        await eventually(lambda: len(names(informer)) == 3, "the cache has all")
    assert [name for name in seen if name.startswith("item")] == [f"item-{number}" for number in range(3)]
    assert [options.initial_events for options in opened] == [True, *[False] * (len(opened) - 1)]


async def another(opened: list[WatchOptions]) -> None:
    count = len(opened)
    await eventually(lambda: len(opened) > count, "the server has ended a watch, and the informer has opened another")


async def test_an_object_that_leaves_the_selection_is_gone(config_maps: ResourceClient) -> None:
    await config_maps.create({"metadata": {"name": "a", "labels": {"color": "red"}}})
    async with following(config_maps, label_selector={"color": "red"}) as informer:
        (found,) = informer.cache
        assert found.labels == {"color": "red"}
        await config_maps.patch("a", {"metadata": {"labels": {"color": "blue"}}})
        await eventually(lambda: not len(informer.cache), "the object has left")


async def test_metadata_only(config_maps: ResourceClient) -> None:
    await config_maps.create({"metadata": {"name": "a"}, "data": {"x": "1"}})
    async with following(config_maps, metadata_only=True) as informer:
        (found,) = (each for each in informer.cache if each.key.name == "a")
        assert "data" not in found.decode()


async def test_controllers_share_an_informer_and_each_hears_of_everything(
    client: Client, config_maps: ResourceClient
) -> None:
    await config_maps.create({"metadata": {"name": "a", "labels": {"color": "red"}}})
    informers = Informers(client)
    indexes = {"color": lambda object_: [object_["metadata"].get("labels", {}).get("color", "")]}
    first = informers.informer(CONFIG_MAPS, config_maps.namespace, indexes=indexes)
    heard: list[Change] = []
    async with informers:
        await informers.synchronized()
        assert informers.informer(CONFIG_MAPS, config_maps.namespace) is first
        first.add_handler(heard.append)
        assert [(change.key.name, change.old) for change in heard if change.key.name == "a"] == [("a", None)]
        assert [each.key.name for each in first.cache.by_index("color", "red")] == ["a"]
        await config_maps.patch("a", {"metadata": {"labels": {"color": "blue"}}})
        await eventually(lambda: first.cache.by_index("color", "blue"), "the index follows")
        assert first.cache.by_index("color", "red") == []
        with pytest.raises(ValueError, match="was made without the index size"):
            informers.informer(CONFIG_MAPS, config_maps.namespace, indexes={"size": lambda _: []})
        await config_maps.delete("a")
        await eventually(lambda: not first.cache.by_index("color", "blue"), "the index follows deletions")
    change = next(each for each in reversed(heard) if each.key.name == "a")
    assert change.new is None
    assert change.old is not None
    assert change.old.labels == {"color": "blue"}
