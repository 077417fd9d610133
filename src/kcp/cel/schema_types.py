"""Structural schemas as CEL types, as k8s.io/apiserver/pkg/cel/common maps them.

A `SchemaType` knows more than the CEL type: how the JSON data stands for it (a ``date-time`` is a string), how long it can
be (for the cost estimate), what equality and ``+`` mean (``x-kubernetes-list-type``), and the real name of each field.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from kcp.cel import types
from kcp.cel.lexer import KEYWORDS
from kcp.cel.types import Type

MOST_REQUEST_BYTES: Final = 3 * 1024 * 1024
UNBOUNDED: Final = 2**64 - 1
_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPED: Final = re.compile(r"__|[-./]")
_VALID_FIELD: Final = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./-]*\Z")
# format -> (type, how to convert, least size as JSON, longest text; None: maxLength or what a request can hold)
_STRINGS: Final[dict[str, tuple[Type, str, int, int | None]]] = {
    "byte": (types.BYTES, "byte", 2, None),
    "duration": (types.DURATION, "duration", 3, 32),
    "date": (types.TIMESTAMP, "date", 12, 12),
    "date-time": (types.TIMESTAMP, "date-time", 21, 32),
}


def escape(name: str) -> str | None:
    """The identifier by which expressions name a field, or None when they cannot.

    ``__``, ``.``, ``-`` and ``/`` become ``__underscores__``, ``__dot__``, ``__dash__`` and ``__slash__``; a keyword ``in``
    becomes ``__in__``.
    """
    if name in KEYWORDS:
        return f"__{name}__"
    if not _VALID_FIELD.match(name):
        return None
    return _ESCAPED.sub(lambda found: _ESCAPES[found.group()], name)


class SchemaType:
    """One node of a schema as expressions see it."""

    __slots__ = (
        "conversion",
        "element",
        "fields",
        "list_keys",
        "list_type",
        "longest",
        "plain",
        "plain_equality",
        "smallest",
        "type",
    )

    def __init__(self, type_: Type, *, smallest: int, longest: int = 0, conversion: str = "") -> None:
        self.type = type_
        self.smallest = smallest
        self.longest = longest
        self.conversion = conversion
        self.element: SchemaType | None = None
        self.fields: dict[str, tuple[str, SchemaType]] = {}
        self.list_type = ""
        self.list_keys: tuple[str, ...] = ()
        # plain: the JSON data is the CEL value, through and through.
        # plain_equality: two are equal when their JSON data are equal by ==.
        self.plain = conversion == ""
        self.plain_equality = conversion in {"", "double"}

    @property
    def cardinality(self) -> int:
        """How many values of this least size one request can hold (Kubernetes' MaxCardinality)."""
        return MOST_REQUEST_BYTES // (self.smallest + 1)


def schema_type(schema: Mapping[str, Any], *, is_root: bool, name: str = "selfType") -> SchemaType | None:
    """The type of a schema, or None when expressions cannot see data of this schema (unknown fields, no type)."""
    return _Builder(schema).build(schema, is_root, name)


class _Builder:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._definitions: Mapping[str, Any] = root.get("$defs") or {}
        self._open: list[str] = []

    def build(self, schema: Mapping[str, Any], is_root: bool, name: str) -> SchemaType | None:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            target = reference.rsplit("/", 1)[-1]
            # A schema that holds itself has no finite type; where it starts over, expressions cannot look in.
            if target in self._open or target not in self._definitions:
                return None
            self._open.append(target)
            built = self.build(self._definitions[target], is_root, name)
            self._open.pop()
            return built
        if schema.get("x-kubernetes-int-or-string"):
            longest = _most(schema, "maxLength", 4)
            return SchemaType(types.DYN, smallest=1, longest=MOST_REQUEST_BYTES - 2 if longest is None else longest)
        if is_root:
            schema = _with_metadata(schema)
        match schema.get("type"):
            case "array":
                return self._array(schema, name)
            case "object":
                return self._object(schema, name)
            case "string":
                return _string(schema)
            case "boolean":
                return SchemaType(types.BOOL, smallest=4)
            case "number":
                return SchemaType(types.DOUBLE, smallest=1, conversion="double")
            case "integer":
                return SchemaType(types.INT, smallest=1)
        return None

    def _child(self, schema: Any, name: str) -> SchemaType | None:
        if not isinstance(schema, Mapping):
            return None
        return self.build(schema, bool(schema.get("x-kubernetes-embedded-resource")), name)

    def _array(self, schema: Mapping[str, Any], name: str) -> SchemaType | None:
        element = self._child(schema.get("items"), f"{name}.@idx")
        if element is None:
            return None
        longest = _most(schema, "maxItems")
        built = SchemaType(
            types.list_of(element.type),
            smallest=2,
            longest=(MOST_REQUEST_BYTES - 2) // (element.smallest + 1) if longest is None else longest,
        )
        built.element = element
        list_type = schema.get("x-kubernetes-list-type")
        built.list_type = list_type if list_type in {"set", "map"} else ""
        built.list_keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        built.plain = element.plain
        built.plain_equality = element.plain_equality and not built.list_type
        return built

    def _object(self, schema: Mapping[str, Any], name: str) -> SchemaType | None:
        additional = schema.get("additionalProperties")
        if isinstance(additional, Mapping):
            element = self._child(additional, f"{name}.@elem")
            if element is None:
                return None
            longest = _most(schema, "maxProperties")
            if longest is None:
                longest = (MOST_REQUEST_BYTES - 2) // (element.smallest + 6)
            built = SchemaType(types.map_of(types.STRING, element.type), smallest=2, longest=longest)
            built.element = element
            built.plain = element.plain
            built.plain_equality = element.plain_equality
            return built
        return self._fields(schema, name)

    def _fields(self, schema: Mapping[str, Any], name: str) -> SchemaType:
        type_ = Type("object", name)
        built = SchemaType(type_, smallest=2)
        type_.schema = built
        required = set(schema.get("required") or ())
        for field, raw in (schema.get("properties") or {}).items():
            escaped = escape(field)
            child = self._child(raw, f"{name}.{escaped or field}")
            if child is None:
                built.plain_equality = False
                continue
            if escaped is not None:
                built.fields[escaped] = (field, child)
                built.plain = built.plain and escaped == field and child.plain
            built.plain_equality = built.plain_equality and child.plain_equality
            if field in required and raw.get("default") is None:
                built.smallest += len(field.encode()) + child.smallest + 4
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            built.plain_equality = False
        return built


def _string(schema: Mapping[str, Any]) -> SchemaType:
    format_ = _STRINGS.get(str(schema.get("format", "")))
    if format_ is not None:
        type_, conversion, smallest, fixed = format_
        longest = fixed if fixed is not None else _most(schema, "maxLength")
        longest = MOST_REQUEST_BYTES - 2 if longest is None else longest
        return SchemaType(type_, smallest=smallest, longest=longest, conversion=conversion)
    longest = _most(schema, "maxLength", 4)
    if longest is None:
        choices = schema.get("enum") or ()
        lengths = [len(choice.encode()) for choice in choices if isinstance(choice, str)]
        longest = max(lengths, default=0) if choices else MOST_REQUEST_BYTES - 2
    return SchemaType(types.STRING, smallest=2, longest=longest)


def _most(schema: Mapping[str, Any], keyword: str, factor: int = 1) -> int | None:
    value = schema.get(keyword)
    return None if value is None else max(0, int(value)) * factor


def _with_metadata(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema with what every resource has: apiVersion, kind, metadata.name and metadata.generateName."""
    properties = dict(schema.get("properties") or {})
    text = {"type": "string"}
    metadata = properties.get("metadata") or {}
    described = metadata.get("properties") or {}
    complete = all(key in properties for key in ("kind", "apiVersion")) and all(
        key in described for key in ("name", "generateName")
    )
    if not complete:
        properties["kind"] = properties["apiVersion"] = text
        properties["metadata"] = {"type": "object", "properties": {"name": text, "generateName": text}}
    return {**schema, "type": "object", "properties": properties}
