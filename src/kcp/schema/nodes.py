"""One place of a schema, read once and lazily.

A real object uses a small part of a large schema, so a node reads its keywords when it is first met, and its functions
(pruning, defaulting, checking) are made when first called; a schema of 20,000 nodes costs nothing until then. ``$ref`` into
the root's ``$defs`` resolves to one shared node, so recursive schemas are finite.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

from kcp.schema.formats import effective_format

Raw = dict[str, Any]
META_FIELDS: Final = ("apiVersion", "kind", "metadata")
_REFERENCE: Final = "#/$defs/"
_DESCRIPTIVE: Final = frozenset({"$ref", "description", "title", "example", "externalDocs"})


class Scope:
    """The ``$defs`` that the nodes of one schema share."""

    def __init__(self, definitions: Raw) -> None:
        self.definitions = definitions
        self._shared: dict[str, SchemaNode] = {}

    def node(self, raw: Raw) -> "SchemaNode":
        """The node of a raw schema. Raises ValueError when its ``$ref`` leads nowhere."""
        reference = raw.get("$ref")
        if not isinstance(reference, str):
            return SchemaNode(raw, self)
        name = reference.removeprefix(_REFERENCE)
        target = self.definitions.get(name)
        if not isinstance(target, dict):
            raise ValueError(f"schema reference {reference} cannot be resolved")
        if raw.keys() - _DESCRIPTIVE:
            return self.node({**target, **{key: value for key, value in raw.items() if key != "$ref"}})
        shared = self._shared.get(name)
        if shared is None:
            shared = self._shared[name] = self.node(target)
        return shared


class SchemaNode:
    """A schema's keywords at one place, with its child nodes."""

    def __init__(self, raw: Raw, scope: Scope) -> None:
        self.raw = raw
        self.scope = scope
        self.is_root = False
        self._properties: dict[str, SchemaNode] = {}
        self.functions: dict[str, Callable[..., Any]] = {}
        self.rules: Any = None  # what kcp.schema.validation_rules made of x-kubernetes-validations here
        self.has_rules: bool | None = None

    @cached_property
    def int_or_string(self) -> bool:
        return self.raw.get("x-kubernetes-int-or-string") is True

    @cached_property
    def types(self) -> tuple[str, ...]:
        if self.int_or_string:
            return ("integer", "string")
        kind = self.raw.get("type")
        return (kind,) if isinstance(kind, str) and kind else ()

    @cached_property
    def nullable(self) -> bool:
        return self.raw.get("nullable") is True

    @cached_property
    def accepts_null(self) -> bool:
        """Whether null passes the type check (enums are another matter)."""
        return self.nullable or not self.types

    @cached_property
    def format(self) -> str:
        name = self.raw.get("format")
        return effective_format(self.types, name) if isinstance(name, str) else ""

    @cached_property
    def preserves_unknown(self) -> bool:
        return self.raw.get("x-kubernetes-preserve-unknown-fields") is True

    @cached_property
    def embedded(self) -> bool:
        return self.raw.get("x-kubernetes-embedded-resource") is True

    @cached_property
    def property_schemas(self) -> Raw:
        found = self.raw.get("properties")
        return found if isinstance(found, dict) else {}

    def property(self, name: str) -> "SchemaNode":
        """The child node of a declared property."""
        node = self._properties.get(name)
        if node is None:
            node = self._properties[name] = self.scope.node(self.property_schemas[name])
        return node

    def default_of(self, name: str) -> Any:
        """The default of a declared property; None when there is none."""
        raw = self.property_schemas[name]
        return self.property(name).raw.get("default") if "$ref" in raw else raw.get("default")

    @cached_property
    def items(self) -> "SchemaNode | None":
        return self._child("items")

    @cached_property
    def additional(self) -> "SchemaNode | None":
        return self._child("additionalProperties")

    @cached_property
    def has_additional(self) -> bool:
        """Whether undeclared properties are declared as such (``true`` or a schema)."""
        return isinstance(self.raw.get("additionalProperties"), dict) or self.raw.get("additionalProperties") is True

    @cached_property
    def forbids_additional(self) -> bool:
        return self.raw.get("additionalProperties") is False

    def child_for(self, key: str) -> "SchemaNode | None":
        """The node that describes the value at a key, if any does."""
        return self.property(key) if key in self.property_schemas else self.additional

    @cached_property
    def negated(self) -> "SchemaNode | None":
        return self._child("not")

    def alternatives(self, keyword: str) -> "list[SchemaNode]":
        """The nodes of ``allOf``, ``anyOf`` or ``oneOf``."""
        found = self.raw.get(keyword)
        return [self.scope.node(raw) for raw in found if isinstance(raw, dict)] if isinstance(found, list) else []

    @cached_property
    def all_of(self) -> "list[SchemaNode]":
        return self.alternatives("allOf")

    @cached_property
    def any_of(self) -> "list[SchemaNode]":
        return self.alternatives("anyOf")

    @cached_property
    def one_of(self) -> "list[SchemaNode]":
        return self.alternatives("oneOf")

    @cached_property
    def list_type(self) -> str:
        found = self.raw.get("x-kubernetes-list-type")
        return found if isinstance(found, str) else ""

    @cached_property
    def list_keys(self) -> tuple[str, ...]:
        return self._strings("x-kubernetes-list-map-keys")

    @cached_property
    def enum(self) -> list[Any]:
        found = self.raw.get("enum")
        return found if isinstance(found, list) else []

    @cached_property
    def required(self) -> tuple[str, ...]:
        return self._strings("required")

    def limit(self, keyword: str) -> int | float | None:
        """The number under a keyword such as ``maximum``."""
        found = self.raw.get(keyword)
        return found if type(found) is int or type(found) is float else None

    def count(self, keyword: str) -> int | None:
        """The number under a keyword such as ``maxLength``, which counts something."""
        found = self.limit(keyword)
        return int(found) if found is not None else None

    @cached_property
    def pattern(self) -> str:
        found = self.raw.get("pattern")
        return found if isinstance(found, str) else ""

    def _strings(self, keyword: str) -> tuple[str, ...]:
        found = self.raw.get(keyword)
        return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()

    def _child(self, keyword: str) -> "SchemaNode | None":
        raw = self.raw.get(keyword)
        return self.scope.node(raw) if isinstance(raw, dict) else None


def root_node(raw: Raw) -> SchemaNode:
    """The root of a schema; its ``apiVersion``, ``kind`` and ``metadata`` are implied."""
    node = Scope(raw.get("$defs") or {}).node({key: value for key, value in raw.items() if key != "$defs"})
    root = SchemaNode(
        node.raw, node.scope
    )  # one of its own: a root that is itself a reference must not mark the shared node
    root.is_root = True
    return root
