"""The part of OpenAPI documents that one resource type adds, encoded; documents are joined from such fragments.

After a change of a CustomResourceDefinition only its own fragment is built again.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from kcp.registry.documents.openapi import swagger_protobuf, v3_protobuf
from kcp.registry.documents.openapi.definition_names import package_of
from kcp.registry.documents.openapi.operations import group_version_operation, operations, path_items
from kcp.registry.documents.openapi.shared import published, shared
from kcp.registry.documents.packing import PackedParts
from kcp.schema.openapi import (
    LOCAL_PREFIX,
    V2_PREFIX,
    V3_PREFIX,
    publish_root,
    publish_v2,
    publish_v3,
    type_meta,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kcp.registry.types.resource_types import ResourceType

V3: Final = "v3"
V3_PROTOBUF: Final = "v3 as protobuf"
SWAGGER: Final = "swagger"
PROTOBUF: Final = "swagger as protobuf"
FORMS: Final = (V3, V3_PROTOBUF, SWAGGER, PROTOBUF)
_SWAGGER: Final = frozenset({SWAGGER, PROTOBUF})

_ALWAYS_SHARED: Final = frozenset(
    {
        "Condition", "DeleteOptions", "Duration", "FieldSelectorRequirement", "FieldsV1", "IntOrString", "LabelSelector",
        "LabelSelectorRequirement", "ListMeta", "ManagedFieldsEntry", "MicroTime", "ObjectMeta", "OwnerReference",
        "Preconditions", "Quantity", "RawExtension", "Time",
    }
)  # fmt: skip
"""Local definitions of these names are replaced by the shared ones."""


class TypeFragment(NamedTuple):
    """Encoded entries: ``definitions`` by name, ``paths`` ready to be joined, and the shared definitions that they refer to."""

    definitions: Mapping[str, bytes]
    paths: Sequence[bytes]
    references: frozenset[str]

    def pack(self) -> PackedFragment:
        """Compress the fragment."""
        parts = PackedParts.of([*self.definitions.values(), *self.paths])
        return PackedFragment(tuple(self.definitions), parts, self.references)


class PackedFragment(NamedTuple):
    """A `TypeFragment` with its entries compressed: ``parts`` are the definitions of these ``names``, then the paths."""

    names: tuple[str, ...]
    parts: PackedParts
    references: frozenset[str]

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.parts.size + sum(map(len, self.names)) + 1024

    def unpack(self) -> TypeFragment:
        """Decompress the fragment."""
        parts = self.parts.unpack()
        definitions = dict(zip(self.names, parts, strict=False))
        return TypeFragment(definitions, list(parts), self.references)


def _local_definitions(type_: ResourceType) -> Mapping[str, Any]:
    """The ``$defs`` of a schema, which those of built-in types have."""
    found: Mapping[str, Any] | None = (type_.raw_schema or {}).get("$defs") if type_.builtin else None
    return found or {}


def qualified_names(types: Iterable[ResourceType]) -> frozenset[str]:
    """Names of local definitions that mean different things in types of one group version.

    These are published with the kind before them; all others are one definition, as in Kubernetes.
    """
    seen: dict[str, Any] = {}
    kinds: set[str] = set()
    clashing: set[str] = set()
    for type_ in types:
        kinds.update((type_.kind, type_.list_kind))
        for name, schema in _local_definitions(type_).items():
            if seen.setdefault(name, schema) != schema:
                clashing.add(name)
    return frozenset(clashing | (kinds & seen.keys()))


def build(type_: ResourceType, qualified: frozenset[str], form: str) -> TypeFragment:
    """The fragment of a type in one of `FORMS`."""
    swagger = form in _SWAGGER
    builder = _Definitions(type_, qualified, swagger=swagger)
    definitions = builder.all()
    found = operations(type_)
    table = shared().definitions
    for operation in found:
        builder.references.update(name for name in (operation.body, operation.answer) if name in table)
    items = path_items(found, swagger=swagger)
    return TypeFragment(
        {name: _definition(name, schema, form) for name, schema in definitions.items()},
        [_path(path, item, form) for path, item in items.items()],
        frozenset(builder.references - definitions.keys()),
    )


@cache
def shared_fragment(name: str, form: str) -> tuple[bytes, frozenset[str]]:
    """A shared definition, encoded, and the names of those that it refers to."""
    schema = published(name, swagger=form in _SWAGGER)
    return _definition(name, schema, form), frozenset(_references_in(schema))


def group_version_path(group: str, version: str, form: str) -> bytes:
    """The path of a group version's own discovery document."""
    operation = group_version_operation(group, version)
    ((path, item),) = path_items([operation], swagger=form in _SWAGGER).items()
    return _path(path, item, form)


def with_shared(definitions: Mapping[str, bytes], references: Iterable[str], form: str) -> list[bytes]:
    """Definitions in the order of their names, completed by the shared ones that they need."""
    complete = dict(definitions)
    waiting = [name for name in references if name not in complete]
    while waiting:
        name = waiting.pop()
        if name not in complete:
            complete[name], more = shared_fragment(name, form)
            waiting.extend(more)
    return [complete[name] for name in sorted(complete)]


def _definition(name: str, schema: Mapping[str, Any], form: str) -> bytes:
    if form == PROTOBUF:
        return swagger_protobuf.definition(name, schema)
    if form == V3_PROTOBUF:
        return v3_protobuf.definition(name, schema)
    return orjson.dumps(name) + b":" + orjson.dumps(schema)


def _path(path: str, item: Mapping[str, Any], form: str) -> bytes:
    if form == PROTOBUF:
        return swagger_protobuf.path(path, item)
    if form == V3_PROTOBUF:
        return v3_protobuf.path(path, item)
    return orjson.dumps(path) + b":" + orjson.dumps(item)


def _references_in(schema: Any) -> Iterable[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(V3_PREFIX).removeprefix(V2_PREFIX)
            else:
                yield from _references_in(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references_in(value)


def _any_value(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Drop properties from a definition without a type, which allows several: clients would insist on an object."""
    if "type" in schema or "$ref" in schema:
        return schema
    return {key: value for key, value in schema.items() if key not in ("items", "properties", "required")}


class _Definitions:
    def __init__(self, type_: ResourceType, qualified: frozenset[str], *, swagger: bool) -> None:
        self._type = type_
        self._qualified = qualified
        self._swagger = swagger
        self._package = package_of(type_)
        self._prefix = V2_PREFIX if swagger else V3_PREFIX
        self._locals = _local_definitions(type_)
        self.references: set[str] = set()

    def all(self) -> dict[str, dict[str, Any]]:
        type_ = self._type
        found = {f"{self._package}.{type_.kind}": self._root()}
        if "list" in type_.verbs:
            found[f"{self._package}.{type_.list_kind}"] = self._list()
        publish = publish_v2 if self._swagger else publish_v3
        for name, schema in self._locals.items():
            if name not in _ALWAYS_SHARED:
                found[self._name(name)] = publish(_any_value(schema), self._name)
        return found

    def _name(self, local: str) -> str:
        if local in self._locals and local not in _ALWAYS_SHARED:
            kind = self._type.kind if local in self._qualified else ""
            return f"{self._package}.{kind}{local}"
        full = shared().names.get(local)
        if full is None:
            raise ValueError(f"{self._package}.{self._type.kind}: {LOCAL_PREFIX}{local} is defined nowhere")
        self.references.add(full)
        return full

    def _root(self) -> dict[str, Any]:
        root = publish_root(self._type.raw_schema, self._name, swagger=self._swagger)
        return self._marked(root, self._type.kind)

    def _list(self) -> dict[str, Any]:
        type_ = self._type
        metadata = {"$ref": self._prefix + self._name("ListMeta")}
        described = {"description": "Metadata of the list: its resource version, and the token of the next page."}
        schema = {
            "description": f"{type_.list_kind} is a list of {type_.kind}",
            "type": "object",
            "required": ["items"],
            "properties": {
                **type_meta(),
                "metadata": {**metadata, **described} if self._swagger else {"allOf": [metadata], **described},
                "items": {
                    "type": "array",
                    "description": f"The {type_.plural}.",
                    "items": {"$ref": f"{self._prefix}{self._package}.{type_.kind}"},
                },
            },
        }
        return self._marked(schema, type_.list_kind)

    def _marked(self, schema: dict[str, Any], kind: str) -> dict[str, Any]:
        type_ = self._type
        schema["x-kubernetes-group-version-kind"] = [{"group": type_.group, "version": type_.version, "kind": kind}]
        if type_.selectable_fields and not self._swagger:
            fields = [{"fieldPath": field.name} for field in type_.selectable_fields]
            schema["x-kubernetes-selectable-fields"] = fields
        return schema
