"""Schema nodes, which are read lazily.

An object uses a small part of a large schema, so a node reads its keywords on first use, and makes its functions (pruning,
defaulting, validation) when they are first called. A ``$ref`` into the root's ``$defs`` resolves to one shared node, so recursive
schemas are finite.
"""

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, Final

from kcp.schema.error_limits import supported_values
from kcp.schema.formats import StringCheck, effective_format, string_check
from kcp.schema.value_predicates import enum_identity

Raw = dict[str, Any]
META_FIELDS: Final = ("apiVersion", "kind", "metadata")
_REFERENCE: Final = "#/$defs/"
_NESTING: Final = frozenset({"properties", "items", "additionalProperties", "$ref"})
_DESCRIPTIVE: Final = frozenset({"$ref", "description", "title", "example", "externalDocs"})


class Scope:
    """The ``$defs`` of one schema, shared by its nodes."""

    def __init__(self, definitions: Raw, *, typed_int_or_string: bool = True, of_go_type: bool = False) -> None:
        """``typed_int_or_string`` says that an int-or-string value has to be one of the two.

        ``of_go_type``: the schema describes what a Go type decodes. An empty string is zero bytes then, and list types are for
        merging: items may repeat.
        """
        self.definitions = definitions
        self.typed_int_or_string = typed_int_or_string
        self.of_go_type = of_go_type
        self.with_rules: dict[int, bool] | None = None  # set by kcp.schema.validation_rules, as is the next
        self.definitions_have_rules = False
        self._shared: dict[str, SchemaNode] = {}

    def node(self, raw: Raw) -> "SchemaNode":
        """The node of a raw schema. Raises ValueError if its ``$ref`` does not resolve."""
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
    """The keywords of one schema, with its child nodes."""

    def __init__(self, raw: Raw, scope: Scope) -> None:
        self.raw = raw
        self.scope = scope
        self.is_root = False
        self._properties: dict[str, SchemaNode] = {}
        self.functions: dict[str, Callable[..., Any]] = {}
        self.rules: Any = None  # set by kcp.schema.validation_rules
        self.has_rules: bool | None = None

    @cached_property
    def int_or_string(self) -> bool:
        """``x-kubernetes-int-or-string``."""
        return self.raw.get("x-kubernetes-int-or-string") is True

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The JSON types that a value may have; empty for any."""
        if self.int_or_string:
            return ("integer", "string") if self.scope.typed_int_or_string else ()
        kind = self.raw.get("type")
        return (kind,) if isinstance(kind, str) and kind else ()

    @cached_property
    def nullable(self) -> bool:
        """``nullable``."""
        return self.raw.get("nullable") is True

    @cached_property
    def accepts_null(self) -> bool:
        """Whether null passes the type check; an enum may still exclude it."""
        return self.nullable or not self.types

    @cached_property
    def format(self) -> str:
        """The enforced ``format``; empty where there is none."""
        name = self.raw.get("format")
        return effective_format(self.types, name) if isinstance(name, str) else ""

    @cached_property
    def string_check(self) -> StringCheck | None:
        """The check of the enforced format on strings."""
        check = string_check(self.format) if self.format else None
        if check is None or self.format != "byte" or not self.scope.of_go_type:
            return check
        return lambda value: not value or check(value)

    @cached_property
    def preserves_unknown(self) -> bool:
        """``x-kubernetes-preserve-unknown-fields``."""
        return self.raw.get("x-kubernetes-preserve-unknown-fields") is True

    @cached_property
    def embedded(self) -> bool:
        """``x-kubernetes-embedded-resource``."""
        return self.raw.get("x-kubernetes-embedded-resource") is True

    @cached_property
    def property_schemas(self) -> Raw:
        """``properties``: the raw schemas by name."""
        found = self.raw.get("properties")
        return found if isinstance(found, dict) else {}

    @cached_property
    def nested_properties(self) -> frozenset[str]:
        """The names of the declared properties that can have children."""
        return frozenset(name for name, raw in self.property_schemas.items() if not _NESTING.isdisjoint(raw))

    def property(self, name: str) -> "SchemaNode":
        """The child node of a declared property."""
        node = self._properties.get(name)
        if node is None:
            node = self._properties[name] = self.scope.node(self.property_schemas[name])
        return node

    def default_of(self, name: str) -> Any:
        """The default of a declared property; None if it has none."""
        raw = self.property_schemas[name]
        return self.property(name).raw.get("default") if "$ref" in raw else raw.get("default")

    @cached_property
    def items(self) -> "SchemaNode | None":
        """The node of ``items``."""
        return self._child("items")

    @cached_property
    def additional(self) -> "SchemaNode | None":
        """The node of ``additionalProperties``, where that is a schema."""
        return self._child("additionalProperties")

    @cached_property
    def has_additional(self) -> bool:
        """Whether additional properties are allowed (``true`` or a schema)."""
        return isinstance(self.raw.get("additionalProperties"), dict) or self.raw.get("additionalProperties") is True

    @cached_property
    def forbids_additional(self) -> bool:
        """Whether ``additionalProperties`` is false."""
        return self.raw.get("additionalProperties") is False

    def child_for(self, key: str) -> "SchemaNode | None":
        """The node of the value at a key; None if the schema does not know the key."""
        return self.property(key) if key in self.property_schemas else self.additional

    @cached_property
    def negated(self) -> "SchemaNode | None":
        """The node of ``not``."""
        return self._child("not")

    def alternatives(self, keyword: str) -> "list[SchemaNode]":
        """The nodes of ``allOf``, ``anyOf`` or ``oneOf``."""
        found = self.raw.get(keyword)
        return [self.scope.node(raw) for raw in found if isinstance(raw, dict)] if isinstance(found, list) else []

    @cached_property
    def all_of(self) -> "list[SchemaNode]":
        """The nodes of ``allOf``."""
        return self.alternatives("allOf")

    @cached_property
    def any_of(self) -> "list[SchemaNode]":
        """The nodes of ``anyOf``."""
        return self.alternatives("anyOf")

    @cached_property
    def one_of(self) -> "list[SchemaNode]":
        """The nodes of ``oneOf``."""
        return self.alternatives("oneOf")

    @cached_property
    def list_type(self) -> str:
        """``x-kubernetes-list-type``; empty where there is none."""
        found = self.raw.get("x-kubernetes-list-type")
        return found if isinstance(found, str) else ""

    @cached_property
    def list_keys(self) -> tuple[str, ...]:
        """``x-kubernetes-list-map-keys``."""
        return self._strings("x-kubernetes-list-map-keys")

    @cached_property
    def enum(self) -> list[Any]:
        """``enum``; empty where there is none."""
        found = self.raw.get("enum")
        return found if isinstance(found, list) else []

    @cached_property
    def enum_identities(self) -> frozenset[Hashable]:
        """The `enum_identity` of each value of the enum; null is no member."""
        return frozenset(enum_identity(choice) for choice in self.enum if choice is not None)

    @cached_property
    def supported_values(self) -> str:
        """The values of the enum, as error messages list them."""
        return supported_values(self.enum)

    @cached_property
    def required(self) -> tuple[str, ...]:
        """``required``: the names of required properties."""
        return self._strings("required")

    def limit(self, keyword: str) -> int | float | None:
        """The value of a numeric keyword such as ``maximum``."""
        found = self.raw.get(keyword)
        return found if type(found) is int or type(found) is float else None

    def count(self, keyword: str) -> int | None:
        """The value of a counting keyword such as ``maxLength``."""
        found = self.limit(keyword)
        return int(found) if found is not None else None

    @cached_property
    def pattern(self) -> str:
        """``pattern``; empty where there is none."""
        found = self.raw.get("pattern")
        return found if isinstance(found, str) else ""

    def _strings(self, keyword: str) -> tuple[str, ...]:
        found = self.raw.get(keyword)
        return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()

    def _child(self, keyword: str) -> "SchemaNode | None":
        raw = self.raw.get(keyword)
        return self.scope.node(raw) if isinstance(raw, dict) else None


def root_node(raw: Raw, *, of_go_type: bool = False) -> SchemaNode:
    """The root node of a schema, which implies ``apiVersion``, ``kind`` and ``metadata``. ``of_go_type`` is that of `Scope`."""
    scope = Scope(raw.get("$defs") or {}, of_go_type=of_go_type)
    node = scope.node({key: value for key, value in raw.items() if key != "$defs"})
    root = SchemaNode(node.raw, node.scope)  # a copy: a root that is a reference must not mark the shared node
    root.is_root = True
    return root
