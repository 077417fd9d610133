"""A resource type: all that the verbs, discovery and OpenAPI need to know of one group, version and resource.

Built-in types and CustomResourceDefinitions become the same thing here; both are declared in the shape of a CRD manifest
(apiextensions.k8s.io/v1). A resource type is immutable and shared by all logical clusters that have equal definitions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import orjson

from kcp.api import jsonpath, protobuf, tables
from kcp.api.kinds import GroupKind, GroupResource, GroupVersion, GroupVersionKind
from kcp.api.patch.merge_types import MergeType, compile_merge_type
from kcp.registry.types.strategies import CUSTOM_RESOURCE, Strategy
from kcp.schema import CompiledSchema, compile_schema

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_DEFAULT_COLUMN: Final = {
    "name": "Age",
    "type": "date",
    "description": "How long ago the object was created.",
    "jsonPath": ".metadata.creationTimestamp",
}


@dataclass(frozen=True)
class Subresource:
    """A part of an object with a URL of its own. The kind is the parent's where group, version and kind are empty."""

    name: str
    verbs: tuple[str, ...] = ("get", "patch", "update")
    kind: GroupVersionKind | None = None
    paths: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SelectableField:
    """A field that a field selector may name."""

    name: str
    path: jsonpath.SimplePath


@dataclass(frozen=True, eq=False)
class ResourceType:
    """One served version of a resource. Compared by identity."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    list_kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    raw_schema: Mapping[str, Any] | None = None
    raw_columns: Sequence[Mapping[str, Any]] = (_DEFAULT_COLUMN,)
    selectable_fields: tuple[SelectableField, ...] = ()
    storage: str = ""
    storage_version: str = ""
    served_versions: tuple[str, ...] = ()
    """The apiVersions in which the objects are served; field managers of others are forgotten."""
    builtin: bool = False
    placeholder: str = ""
    """Words for those who would write: a built-in list that is always empty, and steps back for a custom type of its name."""
    terminating: bool = False
    """The definition is being deleted: objects go, and none comes."""
    content: str = ""
    """A word for all that the definition says, the same as long as that is the same; empty for built-in types."""
    deprecation_warning: str | None = None
    strategy: Strategy = CUSTOM_RESOURCE
    extension: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def group_version(self) -> GroupVersion:
        return GroupVersion(self.group, self.version)

    @cached_property
    def gvk(self) -> GroupVersionKind:
        return GroupVersionKind(self.group, self.version, self.kind)

    @cached_property
    def resource(self) -> GroupResource:
        return GroupResource(self.group, self.plural)

    @cached_property
    def group_kind(self) -> GroupKind:
        return GroupKind(self.group, self.kind)

    @cached_property
    def stored(self) -> bool:
        """Objects are kept; reviews are only answered."""
        return bool(self.storage)

    @cached_property
    def has_protobuf(self) -> bool:
        """Objects can be shown as Kubernetes protobuf: those of built-in types can, custom resources have no such form."""
        return self.builtin and protobuf.known(self.api_version, self.kind)

    @cached_property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @cached_property
    def tag(self) -> str:
        """A word for this type's schema; stored beside each value, so that a read knows whether the bytes are as served."""
        content = orjson.dumps([self.api_version, self.kind, self.raw_schema], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(content).hexdigest()[:16]

    @cached_property
    def schema(self) -> CompiledSchema:
        return compile_schema(dict(self.raw_schema) if self.raw_schema is not None else None)

    @cached_property
    def merge_type(self) -> MergeType:
        return compile_merge_type(dict(self.raw_schema) if self.raw_schema is not None else None)

    @cached_property
    def columns(self) -> tuple[tables.Column, ...]:
        """The columns of a table, the name's first."""
        declared = tables.columns_of(self.raw_columns)
        own_name = any(column.format == "name" for column in declared)
        return declared if own_name else (tables.NAME_COLUMN, *declared)


def _columns(version: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    declared = version.get("additionalPrinterColumns")
    return tuple(declared) if declared else (_DEFAULT_COLUMN,)


def _subresources(version: Mapping[str, Any], extension: Mapping[str, Any]) -> dict[str, Subresource]:
    declared = version.get("subresources") or {}
    found: dict[str, Subresource] = {}
    if declared.get("status") is not None:
        found["status"] = Subresource("status")
    if scale := declared.get("scale"):
        found["scale"] = Subresource("scale", kind=GroupVersionKind("autoscaling", "v1", "Scale"), paths=scale)
    for name, more in (extension.get("subresources") or {}).items():
        kind = more.get("kind")
        verbs = tuple(more.get("verbs") or ("get", "patch", "update"))
        found[name] = Subresource(name, verbs, GroupVersionKind(more["group"], more["version"], kind) if kind else None)
    return found


def from_definition(
    definition: Mapping[str, Any], *, strategy: Strategy = CUSTOM_RESOURCE, builtin: bool = False, content: str = ""
) -> list[ResourceType]:
    """The resource types of each served version of a CustomResourceDefinition manifest.

    ``x-kcp`` beside ``spec`` (built-in types only) says what a CRD cannot: ``verbs``, further ``subresources``, ``storage``
    (the ``resource`` to share storage with; empty for types that are not stored), ``placeholder``.
    """
    spec = definition["spec"]
    accepted = (definition.get("status") or {}).get("acceptedNames") or {}
    names = {**spec["names"], **{key: value for key, value in accepted.items() if value}}
    extension = definition.get("x-kcp") or {} if builtin else {}
    group = spec.get("group", "")
    storage_version = next(version["name"] for version in spec["versions"] if version.get("storage"))
    resource = GroupResource(group, names["plural"])
    served = tuple(version["name"] for version in spec["versions"] if version.get("served"))
    types = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        warning = None
        if version.get("deprecated"):
            kind = names["kind"]
            warning = version.get("deprecationWarning") or f"{group}/{version['name']} {kind} is deprecated"
        types.append(
            ResourceType(
                group=group,
                version=version["name"],
                plural=names["plural"],
                singular=names.get("singular") or names["kind"].lower(),
                kind=names["kind"],
                list_kind=names.get("listKind") or names["kind"] + "List",
                namespaced=spec["scope"] == "Namespaced",
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                verbs=tuple(extension.get("verbs") or ALL_VERBS),
                subresources=_subresources(version, extension),
                raw_schema=(version.get("schema") or {}).get("openAPIV3Schema"),
                raw_columns=_columns(version),
                selectable_fields=tuple(
                    SelectableField(entry["jsonPath"].lstrip("."), jsonpath.simple_path(entry["jsonPath"]))
                    for entry in version.get("selectableFields") or ()
                ),
                storage=extension.get("storage", str(resource)),
                storage_version=storage_version,
                served_versions=() if builtin else tuple(f"{group}/{name}" if group else name for name in served),
                builtin=builtin,
                placeholder=extension.get("placeholder", ""),
                terminating=bool((definition.get("metadata") or {}).get("deletionTimestamp")),
                content=content,
                deprecation_warning=warning,
                strategy=strategy,
                extension=extension,
            )
        )
    return types
