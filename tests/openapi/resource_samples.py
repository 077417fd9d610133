"""Resource types for the tests: the built-in ones, and a custom one with every kind of schema."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from kcp.builtin.loader import load_types
from kcp.builtin.registration import declare
from kcp.registry.types.resource_types import ResourceType, from_definition
from tests.support import objects

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDGET_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A widget.",
    "required": ["spec"],
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "required": ["size", "note"],
            "properties": {
                "size": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 2.5, "exclusiveMaximum": True},
                "note": {"type": "string", "nullable": True, "maxLength": 10},
                "port": {"x-kubernetes-int-or-string": True},
                "free": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": True,
                    "properties": {"a": {"type": "string"}},
                },
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "properties": {"x": {"type": "string"}},
                },
                "anything": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
                "list": {
                    "type": "array",
                    "minItems": 1,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string", "default": "x"}},
                    },
                },
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "flags": {"type": "object", "additionalProperties": True},
                "choice": {"type": "string", "enum": ["a", "b\x7f", "ü\u2028"], "pattern": "^.*$"},
                "either": {
                    "type": "object",
                    "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                    "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
                    "not": {"properties": {"a": {"enum": ["c"]}}},
                },
                "ruled": {
                    "type": "integer",
                    "x-kubernetes-validations": [{"rule": "self > 0", "message": "must be positive"}],
                },
                "documented": {"type": "string", "externalDocs": {"url": "https://example.com"}, "example": {"a": [1]}},
            },
        },
    },
}


def definition(kind: str, group: str = "example.com", schema: Any = WIDGET_SCHEMA, **version: Any) -> dict[str, Any]:
    """A CustomResourceDefinition of one version; without a schema where that is None."""
    if schema is None:
        version = {"schema": {}, **version}
    return objects.definition(f"{kind.lower()}s", kind, group=group, schema=schema, version=version)


def custom(kind: str, group: str = "example.com", schema: Any = WIDGET_SCHEMA, **version: Any) -> ResourceType:
    """A custom resource type."""
    (type_,) = from_definition(definition(kind, group, schema, **version))
    return type_


def widget() -> ResourceType:
    """A custom resource type with status and scale."""
    return custom("Widget", subresources={"status": {}, "scale": {"specReplicasPath": ".spec.size"}})


def declared(kind: str, group: str, local: dict[str, Any], **spec: Any) -> ResourceType:
    """A built-in type whose spec is its local definition ``Spec``."""
    schema = {"type": "object", "properties": {"spec": {"$ref": "#/$defs/Spec"}}, "$defs": local}
    body = definition(kind, group, schema)
    body["spec"].update(spec)
    (type_,) = from_definition(body, builtin=True)
    return type_


@cache
def builtin() -> tuple[ResourceType, ...]:
    """All built-in types."""
    found: list[ResourceType] = []
    declare()
    for entry in load_types():
        found.extend(from_definition({"metadata": {}, **entry.definition}, builtin=True))
    return tuple(found)


def references(value: Any) -> Iterator[str]:
    """The targets of all references in a document (a *property* may be called ``$ref``, too)."""
    if isinstance(value, dict):
        for key, child in value.items():
            if key == "$ref" and isinstance(child, str):
                yield child
            else:
                yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)
