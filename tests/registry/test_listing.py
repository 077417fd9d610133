"""LIST: pages, selectors, past states, logical clusters."""

from __future__ import annotations

from tests.registry.world import World, config_map, refused, scenario, widget


async def five(world: World) -> None:
    for name in "edcba":
        await world.create(world.config_maps, config_map(name, labels={"letter": name}))


@scenario
async def test_objects_come_in_name_order_with_the_revision(world: World) -> None:
    await five(world)
    listed = await world.list(world.config_maps)
    assert [item["metadata"]["name"] for item in listed["items"]] == list("abcde")
    assert listed["kind"] == "ConfigMapList"
    assert listed["metadata"]["resourceVersion"] == str(world.registry.store.revision)


@scenario
async def test_pages_show_one_state(world: World) -> None:
    await five(world)
    first = await world.list(world.config_maps, limit=2)
    assert first["metadata"]["remainingItemCount"] == 3
    await world.delete(world.config_maps, "c")
    await world.create(world.config_maps, config_map("bb"))
    await world.patch(world.config_maps, "d", {"data": {"a": "changed"}})
    seen, token = [item["metadata"]["name"] for item in first["items"]], first["metadata"]["continue"]
    values = {}
    while token:
        page = await world.list(world.config_maps, limit=2, continue_token=token)
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        for item in page["items"]:
            seen.append(item["metadata"]["name"])
            values[item["metadata"]["name"]] = item["data"]["a"]
        token = page["metadata"].get("continue")
    assert seen == list("abcde")
    assert values["d"] == "1"
    assert await world.names(world.config_maps) == ["a", "b", "bb", "d", "e"]


@scenario
async def test_a_compacted_token_is_expired_and_a_fresh_one_goes_on(world: World) -> None:
    await five(world)
    first = await world.list(world.config_maps, limit=2)
    await world.delete(world.config_maps, "c")
    await world.registry.store.compact(world.registry.store.revision)
    with refused(410, "Expired") as caught:
        await world.list(world.config_maps, continue_token=first["metadata"]["continue"])
    fresh = caught.value.status()["metadata"]["continue"]
    rest = await world.list(world.config_maps, continue_token=fresh)
    assert [item["metadata"]["name"] for item in rest["items"]] == ["d", "e"]


@scenario
async def test_bad_tokens_and_versions_are_refused(world: World) -> None:
    for token in ("x", "e30", "bm8gdG9rZW4"):
        with refused(400, "BadRequest"):
            await world.list(world.config_maps, continue_token=token)
    with refused(400, "BadRequest"):
        await world.list(world.config_maps, resource_version="abc")
    with refused(504, "Timeout"):
        await world.list(world.config_maps, resource_version="999999")
    with refused(422, "Invalid"):
        await world.list(world.config_maps, resource_version_match="Exact")
    with refused(422, "Invalid"):
        await world.list(world.config_maps, resource_version="1", resource_version_match="Sometimes")


@scenario
async def test_an_exact_version_shows_the_past(world: World) -> None:
    await five(world)
    then = str(world.registry.store.revision)
    await world.delete(world.config_maps, "a")
    exact = await world.names(world.config_maps, resource_version=then, resource_version_match="Exact")
    assert exact == list("abcde")
    newer = await world.names(world.config_maps, resource_version=then, resource_version_match="NotOlderThan")
    assert newer == list("bcde")


@scenario
async def test_selectors(world: World) -> None:
    await five(world)
    assert await world.names(world.config_maps, labels="letter in (a,b),letter!=b") == ["a"]
    assert await world.names(world.config_maps, labels="!letter") == []
    assert await world.names(world.config_maps, fields="metadata.name=c") == ["c"]
    assert await world.names(world.config_maps, fields="metadata.name!=c") == list("abde")
    assert await world.names(world.config_maps, labels="letter notin (a)", limit=2) == ["b", "c"]
    with refused(400, "BadRequest") as caught:
        await world.list(world.config_maps, fields="data.a=1")
    assert "field label not supported: data.a" in caught.value.message


@scenario
async def test_selectable_fields_of_a_definition(world: World) -> None:
    await world.define()
    for name, color in (("a", "red"), ("b", "blue")):
        obj = widget(name)
        obj["spec"]["color"] = color
        await world.create(world.widgets, obj)
    assert await world.names(world.widgets, fields="spec.color=blue") == ["b"]


@scenario
async def test_namespaces_are_there_before_anything_is_written(world: World) -> None:
    namespaces = world.type("namespaces")
    fresh = world.at("fresh")
    before = world.registry.store.revision
    assert await fresh.names(namespaces) == ["default", "kube-public", "kube-system"]
    first = await fresh.list(namespaces, limit=1)
    assert [item["metadata"]["name"] for item in first["items"]] == ["default"]
    again = await fresh.get(namespaces, "default", "")
    assert again == await fresh.get(namespaces, "default", "")
    assert again["metadata"]["uid"] != (await world.get(namespaces, "default", ""))["metadata"]["uid"]
    assert world.registry.store.revision == before
    changed = await fresh.patch(namespaces, "default", {"metadata": {"labels": {"x": "y"}}})
    assert changed["metadata"]["uid"] == again["metadata"]["uid"]
    assert await fresh.names(namespaces) == ["default", "kube-public", "kube-system"]
    assert await fresh.names(namespaces, labels="x=y") == ["default"]


@scenario
async def test_logical_clusters_are_apart_and_the_wildcard_sees_all(world: World) -> None:
    one, two = world.at("one"), world.at("two")
    await one.define()
    await one.create(one.widgets, widget("w"))
    await two.create(two.config_maps, config_map("c", annotations={"a": "b"}))
    await one.create(one.config_maps, config_map("c"))
    assert two.registry.find_type("two", "example.com", "v1", "widgets") is None
    everywhere = world.at("*")
    listed = await everywhere.list(everywhere.config_maps)
    assert [item["metadata"]["annotations"]["kcp.io/cluster"] for item in listed["items"]] == ["one", "two"]
    assert listed["items"][1]["metadata"]["annotations"]["a"] == "b"
    assert await everywhere.names(everywhere.widgets) == ["w"]
    with refused(405, "MethodNotAllowed"):
        await everywhere.create(everywhere.config_maps, config_map("c"))


@scenario
async def test_a_page_that_many_ask_for_is_always_the_present_one(world: World) -> None:
    await five(world)
    for expected in (list("abc"), list("abc"), list("abc")):
        assert await world.names(world.config_maps, limit=3) == expected
    await world.create(world.config_maps, config_map("aa"))
    assert await world.names(world.config_maps, limit=3) == ["a", "aa", "b"]
    await world.patch(world.config_maps, "aa", {"data": {"a": "2"}})
    for _ in range(3):
        page = await world.list(world.config_maps, limit=3)
        assert page["items"][1]["data"] == {"a": "2"}
        assert page["metadata"]["resourceVersion"] == str(world.registry.store.revision)
        assert page["metadata"]["remainingItemCount"] == 3
        await world.create(world.type("secrets"), {"metadata": {"generateName": "s-"}})
    rest = await world.names(world.config_maps, limit=3, continue_token=page["metadata"]["continue"])
    assert rest == ["c", "d", "e"]
    await world.delete(world.config_maps, "a")
    assert await world.names(world.config_maps, limit=3) == ["aa", "b", "c"]
    assert await world.at("other").names(world.config_maps, limit=3) == []


@scenario
async def test_cluster_scoped_types_have_no_namespace_to_select(world: World) -> None:
    with refused(400, "BadRequest") as caught:
        await world.list(world.type("namespaces"), fields="metadata.namespace=x")
    assert caught.value.message == "field label not supported: metadata.namespace"
