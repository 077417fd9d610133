"""The built-in types' messages, from their table of field numbers.

Kubernetes' protobuf is the Go structs' second form: proto2 messages whose zero values mean what Go's JSON tags say
(omitted, shown, or told apart by a pointer). The table, ``messages.yaml``, holds just that; it is read with the first
protobuf body, in 7 ms, and each message is compiled when it is first met.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

SCALARS: Final = frozenset({"string", "bytes", "bool", "int32", "int64", "double"})
WELL_KNOWN: Final = frozenset(
    {"time", "micro-time", "quantity", "int-or-string", "json", "strings"}
    | {"schema-or-array", "schema-or-bool", "schema-or-strings"}
)
"""Messages that are something other than an object in JSON."""
INLINE: Final = "<inline>"
"""The field that holds an embedded Go struct: its fields are its owner's in JSON."""

_ROOTS: Final = {
    "v1": (
        "core",
        ("Namespace", "ConfigMap", "Secret", "Event", "LimitRange", "ResourceQuota", "ServiceAccount"),
    ),
    "events.k8s.io/v1": ("events", ("Event",)),
    "coordination.k8s.io/v1": ("coordination", ("Lease",)),
    "rbac.authorization.k8s.io/v1": ("rbac", ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")),
    "apiextensions.k8s.io/v1": ("apiextensions", ("CustomResourceDefinition",)),
    "admissionregistration.k8s.io/v1": (
        "admissionregistration",
        (
            "ValidatingWebhookConfiguration",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        ),
    ),
    "authentication.k8s.io/v1": ("authentication", ("TokenReview", "SelfSubjectReview", "TokenRequest")),
    "authorization.k8s.io/v1": (
        "authorization",
        ("SubjectAccessReview", "LocalSubjectAccessReview", "SelfSubjectAccessReview", "SelfSubjectRulesReview"),
    ),
    "certificates.k8s.io/v1": ("certificates", ("CertificateSigningRequest",)),
    "apiregistration.k8s.io/v1": ("apiregistration", ("APIService",)),
    "autoscaling/v1": ("autoscaling", ("Scale",)),
}
_EVERYWHERE: Final = ("DeleteOptions", "Status", "APIVersions", "APIGroupList", "APIGroup", "APIResourceList")
"""Kinds of meta/v1 that are sent as any group's, or as none's."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name in JSON, its type, and what its zero value means."""

    number: int
    name: str
    type: str
    repeated: bool = False
    mapped: bool = False
    optional: bool = False
    always: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A message's fields by number and by name; ``always`` are those that JSON shows though they be zero."""

    name: str
    by_number: dict[int, Field]
    by_name: dict[str, Field]
    always: tuple[Field, ...] = field(default=())


@cache
def message(name: str) -> Message:
    """The message of a qualified name, such as ``core.ConfigMap``. Raises KeyError for one that is not in the table."""
    group, _, short = name.partition(".")
    fields = [_field(label, words, group) for label, words in _table()[group][short].items()]
    return Message(
        name,
        {entry.number: entry for entry in fields},
        {entry.name: entry for entry in fields},
        tuple(entry for entry in fields if entry.always and entry.type in SCALARS),
    )


def root(api_version: str, kind: str) -> str | None:
    """The message of an object's kind; None where there is none."""
    if kind in _EVERYWHERE:
        return f"meta.{kind}"
    group, kinds = _ROOTS.get(api_version, ("", ()))
    return f"{group}.{kind}" if kind in kinds else None


def roots() -> list[tuple[str, str, str]]:
    """Every (apiVersion, kind, message) that there is."""
    found = [(version, kind, f"{group}.{kind}") for version, (group, kinds) in _ROOTS.items() for kind in kinds]
    return found + [("v1", kind, f"meta.{kind}") for kind in _EVERYWHERE]


def _field(name: str, text: str, group: str) -> Field:
    number, *labels, type_ = text.split()
    if type_ not in SCALARS and type_ not in WELL_KNOWN and "." not in type_:
        type_ = f"{group}.{type_}"
    return Field(
        int(number),
        name,
        type_,
        repeated="repeated" in labels,
        mapped="map" in labels,
        optional="optional" in labels,
        always="always" in labels,
    )


@cache
def _table() -> dict[str, dict[str, dict[str, str]]]:
    content = resources.files(__package__).joinpath("messages.yaml").read_bytes()
    loaded: dict[str, Any] = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return loaded
