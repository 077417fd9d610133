"""Mapping of structural schemas to CEL types, as in k8s.io/apiserver/pkg/cel/common (SchemaDeclType)."""

import re
from collections.abc import Mapping
from typing import Any, Final

from kcp.cel import types
from kcp.cel.lexer import KEYWORDS
from kcp.cel.types import MAX_REQUEST_BYTES, SchemaType, Type

_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPED: Final = re.compile(r"__|[-./]")
_VALID_FIELD: Final = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./-]*\Z")
# format -> (type, conversion, minimum serialized size, maximum length; None: maxLength or the size of a request)
_STRINGS: Final[dict[str, tuple[Type, str, int, int | None]]] = {
    "byte": (types.BYTES, "byte", 2, None),
    "duration": (types.DURATION, "duration", 3, 32),
    "date": (types.TIMESTAMP, "date", 12, 12),
    "date-time": (types.TIMESTAMP, "date-time", 21, 32),
}


def escape(name: str) -> str | None:
    """The identifier of a field in expressions; None if it cannot be accessed.

    ``__``, ``.``, ``-`` and ``/`` become ``__underscores__``, ``__dot__``, ``__dash__`` and ``__slash__``; a keyword ``in``
    becomes ``__in__``.
    """
    if name in KEYWORDS:
        return f"__{name}__"
    if not _VALID_FIELD.match(name):
        return None
    return _ESCAPED.sub(lambda found: _ESCAPES[found.group()], name)


def schema_type(schema: Mapping[str, Any], *, is_root: bool, name: str = "selfType") -> SchemaType | None:
    """The CEL type of a schema; None if expressions cannot access its data (no type, unknown fields)."""
    return _Builder(schema).build(schema, is_root, name)


class _Builder:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._definitions: Mapping[str, Any] = root.get("$defs") or {}
        self._open: list[str] = []

    def build(self, schema: Mapping[str, Any], is_root: bool, name: str) -> SchemaType | None:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            target = reference.rsplit("/", 1)[-1]
            # A recursive schema has no finite type: expressions cannot access the recursion.
            if target in self._open or target not in self._definitions:
                return None
            self._open.append(target)
            built = self.build(self._definitions[target], is_root, name)
            self._open.pop()
            return built
        if schema.get("x-kubernetes-int-or-string"):
            max_elements = _limit(schema, "maxLength", 4)
            return SchemaType(
                types.DYN,
                min_serialized_size=1,
                max_elements=MAX_REQUEST_BYTES - 2 if max_elements is None else max_elements,
            )
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
                return SchemaType(types.BOOL, min_serialized_size=4)
            case "number":
                return SchemaType(types.DOUBLE, min_serialized_size=1, conversion="double")
            case "integer":
                return SchemaType(types.INT, min_serialized_size=1)
        return None

    def _child(self, schema: Any, name: str) -> SchemaType | None:
        if not isinstance(schema, Mapping):
            return None
        built = self.build(schema, bool(schema.get("x-kubernetes-embedded-resource")), name)
        if built is not None:
            built.nullable = schema.get("nullable") is True
        return built

    def _array(self, schema: Mapping[str, Any], name: str) -> SchemaType | None:
        element = self._child(schema.get("items"), f"{name}.@idx")
        if element is None:
            return None
        max_elements = _limit(schema, "maxItems")
        built = SchemaType(
            types.list_of(element.type),
            min_serialized_size=2,
            max_elements=(MAX_REQUEST_BYTES - 2) // (element.min_serialized_size + 1)
            if max_elements is None
            else max_elements,
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
            max_elements = _limit(schema, "maxProperties")
            if max_elements is None:
                max_elements = (MAX_REQUEST_BYTES - 2) // (element.min_serialized_size + 6)
            built = SchemaType(
                types.map_of(types.STRING, element.type), min_serialized_size=2, max_elements=max_elements
            )
            built.element = element
            built.plain = element.plain
            built.plain_equality = element.plain_equality
            return built
        return self._fields(schema, name)

    def _fields(self, schema: Mapping[str, Any], name: str) -> SchemaType:
        type_ = Type("object", name)
        built = SchemaType(type_, min_serialized_size=2)
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
                built.plain = built.plain and escaped == field and child.plain and not child.nullable
            built.plain_equality = built.plain_equality and child.plain_equality and not child.nullable
            if field in required and raw.get("default") is None:
                built.min_serialized_size += len(field.encode()) + child.min_serialized_size + 4
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            built.plain_equality = False
        return built


def _string(schema: Mapping[str, Any]) -> SchemaType:
    format_ = _STRINGS.get(str(schema.get("format", "")))
    if format_ is not None:
        type_, conversion, min_serialized_size, fixed = format_
        max_elements = fixed if fixed is not None else _limit(schema, "maxLength")
        max_elements = MAX_REQUEST_BYTES - 2 if max_elements is None else max_elements
        return SchemaType(
            type_, min_serialized_size=min_serialized_size, max_elements=max_elements, conversion=conversion
        )
    max_elements = _limit(schema, "maxLength", 4)
    if max_elements is None:
        choices = schema.get("enum") or ()
        lengths = [len(choice.encode()) for choice in choices if isinstance(choice, str)]
        max_elements = max(lengths, default=0) if choices else MAX_REQUEST_BYTES - 2
    return SchemaType(types.STRING, min_serialized_size=2, max_elements=max_elements)


def _limit(schema: Mapping[str, Any], keyword: str, factor: int = 1) -> int | None:
    value = schema.get(keyword)
    return None if value is None else max(0, int(value)) * factor


def _with_metadata(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add what every resource has: apiVersion, kind, metadata.name and metadata.generateName."""
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
