"""Admission plugins see every write with its operation, subresource and objects, and may change or refuse it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kcp.api import errors
from kcp.registry.admission.chain import AdmissionRequest, Chain, Plugin
from kcp.registry.requests import DeleteOptions, ListOptions, Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import patching
from kcp.registry.verbs.registry import Registry
from tests.clients import definition
from tests.registry.world import ADMIN, WIDGETS, Object, World, config_map, refused, scenario, widget, world

DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
SIGNING_REQUESTS = ("certificates.k8s.io", "certificatesigningrequests")


class Seen(NamedTuple):
    """What one plugin call was about."""

    operation: str
    subresource: str
    kind: str
    name: str
    old_name: str


@dataclass
class Probe:
    """A plugin that records what it is shown, and may change or refuse it."""

    change: Callable[[Object], None] | None = None
    refuse_in: str = ""
    operations: Sequence[str] = ("CREATE", "UPDATE", "DELETE")
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    mutated: list[Seen] = field(default_factory=list)
    validated: list[Seen] = field(default_factory=list)
    requests: list[AdmissionRequest] = field(default_factory=list)

    def handles(self, type_: ResourceType, operation: str, subresource: str) -> bool:
        self.asked.append((type_.plural, operation, subresource))
        return operation in self.operations

    async def mutate(self, request: AdmissionRequest) -> None:
        self.mutated.append(self._seen(request, "mutate"))
        if self.change is not None and request.object is not None:
            self.change(request.object)

    async def validate(self, request: AdmissionRequest) -> None:
        self.validated.append(self._seen(request, "validate"))

    def _seen(self, request: AdmissionRequest, half: str) -> Seen:
        self.requests.append(request)
        if self.refuse_in == half:
            raise errors.forbidden(request.target.type.resource, request.target.name, "the probe refuses it")
        for obj in (request.object, request.old_object):
            assert obj is None or obj["kind"] == request.kind.kind
        return Seen(
            request.operation, request.subresource, request.kind.kind, _name(request.object), _name(request.old_object)
        )


def _name(obj: Object | None) -> str:
    return "-" if obj is None else obj["metadata"].get("name", "")


def _with_plugins(there: World, *plugins: Plugin) -> World:
    registry = there.registry
    return World(Registry(registry.store, registry.catalog, Chain(plugins)), there.cluster)


def _signing_request() -> Object:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    spec = {
        "request": base64.b64encode(pem).decode(),
        "signerName": "example.com/signer",
        "usages": ["client auth"],
    }
    return {"metadata": {"name": "csr"}, "spec": spec}


def _label(obj: Object) -> None:
    obj["metadata"].setdefault("labels", {})["admitted"] = "yes"


def _labelled(obj: Object) -> bool:
    return (obj["metadata"].get("labels") or {}).get("admitted") == "yes"


def _resize(scale: Object) -> None:
    scale["spec"] = {"replicas": 9}


def _set_phase(obj: Object) -> None:
    obj["status"]["phase"] = "Admitted"


def _admit_condition(obj: Object) -> None:
    obj["status"]["conditions"][0]["reason"] = "Admitted"


Act = Callable[[World], Awaitable[Any]]


@dataclass
class Case:
    """A write: ``before`` it, the write itself, what plugins must see of it, and what comes of a change by a plugin."""

    name: str
    act: Act
    seen: Sequence[Seen]
    before: Sequence[Act] = ()
    change: Callable[[Object], None] | None = _label
    landed: Callable[[Object], bool] = _labelled
    stored: tuple[tuple[str, str], str] = (("example.com", "widgets"), "a")
    """Type and name of what is stored."""


async def _make(there: World) -> None:
    await there.create(there.widgets, widget("a"))


async def _make_map(there: World) -> None:
    await there.create(there.config_maps, config_map("a"))


async def _make_held(there: World) -> None:
    await there.create(there.widgets, widget("a", finalizers=["example.com/hold"]))


async def _make_other(there: World) -> None:
    await there.create(there.widgets, widget("b"))


async def _make_team(there: World) -> None:
    await there.create(there.type("namespaces"), {"metadata": {"name": "team"}}, "")


async def _make_signing_request(there: World) -> None:
    await there.create(_type(there, SIGNING_REQUESTS), _signing_request(), "")


async def _make_gadgets(there: World) -> None:
    await there.create(_type(there, DEFINITIONS), definition("gadgets", "Gadget"), "")


def _type(there: World, resource: tuple[str, str]) -> ResourceType:
    return there.type(resource[1], resource[0])


async def _replace(there: World) -> None:
    present = await there.get(there.widgets, "a")
    present["spec"]["size"] = 2
    await there.update(there.widgets, present)


async def _replace_status(there: World) -> None:
    present = await there.get(there.widgets, "a")
    await there.update(there.widgets, dict(present, status={"phase": "Sent"}), "status")


async def _replace_scale(there: World) -> None:
    present = await there.get(there.widgets, "a", subresource="scale")
    await there.update(there.widgets, dict(present, spec={"replicas": 2}), "scale")


async def _finalize(there: World) -> None:
    present = await there.get(there.type("namespaces"), "team")
    present["spec"]["finalizers"] = ["kubernetes", "example.com/hold"]
    await there.update(there.type("namespaces"), present, "finalize")


async def _approve(there: World) -> None:
    type_ = _type(there, SIGNING_REQUESTS)
    present = await there.get(type_, "csr")
    present["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
    await there.update(type_, present, "approval")


async def _delete_collection(there: World) -> None:
    await there.registry.delete_collection(
        there.context(), Target(there.widgets, "default"), DeleteOptions(), ListOptions()
    )


def _patch(body: Any, media_type: str = patching.MERGE_PATCH, **more: Any) -> Act:
    return lambda there: there.patch(there.widgets, "a", body, media_type, **more)


def _apply(obj: Object, **more: Any) -> Act:
    return lambda there: there.apply(there.widgets, obj, force=True, **more)


async def _replace_definition(there: World) -> None:
    present = await there.get(_type(there, DEFINITIONS), "gadgets.example.com")
    present["spec"]["names"]["shortNames"] = ["gd"]
    await there.update(_type(there, DEFINITIONS), present)


def _lease() -> Object:
    return {"metadata": {"name": "a", "namespace": "default"}, "spec": {"holderIdentity": "me"}}


def _scale(replicas: int) -> Object:
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": replicas}}


CREATED = Seen("CREATE", "", "Widget", "a", "-")
UPDATED = Seen("UPDATE", "", "Widget", "a", "a")
DELETED = Seen("DELETE", "", "Widget", "-", "a")
STATUS = Seen("UPDATE", "status", "Widget", "a", "a")
SCALED = Seen("UPDATE", "scale", "Scale", "a", "a")
GADGETS = "gadgets.example.com"


def _definition_seen(operation: str, subresource: str = "") -> Seen:
    new = "-" if operation == "DELETE" else GADGETS
    old = "-" if operation == "CREATE" else GADGETS
    return Seen(operation, subresource, "CustomResourceDefinition", new, old)


def _phase_landed(obj: Object) -> bool:
    return bool(obj["status"]["phase"] == "Admitted")


def _size_landed(obj: Object) -> bool:
    return bool(obj["spec"]["size"] == 9)


STORING = [
    Case("create", _make, [CREATED]),
    Case("replace", _replace, [UPDATED], [_make]),
    Case(
        "replace that creates",
        lambda there: there.update(there.type("leases", "coordination.k8s.io"), _lease()),
        [Seen("CREATE", "", "Lease", "a", "-")],
        stored=(("coordination.k8s.io", "leases"), "a"),
    ),
    Case(
        "JSON patch",
        _patch([{"op": "replace", "path": "/spec/size", "value": 2}], patching.JSON_PATCH),
        [UPDATED],
        [_make],
    ),
    Case("merge patch", _patch({"spec": {"size": 2}}), [UPDATED], [_make]),
    Case(
        "strategic merge patch",
        lambda there: there.patch(there.config_maps, "a", {"data": {"b": "2"}}, patching.STRATEGIC_MERGE_PATCH),
        [Seen("UPDATE", "", "ConfigMap", "a", "a")],
        [_make_map],
        stored=(("", "configmaps"), "a"),
    ),
    Case("apply", _apply(widget("a", 2)), [UPDATED], [_make]),
    Case("apply that creates", _apply(widget("a", 2)), [CREATED]),
    Case("replace of the status", _replace_status, [STATUS], [_make], _set_phase, _phase_landed),
    Case(
        "patch of the status",
        _patch({"status": {"phase": "Sent"}}, subresource="status"),
        [STATUS],
        [_make],
        _set_phase,
        _phase_landed,
    ),
    Case(
        "apply of the status",
        _apply({**widget("a"), "spec": {}, "status": {"phase": "Sent"}}, subresource="status"),
        [STATUS],
        [_make],
        _set_phase,
        _phase_landed,
    ),
    Case("replace of the scale", _replace_scale, [SCALED], [_make], _resize, _size_landed),
    Case(
        "patch of the scale",
        _patch({"spec": {"replicas": 2}}, subresource="scale"),
        [SCALED],
        [_make],
        _resize,
        _size_landed,
    ),
    Case("apply of the scale", _apply(_scale(2), subresource="scale"), [SCALED], [_make], _resize, _size_landed),
    Case(
        "finalize of a namespace",
        _finalize,
        [Seen("UPDATE", "finalize", "Namespace", "team", "team")],
        [_make_team],
        stored=(("", "namespaces"), "team"),
    ),
    Case(
        "approval of a signing request",
        _approve,
        [Seen("UPDATE", "approval", "CertificateSigningRequest", "csr", "csr")],
        [_make_signing_request],
        _admit_condition,
        lambda obj: obj["status"]["conditions"][0]["reason"] == "Admitted",
        (SIGNING_REQUESTS, "csr"),
    ),
    Case("create of a definition", _make_gadgets, [_definition_seen("CREATE")], stored=(DEFINITIONS, GADGETS)),
    Case(
        "replace of a definition",
        _replace_definition,
        [_definition_seen("UPDATE")],
        [_make_gadgets],
        stored=(DEFINITIONS, GADGETS),
    ),
]
DELETING = [
    Case("delete", lambda there: there.delete(there.widgets, "a"), [DELETED], [_make]),
    Case("delete of a held object", lambda there: there.delete(there.widgets, "a"), [DELETED], [_make_held]),
    Case(
        "deletecollection",
        _delete_collection,
        [DELETED, Seen("DELETE", "", "Widget", "-", "b")],
        [_make, _make_other],
    ),
    Case(
        "delete of a definition",
        lambda there: there.delete(_type(there, DEFINITIONS), GADGETS, ""),
        [_definition_seen("DELETE")],
        [_make_gadgets],
    ),
]


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
        await case.act(_with_plugins(there, probe))
        assert there.registry.store.revision > revision

    _run(case, check)
    assert probe.mutated == case.seen
    assert probe.validated == case.seen
    assert {(request.user, request.dry_run) for request in probe.requests} == {(ADMIN, False)}


@pytest.mark.parametrize("case", STORING, ids=_id)
def test_what_a_mutating_plugin_changes_is_stored(case: Case) -> None:
    async def check(there: World) -> None:
        await case.act(_with_plugins(there, Probe(case.change)))
        resource, name = case.stored
        assert case.landed(await there.get(_type(there, resource), name))

    _run(case, check)


@pytest.mark.parametrize("half", ["mutate", "validate"])
@pytest.mark.parametrize("case", [*STORING, *DELETING], ids=_id)
def test_a_refused_write_stores_nothing(case: Case, half: str) -> None:
    async def check(there: World) -> None:
        revision = there.registry.store.revision
        with refused(403, "Forbidden") as caught:
            await case.act(_with_plugins(there, Probe(refuse_in=half)))
        assert "the probe refuses it" in caught.value.message
        assert there.registry.store.revision == revision

    _run(case, check)


@scenario
async def test_a_dry_run_passes_the_chain_and_says_so(there: World) -> None:
    await there.define()
    await _make(there)
    revision = there.registry.store.revision
    probe = Probe(_label)
    asked = _with_plugins(there, probe)
    made = await asked.create(there.widgets, widget("b"), dry_run=True)
    patched = await asked.patch(there.widgets, "a", {"spec": {"size": 2}}, dry_run=True)
    await asked.registry.delete(there.context(dry_run=True), Target(there.widgets, "default", "a"), DeleteOptions())
    assert _labelled(made)
    assert _labelled(patched)
    assert [seen.operation for seen in probe.validated] == ["CREATE", "UPDATE", "DELETE"]
    assert all(request.dry_run for request in probe.requests)
    assert there.registry.store.revision == revision


@scenario
async def test_a_plugin_sees_the_name_that_is_generated(there: World) -> None:
    probe = Probe()
    obj = config_map("")
    obj["metadata"] = {"generateName": "a-"}
    made = await _with_plugins(there, probe).create(there.config_maps, obj)
    assert [seen.name for seen in probe.mutated] == [made["metadata"]["name"]]


@scenario
async def test_a_review_passes_the_chain(there: World) -> None:
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    type_ = there.type("selfsubjectaccessreviews", "authorization.k8s.io")
    probe = Probe(lambda obj: obj["spec"]["resourceAttributes"].update(verb="list", bogus=1))
    answered = await _with_plugins(there, probe).create(type_, review, "")
    seen = Seen("CREATE", "", "SelfSubjectAccessReview", "", "-")
    assert (probe.mutated, probe.validated) == ([seen], [seen])
    assert answered["status"]["allowed"]
    assert answered["spec"]["resourceAttributes"] == {"verb": "list", "resource": "pods"}
    with refused(403, "Forbidden"):
        await _with_plugins(there, Probe(refuse_in="validate")).create(type_, review, "")


@scenario
async def test_a_plugins_fields_are_pruned_and_defaulted(there: World) -> None:
    await there.define()

    def change(obj: Object) -> None:
        del obj["spec"]["color"]
        obj["spec"]["bogus"] = 1

    made = await _with_plugins(there, Probe(change)).create(there.widgets, widget("a", 3))
    assert made["spec"] == {"size": 3, "color": "red"}


@pytest.mark.parametrize("name", ["create", "merge patch", "apply", "patch of the scale"])
def test_a_plugins_fields_are_validated(name: str) -> None:
    case = next(case for case in STORING if case.name == name)

    def change(obj: Object) -> None:
        obj["spec"] = {"replicas": -1} if obj["kind"] == "Scale" else {"size": -1}

    async def check(there: World) -> None:
        with refused(422, "Invalid"):
            await case.act(_with_plugins(there, Probe(change)))

    _run(case, check)


@scenario
async def test_a_plugin_cannot_change_what_the_server_owns(there: World) -> None:
    await there.define()
    forged = {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 77, "managedFields": []}

    def forge(obj: Object) -> None:
        obj["metadata"].update(forged)
        obj["status"] = {"phase": "Forged"}

    asked = _with_plugins(there, Probe(forge))
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
            await _with_plugins(there, Probe(change)).create(there.config_maps, config_map("a"))
        assert "admission plugins made an unusable object" in caught.value.message
        assert await there.is_gone(there.config_maps, "a")

    check()


@scenario
async def test_a_change_through_a_subresource_leaves_the_old_object_and_the_rest_alone(there: World) -> None:
    await there.define()
    await _make(there)

    def change(obj: Object) -> None:
        obj["status"]["phase"] = "Admitted"
        obj["spec"]["size"] = 7

    probe = Probe(change)
    changed = await _with_plugins(there, probe).patch(
        there.widgets, "a", {"status": {"phase": "Sent"}}, subresource="status"
    )
    assert (changed["spec"]["size"], changed["status"]["phase"]) == (1, "Admitted")
    assert [request.old_object["spec"]["size"] for request in probe.requests if request.old_object] == [1, 1]


@scenario
async def test_a_plugin_is_called_for_the_writes_that_it_handles(there: World) -> None:
    probe = Probe(operations=["DELETE"])
    plugged = _with_plugins(there, probe)
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

    await _with_plugins(there, Named("first"), Named("second")).create(there.config_maps, config_map("a"))
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
    await _make(there)
    probe = Once(lambda: there.patch(there.widgets, "a", {"metadata": {"labels": {"by": "plugin"}}}))
    changed = await _with_plugins(there, probe).patch(there.widgets, "a", {"spec": {"size": 2}})
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
        probe = Once(lambda: _with_plugins(there, probe).create(_type(there, DEFINITIONS), other, ""))
        async with asyncio.timeout(30):
            await case.act(_with_plugins(there, probe))
        assert there.type("others", "example.com").kind == "Other"

    _run(case, check)


@scenario
async def test_names_that_a_plugin_takes_meanwhile_are_not_given_twice(there: World) -> None:
    rival = definition("rivals", "Gadget")
    probe = Once(lambda: there.create(_type(there, DEFINITIONS), rival, ""))
    made = await _with_plugins(there, probe).create(_type(there, DEFINITIONS), definition("gadgets", "Gadget"), "")
    assert _conditions(made) == {"NamesAccepted": "False", "Established": "False"}
    assert there.type("rivals", "example.com").kind == "Gadget"


@scenario
async def test_a_name_that_a_plugin_gives_a_definition_is_checked_against_the_others(there: World) -> None:
    await _make_gadgets(there)

    def take_kind(obj: Object) -> None:
        obj["spec"]["names"]["kind"] = "Gadget"

    asked = _with_plugins(there, Probe(take_kind))
    made = await asked.create(_type(there, DEFINITIONS), definition("others", "Other"), "")
    assert _conditions(made)["NamesAccepted"] == "False"
