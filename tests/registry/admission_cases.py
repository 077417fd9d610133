"""A probe of the admission chain, and a table of the writes that plugins must see."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kcp.api import errors
from kcp.registry.admission.chain import AdmissionPlugin, AdmissionRequest, Chain
from kcp.registry.requests import DeleteOptions, ListOptions, Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import patching
from kcp.registry.verbs.registry import Registry
from tests.support.objects import config_map, definition, widget
from tests.support.registry_client import Object, RegistryClient

DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
SIGNING_REQUESTS = ("certificates.k8s.io", "certificatesigningrequests")


class Seen(NamedTuple):
    """A recorded call of the plugin."""

    operation: str
    subresource: str
    kind: str
    name: str
    old_name: str


@dataclass
class Probe:
    """A plugin that records its calls, and may change or refuse the write."""

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


def with_plugins(client: RegistryClient, *plugins: AdmissionPlugin) -> RegistryClient:
    registry = client.registry
    return RegistryClient(Registry(registry.store, registry.catalog, Chain(plugins)), client.cluster)


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


def label(obj: Object) -> None:
    obj["metadata"].setdefault("labels", {})["admitted"] = "yes"


def labelled(obj: Object) -> bool:
    return (obj["metadata"].get("labels") or {}).get("admitted") == "yes"


def _resize(scale: Object) -> None:
    scale["spec"] = {"replicas": 9}


def _set_phase(obj: Object) -> None:
    obj["status"]["phase"] = "Admitted"


def _admit_condition(obj: Object) -> None:
    obj["status"]["conditions"][0]["reason"] = "Admitted"


Act = Callable[[RegistryClient], Awaitable[Any]]


@dataclass
class Case:
    """A write: its preparation ``before``, the write itself, what plugins must see, and the result of a plugin's change."""

    name: str
    act: Act
    seen: Sequence[Seen]
    before: Sequence[Act] = ()
    change: Callable[[Object], None] | None = label
    landed: Callable[[Object], bool] = labelled
    stored: tuple[tuple[str, str], str] = (("example.com", "widgets"), "a")
    """Type and name of what is stored."""


async def make_widget(client: RegistryClient) -> None:
    await client.create(client.widgets, widget("a"))


async def _make_map(client: RegistryClient) -> None:
    await client.create(client.config_maps, config_map("a"))


async def _make_held(client: RegistryClient) -> None:
    await client.create(client.widgets, widget("a", finalizers=["example.com/hold"]))


async def _make_other(client: RegistryClient) -> None:
    await client.create(client.widgets, widget("b"))


async def _make_team(client: RegistryClient) -> None:
    await client.create(client.type("namespaces"), {"metadata": {"name": "team"}}, "")


async def _make_signing_request(client: RegistryClient) -> None:
    await client.create(type_at(client, SIGNING_REQUESTS), _signing_request(), "")


async def make_gadgets(client: RegistryClient) -> None:
    await client.create(type_at(client, DEFINITIONS), definition("gadgets", "Gadget"), "")


def type_at(client: RegistryClient, resource: tuple[str, str]) -> ResourceType:
    return client.type(resource[1], resource[0])


async def _replace(client: RegistryClient) -> None:
    present = await client.get(client.widgets, "a")
    present["spec"]["size"] = 2
    await client.update(client.widgets, present)


async def _replace_status(client: RegistryClient) -> None:
    present = await client.get(client.widgets, "a")
    await client.update(client.widgets, dict(present, status={"phase": "Sent"}), "status")


async def _replace_scale(client: RegistryClient) -> None:
    present = await client.get(client.widgets, "a", subresource="scale")
    await client.update(client.widgets, dict(present, spec={"replicas": 2}), "scale")


async def _finalize(client: RegistryClient) -> None:
    present = await client.get(client.type("namespaces"), "team")
    present["spec"]["finalizers"] = ["kubernetes", "example.com/hold"]
    await client.update(client.type("namespaces"), present, "finalize")


async def _approve(client: RegistryClient) -> None:
    type_ = type_at(client, SIGNING_REQUESTS)
    present = await client.get(type_, "csr")
    present["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
    await client.update(type_, present, "approval")


async def _delete_collection(client: RegistryClient) -> None:
    await client.registry.delete_collection(
        client.context(), Target(client.widgets, "default"), DeleteOptions(), ListOptions()
    )


def _patch(body: Any, media_type: str = patching.MERGE_PATCH, **more: Any) -> Act:
    return lambda client: client.patch(client.widgets, "a", body, media_type, **more)


def _apply(obj: Object, **more: Any) -> Act:
    return lambda client: client.apply(client.widgets, obj, force=True, **more)


async def _replace_definition(client: RegistryClient) -> None:
    present = await client.get(type_at(client, DEFINITIONS), "gadgets.example.com")
    present["spec"]["names"]["shortNames"] = ["gd"]
    await client.update(type_at(client, DEFINITIONS), present)


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
    Case("create", make_widget, [CREATED]),
    Case("replace", _replace, [UPDATED], [make_widget]),
    Case(
        "replace that creates",
        lambda client: client.update(client.type("leases", "coordination.k8s.io"), _lease()),
        [Seen("CREATE", "", "Lease", "a", "-")],
        stored=(("coordination.k8s.io", "leases"), "a"),
    ),
    Case(
        "JSON patch",
        _patch([{"op": "replace", "path": "/spec/size", "value": 2}], patching.JSON_PATCH),
        [UPDATED],
        [make_widget],
    ),
    Case("merge patch", _patch({"spec": {"size": 2}}), [UPDATED], [make_widget]),
    Case(
        "strategic merge patch",
        lambda client: client.patch(client.config_maps, "a", {"data": {"b": "2"}}, patching.STRATEGIC_MERGE_PATCH),
        [Seen("UPDATE", "", "ConfigMap", "a", "a")],
        [_make_map],
        stored=(("", "configmaps"), "a"),
    ),
    Case("apply", _apply(widget("a", 2)), [UPDATED], [make_widget]),
    Case("apply that creates", _apply(widget("a", 2)), [CREATED]),
    Case("replace of the status", _replace_status, [STATUS], [make_widget], _set_phase, _phase_landed),
    Case(
        "patch of the status",
        _patch({"status": {"phase": "Sent"}}, subresource="status"),
        [STATUS],
        [make_widget],
        _set_phase,
        _phase_landed,
    ),
    Case(
        "apply of the status",
        _apply({**widget("a"), "spec": {}, "status": {"phase": "Sent"}}, subresource="status"),
        [STATUS],
        [make_widget],
        _set_phase,
        _phase_landed,
    ),
    Case("replace of the scale", _replace_scale, [SCALED], [make_widget], _resize, _size_landed),
    Case(
        "patch of the scale",
        _patch({"spec": {"replicas": 2}}, subresource="scale"),
        [SCALED],
        [make_widget],
        _resize,
        _size_landed,
    ),
    Case("apply of the scale", _apply(_scale(2), subresource="scale"), [SCALED], [make_widget], _resize, _size_landed),
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
    Case("create of a definition", make_gadgets, [_definition_seen("CREATE")], stored=(DEFINITIONS, GADGETS)),
    Case(
        "replace of a definition",
        _replace_definition,
        [_definition_seen("UPDATE")],
        [make_gadgets],
        stored=(DEFINITIONS, GADGETS),
    ),
]
DELETING = [
    Case("delete", lambda client: client.delete(client.widgets, "a"), [DELETED], [make_widget]),
    Case("delete of a held object", lambda client: client.delete(client.widgets, "a"), [DELETED], [_make_held]),
    Case(
        "deletecollection",
        _delete_collection,
        [DELETED, Seen("DELETE", "", "Widget", "-", "b")],
        [make_widget, _make_other],
    ),
    Case(
        "delete of a definition",
        lambda client: client.delete(type_at(client, DEFINITIONS), GADGETS, ""),
        [_definition_seen("DELETE")],
        [make_gadgets],
    ),
]
