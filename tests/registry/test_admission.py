"""Admission plugins see every write with its operation, subresource and objects, and may change or refuse it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kcp.registry.admission.chain import AdmissionRequest
from kcp.registry.requests import DeleteOptions, Target
from tests.registry.admission_cases import (
    DEFINITIONS,
    DELETING,
    STORING,
    Case,
    Probe,
    Seen,
    label,
    labelled,
    make_gadgets,
    make_widget,
    type_at,
    with_plugins,
)
from tests.support.objects import config_map, definition, widget
from tests.support.registry_client import ADMIN, WIDGETS, Object, RegistryClient, refused
from tests.support.waiting import PATIENCE


def _id(case: Case) -> str:
    return case.name


async def _prepare(case: Case, client: RegistryClient) -> None:
    """Create the objects that the case's write needs."""
    await client.define(WIDGETS)
    for step in case.before:
        await step(client)


async def test_the_cases_have_every_subresource_that_takes_writes(client: RegistryClient) -> None:
    await client.define(WIDGETS)
    subresources = [
        (name, subresource)
        for type_ in client.registry.catalog.surface(client.cluster).types
        for name, subresource in type_.subresources.items()
        if subresource.load_type is None  # a TokenRequest is answered and not stored
    ]
    writing = {name for name, subresource in subresources if {"create", "update", "patch"} & set(subresource.verbs)}
    assert writing == {seen.subresource for case in STORING for seen in case.seen} - {""}


@pytest.mark.parametrize("case", [*STORING, *DELETING], ids=_id)
async def test_mutating_and_validating_plugins_see_every_write(client: RegistryClient, case: Case) -> None:
    probe = Probe()
    await _prepare(case, client)
    revision = client.registry.store.revision
    await case.act(with_plugins(client, probe))
    assert client.registry.store.revision > revision
    assert probe.mutated == case.seen
    assert probe.validated == case.seen
    assert {(request.user, request.dry_run) for request in probe.requests} == {(ADMIN, False)}


@pytest.mark.parametrize("case", STORING, ids=_id)
async def test_what_a_mutating_plugin_changes_is_stored(client: RegistryClient, case: Case) -> None:
    await _prepare(case, client)
    await case.act(with_plugins(client, Probe(case.change)))
    resource, name = case.stored
    assert case.landed(await client.get(type_at(client, resource), name))


@pytest.mark.parametrize("half", ["mutate", "validate"])
@pytest.mark.parametrize("case", [*STORING, *DELETING], ids=_id)
async def test_a_refused_write_stores_nothing(client: RegistryClient, case: Case, half: str) -> None:
    await _prepare(case, client)
    revision = client.registry.store.revision
    with refused(403, "Forbidden") as caught:
        await case.act(with_plugins(client, Probe(refuse_in=half)))
    assert "the probe refuses it" in caught.value.message
    assert client.registry.store.revision == revision


async def test_a_dry_run_passes_the_chain_and_says_so(client: RegistryClient) -> None:
    await client.define()
    await make_widget(client)
    revision = client.registry.store.revision
    probe = Probe(label)
    asked = with_plugins(client, probe)
    made = await asked.create(client.widgets, widget("b"), dry_run=True)
    patched = await asked.patch(client.widgets, "a", {"spec": {"size": 2}}, dry_run=True)
    await asked.registry.delete(client.context(dry_run=True), Target(client.widgets, "default", "a"), DeleteOptions())
    assert labelled(made)
    assert labelled(patched)
    assert [seen.operation for seen in probe.validated] == ["CREATE", "UPDATE", "DELETE"]
    assert all(request.dry_run for request in probe.requests)
    assert client.registry.store.revision == revision


async def test_a_plugin_sees_the_name_that_is_generated(client: RegistryClient) -> None:
    probe = Probe()
    obj = config_map("")
    obj["metadata"] = {"generateName": "a-"}
    made = await with_plugins(client, probe).create(client.config_maps, obj)
    assert [seen.name for seen in probe.mutated] == [made["metadata"]["name"]]


async def test_a_review_passes_the_chain(client: RegistryClient) -> None:
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    type_ = client.type("selfsubjectaccessreviews", "authorization.k8s.io")
    probe = Probe(lambda obj: obj["spec"]["resourceAttributes"].update(verb="list", bogus=1))
    answered = await with_plugins(client, probe).create(type_, review, "")
    seen = Seen("CREATE", "", "SelfSubjectAccessReview", "", "-")
    assert (probe.mutated, probe.validated) == ([seen], [seen])
    assert answered["status"]["allowed"]
    assert answered["spec"]["resourceAttributes"] == {"verb": "list", "resource": "pods"}
    with refused(403, "Forbidden"):
        await with_plugins(client, Probe(refuse_in="validate")).create(type_, review, "")


async def test_a_plugins_fields_are_pruned_and_defaulted(client: RegistryClient) -> None:
    await client.define()

    def change(obj: Object) -> None:
        del obj["spec"]["color"]
        obj["spec"]["bogus"] = 1

    made = await with_plugins(client, Probe(change)).create(client.widgets, widget("a", 3))
    assert made["spec"] == {"size": 3, "color": "red"}


@pytest.mark.parametrize("name", ["create", "merge patch", "apply", "patch of the scale"])
async def test_a_plugins_fields_are_validated(client: RegistryClient, name: str) -> None:
    case = next(case for case in STORING if case.name == name)

    def change(obj: Object) -> None:
        obj["spec"] = {"replicas": -1} if obj["kind"] == "Scale" else {"size": -1}

    await _prepare(case, client)
    with refused(422, "Invalid"):
        await case.act(with_plugins(client, Probe(change)))


async def test_a_plugin_cannot_change_what_the_server_owns(client: RegistryClient) -> None:
    await client.define()
    forged = {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 77, "managedFields": []}

    def forge(obj: Object) -> None:
        obj["metadata"].update(forged)
        obj["status"] = {"phase": "Forged"}

    asked = with_plugins(client, Probe(forge))
    made = await asked.create(client.widgets, widget("a"))
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == ["tests"]
    assert made["metadata"]["uid"] != "mine"
    assert not made["metadata"]["creationTimestamp"].startswith("2001")
    with refused(422, "Invalid"):  # another UID is refused in an update, as if the client had sent it
        await asked.patch(client.widgets, "a", {"spec": {"size": 2}})


def _become_a_secret(obj: Object) -> None:
    obj["kind"] = "Secret"


def _move(obj: Object) -> None:
    obj["metadata"]["namespace"] = "kube-system"


def _break_metadata(obj: Object) -> None:
    obj["metadata"]["labels"] = 7


@pytest.mark.parametrize("change", [_become_a_secret, _move, _break_metadata])
async def test_an_unusable_object_of_a_plugin_is_the_servers_error(
    client: RegistryClient, change: Callable[[Object], None]
) -> None:
    with refused(500, "InternalError") as caught:
        await with_plugins(client, Probe(change)).create(client.config_maps, config_map("a"))
    assert "admission plugins made an unusable object" in caught.value.message
    assert await client.is_gone(client.config_maps, "a")


async def test_a_change_through_a_subresource_leaves_the_old_object_and_the_rest_alone(client: RegistryClient) -> None:
    await client.define()
    await make_widget(client)

    def change(obj: Object) -> None:
        obj["status"]["phase"] = "Admitted"
        obj["spec"]["size"] = 7

    probe = Probe(change)
    changed = await with_plugins(client, probe).patch(
        client.widgets, "a", {"status": {"phase": "Sent"}}, subresource="status"
    )
    assert (changed["spec"]["size"], changed["status"]["phase"]) == (1, "Admitted")
    assert [request.old_object["spec"]["size"] for request in probe.requests if request.old_object] == [1, 1]


async def test_a_plugin_is_called_for_the_writes_that_it_handles(client: RegistryClient) -> None:
    probe = Probe(operations=["DELETE"])
    plugged = with_plugins(client, probe)
    for name in ("a", "b"):
        await plugged.create(client.config_maps, config_map(name))
        await plugged.delete(client.config_maps, name)
    assert [(seen.operation, seen.old_name) for seen in probe.mutated] == [("DELETE", "a"), ("DELETE", "b")]
    assert probe.asked == [("configmaps", "CREATE", ""), ("configmaps", "DELETE", "")]


async def test_plugins_see_an_apply_that_changes_nothing(client: RegistryClient) -> None:
    await client.define()
    applied = await client.apply(client.widgets, widget("a", 2))
    probe = Probe()
    again = await with_plugins(client, probe).apply(client.widgets, widget("a", 2))
    assert probe.mutated == probe.validated == [Seen("UPDATE", "", "Widget", "a", "a")]
    assert again == applied
    assert labelled(await with_plugins(client, Probe(label)).apply(client.widgets, widget("a", 2)))
    assert labelled(await client.get(client.widgets, "a"))


async def test_mutating_plugins_run_in_order_and_before_all_validating_ones(client: RegistryClient) -> None:
    calls: list[tuple[str, str, str]] = []

    class Named(Probe):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        async def mutate(self, request: AdmissionRequest) -> None:
            calls.append((self.name, "mutate", request.operation))

        async def validate(self, request: AdmissionRequest) -> None:
            calls.append((self.name, "validate", request.operation))

    await with_plugins(client, Named("first"), Named("second")).create(client.config_maps, config_map("a"))
    halves = [(name, half, "CREATE") for half in ("mutate", "validate") for name in ("first", "second")]
    assert calls == halves


class Once(Probe):
    """A plugin that runs something else during its first call."""

    def __init__(self, act: Callable[[], Awaitable[Any]]) -> None:
        super().__init__()
        self._act = act

    async def mutate(self, request: AdmissionRequest) -> None:
        await super().mutate(request)
        if len(self.mutated) == 1:
            await self._act()


async def test_a_plugin_may_write_the_object_that_is_being_changed(client: RegistryClient) -> None:
    await client.define()
    await make_widget(client)
    probe = Once(lambda: client.patch(client.widgets, "a", {"metadata": {"labels": {"by": "plugin"}}}))
    changed = await with_plugins(client, probe).patch(client.widgets, "a", {"spec": {"size": 2}})
    assert (changed["spec"]["size"], changed["metadata"]["labels"]) == (2, {"by": "plugin"})
    assert len(probe.mutated) == 2


def _conditions(obj: Object) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in obj["status"]["conditions"]}


@pytest.mark.parametrize(
    "case",
    [case for case in [*STORING, *DELETING] if "definition" in case.name],
    ids=_id,
)
async def test_a_plugin_may_define_a_type_while_a_definition_is_written(client: RegistryClient, case: Case) -> None:
    await _prepare(case, client)
    other = definition("others", "Other")
    probe = Once(lambda: with_plugins(client, probe).create(type_at(client, DEFINITIONS), other, ""))
    async with asyncio.timeout(PATIENCE):
        await case.act(with_plugins(client, probe))
    assert client.type("others", "example.com").kind == "Other"


async def test_names_that_a_plugin_takes_meanwhile_are_not_given_twice(client: RegistryClient) -> None:
    rival = definition("rivals", "Gadget")
    probe = Once(lambda: client.create(type_at(client, DEFINITIONS), rival, ""))
    made = await with_plugins(client, probe).create(type_at(client, DEFINITIONS), definition("gadgets", "Gadget"), "")
    assert _conditions(made) == {"NamesAccepted": "False", "Established": "False"}
    assert client.type("rivals", "example.com").kind == "Gadget"


async def test_a_name_that_a_plugin_gives_a_definition_is_checked_against_the_others(client: RegistryClient) -> None:
    await make_gadgets(client)

    def take_kind(obj: Object) -> None:
        obj["spec"]["names"]["kind"] = "Gadget"

    asked = with_plugins(client, Probe(take_kind))
    made = await asked.create(type_at(client, DEFINITIONS), definition("others", "Other"), "")
    assert _conditions(made)["NamesAccepted"] == "False"
