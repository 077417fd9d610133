"""Lists: in pages, at one resource version."""

from __future__ import annotations

from kcp.client import ResourceClient


async def fill(config_maps: ResourceClient, count: int) -> list[str]:
    names = [f"item-{number}" for number in range(count)]
    for name in names:
        await config_maps.create({"metadata": {"name": name, "labels": {"item": "yes"}}})
    return names


async def test_pages_are_one_snapshot(config_maps: ResourceClient) -> None:
    names = await fill(config_maps, 5)
    found, versions = [], set()
    async for page in config_maps.pages(limit=2, label_selector="item"):
        found += [item["metadata"]["name"] for item in page.items]
        versions.add(page.resource_version)
        await config_maps.patch("item-4", {"metadata": {"labels": {"item": None}}})
    assert found == names
    assert len(versions) == 1


async def test_items_have_a_kind(config_maps: ResourceClient) -> None:
    await fill(config_maps, 1)
    (item,) = (await config_maps.list_all(label_selector="item")).items
    assert (item["apiVersion"], item["kind"]) == ("v1", "ConfigMap")


async def test_metadata_only(config_maps: ResourceClient) -> None:
    await config_maps.create({"metadata": {"name": "a", "labels": {"item": "yes"}}, "data": {"x": "1"}})
    (item,) = (await config_maps.list_all(label_selector="item", metadata_only=True)).items
    assert item["metadata"]["name"] == "a"
    assert "data" not in item
