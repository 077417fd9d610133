"""Resource types: what the verbs, discovery and OpenAPI know of one group, version and resource.

Built-in types and custom resources are both declared by a CRD manifest (apiextensions.k8s.io/v1) and become the same
`ResourceType`. It is immutable and shared by all logical clusters that have equal definitions.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import orjson

from kcp.api import documents, jsonpath, protobuf, tables
from kcp.api.kinds import GroupKind, GroupResource, GroupVersionKind
from kcp.api.patch.kubernetes_strategies import with_patch_strategies
from kcp.api.patch.merge_types import MergeType, compile_merge_type
from kcp.registry.types.strategies import CUSTOM_RESOURCE, KUBERNETES_KIND, Strategy
from kcp.schema import CompiledSchema, compile_schema
from kcp.schema.definitions.name_validation import KUBERNETES_GROUPS
from kcp.schema.printer_columns import ComputedColumns, annotation_of, computed_columns

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
DEFAULT_COLUMNS: Final[Sequence[Mapping[str, Any]]] = (
    {
        "name": "Age",
        "type": "date",
        "description": "How long ago the object was created.",
        "jsonPath": ".metadata.creationTimestamp",
    },
)
"""The columns of a version that declares none."""

_TYPES_OF_BUILTIN_COLUMNS: Final = {"Age": "string", "Created At": "date"}
"""An age is computed by the server; a time is left to the client."""


@dataclass(frozen=True)
class Subresource:
    """A subresource of a type, such as ``status``. ``kind`` is None where it takes objects of the parent's kind."""

    name: str
    verbs: tuple[str, ...] = ("get", "patch", "update")
    kind: GroupVersionKind | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    load_type: Callable[[], ResourceType] | None = field(default=None, compare=False)
    """Returns the type of the objects that clients create through it; None where that is the parent's."""


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
    schema_source: Mapping[str, Any] | bytes | None = field(default=None, repr=False)
    """The schema: as it is declared (built-in types), or as compressed JSON, since most custom types are not in use."""
    raw_columns: Sequence[Mapping[str, Any]] = DEFAULT_COLUMNS
    columns_annotation: str = field(default="", repr=False)
    """The annotation that declares computed columns; empty without one."""
    selectable_fields: tuple[SelectableField, ...] = ()
    storage: str = ""
    storage_version: str = ""
    served_versions: tuple[str, ...] = ()
    """The apiVersions in which the objects are served; managedFields entries of other versions are dropped."""
    builtin: bool = False
    placeholder: str = ""
    """The message that refuses writes to a built-in type that is always empty and gives way to a CRD of the same name."""
    terminating: bool = False
    """The definition is being deleted: its objects may be deleted, and none may be created."""
    definition_hash: str = ""
    """Hash of the definition; empty for built-in types."""
    deprecation_warning: str | None = None
    versions: Mapping[str, ResourceType] = field(default_factory=dict, repr=False)
    """All versions of a custom resource by apiVersion, served or not: those that its stored objects may have."""
    conversion_webhook: bool = False
    """The definition converts between versions by a webhook. This server calls none."""
    strategy: Strategy = CUSTOM_RESOURCE

    @cached_property
    def api_version(self) -> str:
        """The ``apiVersion`` of the objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def gvk(self) -> GroupVersionKind:
        """Group, version and kind."""
        return GroupVersionKind(self.group, self.version, self.kind)

    @cached_property
    def resource(self) -> GroupResource:
        """Group and plural, as messages name the resource."""
        return GroupResource(self.group, self.plural)

    @cached_property
    def group_kind(self) -> GroupKind:
        """Group and kind, as messages name the kind."""
        return GroupKind(self.group, self.kind)

    @cached_property
    def stored(self) -> bool:
        """Whether objects are stored. Reviews are answered and not stored."""
        return bool(self.storage)

    @cached_property
    def has_protobuf(self) -> bool:
        """Whether objects have a protobuf encoding: those of built-in types, and of Kubernetes' own kinds that a CRD defines."""
        return self.message is not None

    @cached_property
    def message(self) -> str | None:
        """The name of the protobuf message of the objects; None for those that have none."""
        return protobuf.root(self.api_version, self.kind) if self.of_kubernetes else None

    @cached_property
    def takes_strategic_merge(self) -> bool:
        """Whether strategic merge patches are taken: by built-in types, and by definitions of Kubernetes' own groups.

        ``kubectl rollout``, ``set`` and the controllers of Deployments patch those that way, whether or not a CRD defines them.
        """
        return self.of_kubernetes

    @cached_property
    def of_kubernetes(self) -> bool:
        """Whether the type is built in, or a CRD defines it in one of Kubernetes' own groups."""
        return self.builtin or self.group in KUBERNETES_GROUPS

    @cached_property
    def has_status(self) -> bool:
        """Whether the type has the subresource ``status``."""
        return "status" in self.subresources

    @property
    def declared_schema(self) -> Mapping[str, Any] | None:
        """The schema as the definition has it; None if it has none. That of a custom type is decoded by each call."""
        source = self.schema_source
        if isinstance(source, bytes):
            found: dict[str, Any] = documents.decode_stored(zlib.decompress(source))
            return found
        return source

    @property
    def raw_schema(self) -> dict[str, Any] | None:
        """`declared_schema`; that of a definition of one of Kubernetes' own kinds with the patch strategies of the kind."""
        declared = self.declared_schema
        if declared is None:
            return None
        return with_patch_strategies(declared, self.message) if self.message and not self.builtin else dict(declared)

    @cached_property
    def schema_hash(self) -> str:
        """Hash of the declared schema. Stored beside each value: a reader of the same schema gets the stored bytes."""
        return self._hash_of(self.declared_schema)

    def hash_schema(self, declared: Mapping[str, Any] | None) -> None:
        """Compute `schema_hash`, where it is not known yet, from the declared schema, which the caller has decoded."""
        if "schema_hash" not in self.__dict__:
            self.__dict__["schema_hash"] = self._hash_of(declared)

    def _hash_of(self, declared: Mapping[str, Any] | None) -> str:
        content = orjson.dumps([self.api_version, self.kind, declared], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(content).hexdigest()[:16]

    @cached_property
    def identity(self) -> bytes:
        """Hash of what discovery and OpenAPI show of the type: equal types have equal documents."""
        subresources = [(name, each.verbs, str(each.kind)) for name, each in sorted(self.subresources.items())]
        content = [
            [self.group, self.version, self.kind, self.list_kind, self.plural, self.singular, self.namespaced],
            [self.short_names, self.categories, self.verbs, subresources],
            [self.storage, self.storage_version, self.builtin, self.terminating],
            [selectable.name for selectable in self.selectable_fields],
            self.definition_hash or self.schema_hash,
        ]
        return hashlib.sha256(orjson.dumps(content)).digest()

    @cached_property
    def cannot_be_handled(self) -> str:
        """The start of kube-apiserver's message about a body that it cannot decode."""
        return f'{self.kind} in version "{self.version}" cannot be handled as a {self.kind}: '

    @cached_property
    def stored_as_is(self) -> bool:
        """Whether objects are stored in this version, and under this group."""
        return self.version == self.storage_version and str(self.resource) == self.storage

    @cached_property
    def stored_form(self) -> ResourceType:
        """The version in which objects of this resource are stored."""
        group = self.group
        return self.versions.get(f"{group}/{self.storage_version}" if group else self.storage_version, self)

    @cached_property
    def needs_webhook(self) -> bool:
        """Whether serving this version needs a conversion webhook."""
        return self.conversion_webhook and self.stored_form is not self

    @property
    def convertible_form(self) -> ResourceType:
        """The version that in-process controllers use: this one, unless it needs a conversion webhook."""
        return self.stored_form if self.needs_webhook else self

    @cached_property
    def reading_hash(self) -> str:
        """Hash of all that decides how stored objects are read in this version: caches of what was read have it in their keys."""
        if len(self.versions) < 2:
            return self.schema_hash
        content = [self.schema_hash, self.storage_version, self.conversion_webhook]
        content += sorted(version.schema_hash for version in self.versions.values())
        return hashlib.sha256(orjson.dumps(content)).hexdigest()[:16]

    @cached_property
    def schema(self) -> CompiledSchema:
        """The compiled schema."""
        return compile_schema(self.raw_schema, of_go_type=self.builtin)

    @cached_property
    def merge_type(self) -> MergeType:
        """How objects merge in patches and in applies."""
        return compile_merge_type(self.raw_schema, states_strategies=self.builtin)

    @property
    def is_compiled(self) -> bool:
        """Whether `compile` was called."""
        return "merge_type" in self.__dict__

    def compile(self) -> None:
        """Compute what the first write needs of the whole schema. Thread-safe; takes long for a large schema."""
        self.schema.precompute()
        _ = self.schema_hash, self.merge_type

    @cached_property
    def column_definitions(self) -> list[dict[str, Any]]:
        """The ``columnDefinitions`` of a table. kube-apiserver's built-in types state other types of these two columns."""
        definitions = [column.definition() for column in self.columns]
        if self.builtin:
            for definition in definitions:
                definition["type"] = _TYPES_OF_BUILTIN_COLUMNS.get(definition["name"], definition["type"])
        return definitions

    @cached_property
    def computed_columns(self) -> ComputedColumns | None:
        """The columns that an annotation declares, compiled; None for a type whose columns are JSON paths."""
        if not self.columns_annotation:
            return None
        printed = () if self.raw_columns is DEFAULT_COLUMNS else tables.columns_of(self.raw_columns)
        return computed_columns(self.columns_annotation, self.version, printed)

    @property
    def needs_columns(self) -> bool:
        """Whether the first table has to compile columns, which is work for a thread."""
        return bool(self.columns_annotation) and "computed_columns" not in self.__dict__

    @cached_property
    def columns(self) -> tuple[tables.Column, ...]:
        """The columns of a table; the name comes first, unless a column of the format ``name`` stands for it."""
        computed = self.computed_columns
        declared = tables.columns_of(self.raw_columns) if computed is None else computed.columns
        own_name = any(column.format == "name" and column.name == "Name" for column in declared)
        return declared if own_name else (tables.NAME_COLUMN, *declared)


def schema_of(version: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of a version of a definition."""
    found: Mapping[str, Any] | None = (version.get("schema") or {}).get("openAPIV3Schema")
    return found


def _schema_source(version: Mapping[str, Any], *, builtin: bool) -> Mapping[str, Any] | bytes | None:
    found = schema_of(version)
    return found if builtin or found is None else zlib.compress(orjson.dumps(found), 1)


def _columns(version: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    declared = version.get("additionalPrinterColumns")
    return tuple(declared) if declared else DEFAULT_COLUMNS


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


def _names(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    accepted = (definition.get("status") or {}).get("acceptedNames") or {}
    return {**definition["spec"]["names"], **{key: value for key, value in accepted.items() if value}}


def from_definition(
    definition: Mapping[str, Any],
    *,
    strategy: Strategy | None = None,
    builtin: bool = False,
    definition_hash: str = "",
) -> list[ResourceType]:
    """The resource types of each served version of a CustomResourceDefinition manifest; they know the others as ``versions``.

    ``x-kcp`` beside ``spec`` (built-in types only) declares what a CRD cannot: ``verbs``, further ``subresources``, ``storage``
    (the resource to share storage with; empty for types that are not stored), ``placeholder``.
    """
    spec = definition["spec"]
    names = _names(definition)
    extension = definition.get("x-kcp") or {} if builtin else {}
    group = spec.get("group", "")
    storage_version = next(version["name"] for version in spec["versions"] if version.get("storage"))
    resource = GroupResource(group, names["plural"])
    served = tuple(version["name"] for version in spec["versions"] if version.get("served"))
    metadata = definition.get("metadata") or {}
    versions: dict[str, ResourceType] = {}
    types = [
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
            schema_source=_schema_source(version, builtin=builtin),
            raw_columns=_columns(version),
            columns_annotation="" if builtin else annotation_of(metadata.get("annotations")),
            selectable_fields=_selectable_fields(version),
            storage=extension.get("storage", str(resource)),
            storage_version=storage_version,
            served_versions=() if builtin else tuple(f"{group}/{name}" if group else name for name in served),
            builtin=builtin,
            placeholder=extension.get("placeholder", ""),
            terminating=bool(metadata.get("deletionTimestamp")),
            definition_hash=definition_hash,
            deprecation_warning=_deprecation_warning(version, group, names["kind"]),
            versions=versions,
            conversion_webhook=(spec.get("conversion") or {}).get("strategy") == "Webhook",
            strategy=strategy or _strategy_of_custom(group),
        )
        for version in spec["versions"]
    ]
    if not builtin:
        versions.update((type_.api_version, type_) for type_ in types)
    return [type_ for type_ in types if type_.version in served]


def _strategy_of_custom(group: str) -> Strategy:
    return KUBERNETES_KIND if group in KUBERNETES_GROUPS else CUSTOM_RESOURCE


def _selectable_fields(version: Mapping[str, Any]) -> tuple[SelectableField, ...]:
    paths = [entry["jsonPath"] for entry in version.get("selectableFields") or ()]
    return tuple(SelectableField(path.lstrip("."), jsonpath.simple_path(path)) for path in paths)


def _deprecation_warning(version: Mapping[str, Any], group: str, kind: str) -> str | None:
    if not version.get("deprecated"):
        return None
    return version.get("deprecationWarning") or f"{group}/{version['name']} {kind} is deprecated"
