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
from tests.support.clients import definition
from tests.support.registry_client import ADMIN, WIDGETS, Object, World, config_map, refused, scenario, widget, world


def _id(case: Case) -> str:
    return case.name


def _run(case: Case, test: Callable[[World], Awaitable[None]]) -> None:
    """Run a test in a registry in which the case's write can happen."""

    async def inside() -> None:
        async with world() as there:
            await there.define(WIDGETS)
            for step in case.before:
                await step(there)
            await test(there)

    asyncio.run(inside())


@pytest.mark.parametrize("case", [*STORING, *DELETING], ids=_id)
def test_both_halves_of_the_chain_see_a_write_as_what_it_is(case: Case) -> None:
    probe = Probe()

    async def check(there: World) -> None:
        revision = there.registry.store.revision
        await case.act(with_plugins(there, probe))
        assert there.registry.store.revision > revision

    _run(case, check)
    assert probe.mutated == case.seen
    assert probe.validated == case.seen
    assert {(request.user, request.dry_run) for request in probe.requests} == {(ADMIN, False)}


@pytest.mark.parametrize("case", STORING, ids=_id)
def test_what_a_mutating_plugin_changes_is_stored(case: Case) -> None:
    async def check(there: World) -> None:
        await case.act(with_plugins(there, Probe(case.change)))
        resource, name = case.stored
        assert case.landed(await there.get(type_at(there, resource), name))

    _run(case, check)


@pytest.mark.parametrize("half", ["mutate", "validate"])
@pytest.mark.parametrize("case", [*STORING, *DELETING], ids=_id)
def test_a_refused_write_stores_nothing(case: Case, half: str) -> None:
    async def check(there: World) -> None:
        revision = there.registry.store.revision
        with refused(403, "Forbidden") as caught:
            await case.act(with_plugins(there, Probe(refuse_in=half)))
        assert "the probe refuses it" in caught.value.message
        assert there.registry.store.revision == revision

    _run(case, check)


@scenario
async def test_a_dry_run_passes_the_chain_and_says_so(there: World) -> None:
    await there.define()
    await make_widget(there)
    revision = there.registry.store.revision
    probe = Probe(label)
    asked = with_plugins(there, probe)
    made = await asked.create(there.widgets, widget("b"), dry_run=True)
    patched = await asked.patch(there.widgets, "a", {"spec": {"size": 2}}, dry_run=True)
    await asked.registry.delete(there.context(dry_run=True), Target(there.widgets, "default", "a"), DeleteOptions())
    assert labelled(made)
    assert labelled(patched)
    assert [seen.operation for seen in probe.validated] == ["CREATE", "UPDATE", "DELETE"]
    assert all(request.dry_run for request in probe.requests)
    assert there.registry.store.revision == revision


@scenario
async def test_a_plugin_sees_the_name_that_is_generated(there: World) -> None:
    probe = Probe()
    obj = config_map("")
    obj["metadata"] = {"generateName": "a-"}
    made = await with_plugins(there, probe).create(there.config_maps, obj)
    assert [seen.name for seen in probe.mutated] == [made["metadata"]["name"]]


@scenario
async def test_a_review_passes_the_chain(there: World) -> None:
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    type_ = there.type("selfsubjectaccessreviews", "authorization.k8s.io")
    probe = Probe(lambda obj: obj["spec"]["resourceAttributes"].update(verb="list", bogus=1))
    answered = await with_plugins(there, probe).create(type_, review, "")
    seen = Seen("CREATE", "", "SelfSubjectAccessReview", "", "-")
    assert (probe.mutated, probe.validated) == ([seen], [seen])
    assert answered["status"]["allowed"]
    assert answered["spec"]["resourceAttributes"] == {"verb": "list", "resource": "pods"}
    with refused(403, "Forbidden"):
        await with_plugins(there, Probe(refuse_in="validate")).create(type_, review, "")


@scenario
async def test_a_plugins_fields_are_pruned_and_defaulted(there: World) -> None:
    await there.define()

    def change(obj: Object) -> None:
        del obj["spec"]["color"]
        obj["spec"]["bogus"] = 1

    made = await with_plugins(there, Probe(change)).create(there.widgets, widget("a", 3))
    assert made["spec"] == {"size": 3, "color": "red"}


@pytest.mark.parametrize("name", ["create", "merge patch", "apply", "patch of the scale"])
def test_a_plugins_fields_are_validated(name: str) -> None:
    case = next(case for case in STORING if case.name == name)

    def change(obj: Object) -> None:
        obj["spec"] = {"replicas": -1} if obj["kind"] == "Scale" else {"size": -1}

    async def check(there: World) -> None:
        with refused(422, "Invalid"):
            await case.act(with_plugins(there, Probe(change)))

    _run(case, check)


@scenario
async def test_a_plugin_cannot_change_what_the_server_owns(there: World) -> None:
    await there.define()
    forged = {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 77, "managedFields": []}

    def forge(obj: Object) -> None:
        obj["metadata"].update(forged)
        obj["status"] = {"phase": "Forged"}

    asked = with_plugins(there, Probe(forge))
    made = await asked.create(there.widgets, widget("a"))
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == ["tests"]
    assert made["metadata"]["uid"] != "mine"
    assert not made["metadata"]["creationTimestamp"].startswith("2001")
    with refused(422, "Invalid"):  # another UID is refused in an update, as if the client had sent it
        await asked.patch(there.widgets, "a", {"spec": {"size": 2}})


def _become_a_secret(obj: Object) -> None:
    obj["kind"] = "Secret"


def _move(obj: Object) -> None:
    obj["metadata"]["namespace"] = "kube-system"


def _break_metadata(obj: Object) -> None:
    obj["metadata"]["labels"] = 7


@pytest.mark.parametrize("change", [_become_a_secret, _move, _break_metadata])
def test_an_unusable_object_of_a_plugin_is_the_servers_error(change: Callable[[Object], None]) -> None:
    @scenario
    async def check(there: World) -> None:
        with refused(500, "InternalError") as caught:
            await with_plugins(there, Probe(change)).create(there.config_maps, config_map("a"))
        assert "admission plugins made an unusable object" in caught.value.message
        assert await there.is_gone(there.config_maps, "a")

    check()


@scenario
async def test_a_change_through_a_subresource_leaves_the_old_object_and_the_rest_alone(there: World) -> None:
    await there.define()
    await make_widget(there)

    def change(obj: Object) -> None:
        obj["status"]["phase"] = "Admitted"
        obj["spec"]["size"] = 7

    probe = Probe(change)
    changed = await with_plugins(there, probe).patch(
        there.widgets, "a", {"status": {"phase": "Sent"}}, subresource="status"
    )
    assert (changed["spec"]["size"], changed["status"]["phase"]) == (1, "Admitted")
    assert [request.old_object["spec"]["size"] for request in probe.requests if request.old_object] == [1, 1]


@scenario
async def test_a_plugin_is_called_for_the_writes_that_it_handles(there: World) -> None:
    probe = Probe(operations=["DELETE"])
    plugged = with_plugins(there, probe)
    for name in ("a", "b"):
        await plugged.create(there.config_maps, config_map(name))
        await plugged.delete(there.config_maps, name)
    assert [(seen.operation, seen.old_name) for seen in probe.mutated] == [("DELETE", "a"), ("DELETE", "b")]
    assert probe.asked == [("configmaps", "CREATE", ""), ("configmaps", "DELETE", "")]


@scenario
async def test_mutating_plugins_run_in_order_and_before_all_validating_ones(there: World) -> None:
    calls: list[tuple[str, str, str]] = []

    class Named(Probe):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        async def mutate(self, request: AdmissionRequest) -> None:
            calls.append((self.name, "mutate", request.operation))

        async def validate(self, request: AdmissionRequest) -> None:
            calls.append((self.name, "validate", request.operation))

    await with_plugins(there, Named("first"), Named("second")).create(there.config_maps, config_map("a"))
    halves = [(name, half, "CREATE") for half in ("mutate", "validate") for name in ("first", "second")]
    assert calls == halves


class Once(Probe):
    """A plugin that does something else while it is called the first time."""

    def __init__(self, act: Callable[[], Awaitable[Any]]) -> None:
        super().__init__()
        self._act = act

    async def mutate(self, request: AdmissionRequest) -> None:
        await super().mutate(request)
        if len(self.mutated) == 1:
            await self._act()


@scenario
async def test_a_plugin_may_write_the_object_that_is_being_changed(there: World) -> None:
    await there.define()
    await make_widget(there)
    probe = Once(lambda: there.patch(there.widgets, "a", {"metadata": {"labels": {"by": "plugin"}}}))
    changed = await with_plugins(there, probe).patch(there.widgets, "a", {"spec": {"size": 2}})
    assert (changed["spec"]["size"], changed["metadata"]["labels"]) == (2, {"by": "plugin"})
    assert len(probe.mutated) == 2


def _conditions(obj: Object) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in obj["status"]["conditions"]}


@pytest.mark.parametrize(
    "case",
    [case for case in [*STORING, *DELETING] if "definition" in case.name],
    ids=_id,
)
def test_a_plugin_may_define_a_type_while_a_definition_is_written(case: Case) -> None:
    async def check(there: World) -> None:
        other = definition("others", "Other")
        probe = Once(lambda: with_plugins(there, probe).create(type_at(there, DEFINITIONS), other, ""))
        async with asyncio.timeout(30):
            await case.act(with_plugins(there, probe))
        assert there.type("others", "example.com").kind == "Other"

    _run(case, check)


@scenario
async def test_names_that_a_plugin_takes_meanwhile_are_not_given_twice(there: World) -> None:
    rival = definition("rivals", "Gadget")
    probe = Once(lambda: there.create(type_at(there, DEFINITIONS), rival, ""))
    made = await with_plugins(there, probe).create(type_at(there, DEFINITIONS), definition("gadgets", "Gadget"), "")
    assert _conditions(made) == {"NamesAccepted": "False", "Established": "False"}
    assert there.type("rivals", "example.com").kind == "Gadget"


@scenario
async def test_a_name_that_a_plugin_gives_a_definition_is_checked_against_the_others(there: World) -> None:
    await make_gadgets(there)

    def take_kind(obj: Object) -> None:
        obj["spec"]["names"]["kind"] = "Gadget"

    asked = with_plugins(there, Probe(take_kind))
    made = await asked.create(type_at(there, DEFINITIONS), definition("others", "Other"), "")
    assert _conditions(made)["NamesAccepted"] == "False"
