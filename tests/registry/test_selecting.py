"""Selections of few objects out of many: a search by bytes finds exactly the objects that the selectors match.

Chunks are of two objects here and steps of a search of three keys, so that every list is searched.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kcp.api import selectors
from kcp.registry.requests import DeleteOptions, ListOptions, Target
from kcp.registry.verbs import selecting
from kcp.store.sqlite import search
from tests.support.objects import config_map, definition, widget
from tests.support.registry_client import Object, RegistryClient, registry_client
from tests.support.running_coroutines import Enter

KEYS = ("app", "f.app", "labels", "example.com/app", "a")
VALUES = ("", "web", "app", "labels", "x.y_z", "1", "true")
TEXTS = st.sampled_from(('"app":"web"', '{"labels":{"app":"web"}}', "\\", '\\"app":"web', "ü\u2028", "web", "app", ""))
LABELS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3)
OBJECTS = st.fixed_dictionaries(
    {
        "labels": LABELS,
        "annotations": st.dictionaries(st.sampled_from(KEYS), TEXTS, max_size=2),
        "data": st.dictionaries(st.sampled_from(("app", "labels", "a")), TEXTS, max_size=2),
    }
)
OPERATORS = ("=", "==", "!=", "in", "notin", "", "!")
REQUIREMENTS = st.lists(
    st.tuples(
        st.sampled_from(KEYS), st.sampled_from(OPERATORS), st.lists(st.sampled_from(VALUES), min_size=1, max_size=12)
    ),
    min_size=1,
    max_size=3,
)
Requirement = tuple[str, str, list[str]]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search every list but the smallest in several steps."""
    monkeypatch.setattr(selecting, "CHUNK", 2)
    monkeypatch.setattr(search, "_FIRST_KEYS", 3)
    monkeypatch.setattr(search, "_MAX_KEYS", 3)


def text_of(requirement: Requirement) -> str:
    """Format a requirement as a client sends it."""
    key, operator, values = requirement
    if operator in ("in", "notin"):
        return f"{key} {operator} ({','.join(values)})"
    return f"!{key}" if operator == "!" else key if not operator else f"{key}{operator}{values[0]}"


def meets(labels: dict[str, str], requirement: Requirement) -> bool:
    """Whether labels meet a requirement, by the definition in the documentation of Kubernetes."""
    key, operator, values = requirement
    if operator in ("", "!"):
        return (key in labels) == (operator == "")
    wanted = values if operator in ("in", "notin") else values[:1]
    return (labels.get(key) in wanted) == (operator in ("in", "=", "=="))


@pytest.fixture
def fresh_clusters(enter: Enter) -> Iterator[RegistryClient]:
    """Yield clients, each of a logical cluster without objects."""
    client = enter(registry_client())
    return (client.at(f"c{number}") for number in itertools.count())


async def paged(client: RegistryClient, limit: int, **options: Any) -> list[str]:
    """Return the names on all pages."""
    found, token = [], ""
    while True:
        page = await client.list(client.config_maps, limit=limit, continue_token=token, **options)
        assert len(page["items"]) <= limit
        assert "remainingItemCount" not in page["metadata"]
        found += [item["metadata"]["name"] for item in page["items"]]
        options.pop("resource_version", None)
        options.pop("resource_version_match", None)
        if not (token := page["metadata"].get("continue", "")):
            return found


def test_a_list_has_the_objects_that_its_label_selector_matches(
    fresh_clusters: Iterator[RegistryClient], runner: asyncio.Runner
) -> None:
    async def check(client: RegistryClient, objects: list[Object], sent: list[Requirement], changed: Object) -> None:
        for number, each in enumerate(objects):
            meta = {"labels": each["labels"], "annotations": each["annotations"]}
            await client.create(client.config_maps, config_map(f"n{number}", metadata=meta, **each["data"]))
        labels = ",".join(map(text_of, sent))
        wanted = [
            f"n{number}"
            for number, each in enumerate(objects)
            if all(meets(each["labels"], requirement) for requirement in sent)
        ]
        then = str(client.registry.store.revision)
        assert await client.names(client.config_maps, labels=labels) == wanted
        assert await paged(client, 2, labels=labels) == wanted
        names = [name for name in ("n0", "n3", "n4") if int(name[1:]) < len(objects)]
        await client.delete(client.config_maps, names.pop())
        for name in names:
            await client.patch(client.config_maps, name, {"metadata": {"labels": changed["labels"]}})
        past = {"resource_version": then, "resource_version_match": "Exact"}
        assert await client.names(client.config_maps, labels=labels, **past) == wanted
        assert await paged(client, 1, labels=labels, **past) == wanted

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(objects=st.lists(OBJECTS, min_size=1, max_size=9), sent=REQUIREMENTS, changed=OBJECTS)
    def agree(objects: list[Object], sent: list[Requirement], changed: Object) -> None:
        runner.run(check(next(fresh_clusters), objects, sent, changed))

    agree()


async def ten(client: RegistryClient) -> None:
    """Ten objects, of which n2, n5 and n8 have the label."""
    for number in range(10):
        labels = {"app": "web" if number % 3 == 2 else "other"}
        await client.create(client.config_maps, config_map(f"n{number}", metadata={"labels": labels}))


async def test_initial_events_are_of_selected_objects(client: RegistryClient) -> None:
    await ten(client)
    watch = await client.watch(client.config_maps, "default", labels="app=web", resource_version="0")
    await client.create(client.config_maps, config_map("other"))
    await client.create(client.config_maps, config_map("web", metadata={"labels": {"app": "web"}}))
    assert await watch.events(4) == [("ADDED", name) for name in ("n2", "n5", "n8", "web")]


async def test_a_collection_is_deleted_by_a_search(client: RegistryClient) -> None:
    await ten(client)
    chosen = ListOptions(label_selector=selectors.parse_label_selector("app in (web,none)"))
    target = Target(client.config_maps, "default")
    await client.registry.delete_collection(client.context(), target, DeleteOptions(), chosen)
    assert await client.names(client.config_maps) == ["n0", "n1", "n3", "n4", "n6", "n7", "n9"]


async def test_a_search_spans_logical_clusters(client: RegistryClient) -> None:
    for cluster in ("one", "two", "three"):
        await ten(client.at(cluster))
    everywhere = client.at("*")
    listed = await everywhere.list(everywhere.config_maps, labels="app=web")
    assert [item["metadata"]["annotations"]["kcp.io/cluster"] for item in listed["items"]] == [
        *["one"] * 3,
        *["three"] * 3,
        *["two"] * 3,
    ]
    assert await everywhere.names(everywhere.config_maps, namespace="default", fields="metadata.name=n4") == ["n4"] * 3
    assert await everywhere.names(everywhere.config_maps, fields="metadata.namespace=default,metadata.name=n4") == (
        ["n4"] * 3
    )
    assert await everywhere.names(everywhere.config_maps, namespace="elsewhere", labels="app=web") == []


async def test_a_name_is_found_in_all_namespaces_and_in_a_past_state(client: RegistryClient) -> None:
    for namespace in ("other", "third"):
        await client.create(client.type("namespaces"), {"metadata": {"name": namespace}})
        await client.create(client.config_maps, config_map("n4"), namespace)
    await ten(client)
    then = str(client.registry.store.revision)
    assert await client.names(client.config_maps, fields="metadata.name=n4") == ["n4"] * 3
    await client.delete(client.config_maps, "n4")
    assert await client.names(client.config_maps, fields="metadata.name=n4") == ["n4"] * 2
    past = {"resource_version": then, "resource_version_match": "Exact"}
    for namespace, count in (("", 3), ("default", 1)):
        found = await client.names(client.config_maps, namespace=namespace, fields="metadata.name=n4", **past)
        assert found == ["n4"] * count


COLORS = ("red", 'bl"ue', "ü", "\u2028", "1", "true", "-7", "1e3", "", "\\", "[1]")


async def test_a_selectable_field_of_any_text_is_found(client: RegistryClient) -> None:
    await client.define()
    for round_ in range(2):
        for number, color in enumerate(COLORS):
            obj = widget(f"n{round_}{number}")
            obj["spec"]["color"] = color
            await client.create(client.widgets, obj)
    for number, color in enumerate(COLORS):
        found = await client.names(client.widgets, fields=f"spec.color={selectors.escape_field_value(color)}")
        assert found == [f"n0{number}", f"n1{number}"], color


async def test_fields_of_other_scalars_are_found(client: RegistryClient) -> None:
    fields: dict[str, Any] = {"count": {"type": "integer"}, "on": {"type": "boolean"}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
    version = {"selectableFields": [{"jsonPath": ".spec.count"}, {"jsonPath": ".spec.on"}]}
    await client.define(definition("gadgets", "Gadget", schema=schema, version=version))
    gadgets = client.type("gadgets", "example.com")
    for number, (count, on) in enumerate([(5, True), (-5, False), (50, True), (5, False), (None, None)] * 2):
        spec = {} if count is None else {"count": count, "on": on}
        body = {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": f"n{number}"}, "spec": spec}
        await client.create(gadgets, body)
    for selector, wanted in (
        ("spec.count=5", ["n0", "n3", "n5", "n8"]),
        ("spec.count=-5", ["n1", "n6"]),
        ("spec.on=true", ["n0", "n2", "n5", "n7"]),
        ("spec.on=false,spec.count=5", ["n3", "n8"]),
        ("spec.count=", ["n4", "n9"]),
        ("spec.count!=5,spec.on=true", ["n2", "n7"]),
    ):
        assert await client.names(gadgets, fields=selector) == wanted, selector


async def test_a_default_of_a_later_definition_is_found(client: RegistryClient) -> None:
    def of(color: Object) -> Object:
        spec = {"type": "object", "properties": {"size": {"type": "integer"}, "color": {"type": "string", **color}}}
        version = {"selectableFields": [{"jsonPath": ".spec.color"}]}
        schema = {"type": "object", "properties": {"spec": spec}}
        return definition("widgets", "Widget", schema=schema, version=version)

    defined = await client.define(of({}))
    for number in range(6):
        await client.create(client.widgets, widget(f"n{number}"))
    assert await client.names(client.widgets, fields="spec.color=red") == []
    defined["spec"] = of({"default": "red"})["spec"]
    await client.update(client.definitions, defined)
    assert await client.names(client.widgets, fields="spec.color=red") == [f"n{number}" for number in range(6)]


SECRETS = [("Opaque", None), ("example.com/x", "a"), ("kubernetes.io/basic-auth", "b")]


async def test_fields_of_built_in_types_are_found(client: RegistryClient) -> None:
    secrets, events = client.type("secrets"), client.type("events")
    for number in range(9):
        kind = SECRETS[number % 3][0]
        data = {"username": "eA=="} if "basic" in kind else {}
        await client.create(secrets, {"metadata": {"name": f"s{number}"}, "type": kind, "data": data})
        about = {"kind": "ConfigMap", "namespace": "default", "name": f"c{number % 3}"}
        event = {"metadata": {"name": f"e{number}"}, "involvedObject": about, "type": "Normal", "reason": "Made"}
        await client.create(events, {**event, "source": {"component": "x"} if number % 2 else {}})
    assert await client.names(secrets, fields="type=example.com/x") == ["s1", "s4", "s7"]
    assert await client.names(events, fields="involvedObject.name=c2,reason=Made") == ["e2", "e5", "e8"]
    assert await client.names(events, fields="source=x,involvedObject.name=c1") == ["e1", "e7"]
    newer = client.type("events", "events.k8s.io")
    assert await client.names(newer, fields="regarding.name=c2,reason=Made") == ["e2", "e5", "e8"]


async def test_virtual_namespaces_are_found_and_a_stored_one_replaces_its_virtual_one(client: RegistryClient) -> None:
    namespaces = client.type("namespaces")
    for number in range(6):
        meta = {"name": f"n{number}", "labels": {"team": "red" if number % 2 else "blue"}}
        await client.create(namespaces, {"metadata": meta})
    assert await client.names(namespaces, labels="kubernetes.io/metadata.name=kube-system") == ["kube-system"]
    assert await client.names(namespaces, labels="team=red") == ["n1", "n3", "n5"]
    await client.patch(namespaces, "kube-system", {"metadata": {"labels": {"team": "red"}}})
    assert await client.names(namespaces, labels="team=red") == ["kube-system", "n1", "n3", "n5"]
    everywhere = client.at("*")
    assert await everywhere.names(everywhere.type("namespaces"), labels="team=red,!none") == [
        "kube-system",
        "n1",
        "n3",
        "n5",
    ]


@pytest.mark.parametrize(
    ("labels", "before", "after", "wanted"),
    [
        ("app=web", "web", "web", ["MODIFIED"]),
        ("app=web", "web", "db", ["DELETED"]),
        ("app=web", "db", "web", ["ADDED"]),
        ("app=web", "db", "x", []),
        ("app in (web,db)", "db", "web", ["MODIFIED"]),
        ("tier,app=web", "db", "web", []),
    ],
)
async def test_watchers_of_one_range_share_a_batch_and_see_their_own_events(
    client: RegistryClient, labels: str, before: str, after: str, wanted: list[str]
) -> None:
    await client.create(client.config_maps, config_map("a", metadata={"labels": {"app": before}}))
    watches = [
        await client.watch(client.config_maps, "default", labels=labels),
        await client.watch(client.config_maps, "default", fields="metadata.name=end"),
        await client.watch(client.config_maps, "default"),
    ]
    waiting: list[Callable[[int], Any]] = [watch.events for watch in watches]
    tasks = [
        asyncio.ensure_future(events(count)) for events, count in zip(waiting, (len(wanted) + 1, 1, 2), strict=True)
    ]
    await client.patch(client.config_maps, "a", {"metadata": {"labels": {"app": after}}, "data": {"a": "2"}})
    await client.create(client.config_maps, config_map("end", metadata={"labels": {"app": "web", "tier": "x"}}))
    selected, named, all_events = await asyncio.gather(*tasks)
    assert selected == [*((kind, "a") for kind in wanted), ("ADDED", "end")]
    assert named == [("ADDED", "end")]
    assert all_events == [("MODIFIED", "a"), ("ADDED", "end")]
