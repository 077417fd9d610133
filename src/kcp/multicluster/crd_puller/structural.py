"""OpenAPI schemas of a cluster's built-in types as structural schemas.

Both versions of OpenAPI are read: in 3.0 a reference with siblings is an ``allOf`` of one, in 2.0 the siblings are dropped by the
server. The conversion makes explicit or omits what a structural schema cannot express (apiextensions.k8s.io/v1, "Specifying a
structural schema"; KEP-2885 for list and map types):

* references are replaced by what they refer to, so a recursive schema is refused;
* strategic merge patch's keywords become list types: ``merge`` with a key is a map list, ``merge`` of scalars a set;
* the keys of map lists are required, or have a default;
* defaults that are zero values of Go's types are left out: they say how a client decodes, not what the server stores; those
  that the server sets and does not state are added (`kcp.multicluster.crd_puller.defaults`).

The documents come from a cluster that is not trusted: malformed schemas, unknown references, and schemas that are too deep or
too large for a definition are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from kcp.multicluster.crd_puller.defaults import add_defaults
from kcp.schema.raw_schemas import strings

Schema = dict[str, Any]

_LIST_TYPE: Final = "x-kubernetes-list-type"
_LIST_KEYS: Final = "x-kubernetes-list-map-keys"
_MAP_TYPE: Final = "x-kubernetes-map-type"
_STRATEGY: Final = "x-kubernetes-patch-strategy"
_MERGE_KEY: Final = "x-kubernetes-patch-merge-key"
_ANYTHING: Final = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_SCALARS: Final = frozenset(("string", "integer", "number", "boolean"))
_KEPT: Final = (
    "description",
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "nullable",
    _ANYTHING,
)
"""Keywords with the same meaning in a structural schema."""
_KEY_DEFAULTS: Final[Mapping[str, Any]] = {"protocol": "TCP"}
"""Defaults of map keys that servers set, and that OpenAPI 2.0 does not contain."""
_QUANTITY_PATTERN: Final = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."


def _int_or_string(**more: Any) -> Schema:
    return {_INT_OR_STRING: True, "anyOf": [{"type": "integer"}, {"type": "string"}], **more}


_KNOWN: Final[Mapping[str, Callable[[], Schema]]] = {
    # a time may be null: clients write ``creationTimestamp: null`` in templates
    f"{_META}Time": lambda: {"type": "string", "format": "date-time", "nullable": True},
    f"{_META}MicroTime": lambda: {"type": "string", "format": "date-time", "nullable": True},
    f"{_META}Duration": lambda: {"type": "string"},
    f"{_META}FieldsV1": lambda: {"type": "object", _ANYTHING: True},
    "io.k8s.apimachinery.pkg.runtime.RawExtension": lambda: {"type": "object", _ANYTHING: True},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": lambda: _int_or_string(pattern=_QUANTITY_PATTERN),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    f"{_EXTENSIONS}JSON": lambda: {_ANYTHING: True},
}
"""Types whose JSON differs from their OpenAPI schema."""


_MAX_DEPTH: Final = 100
"""Maximum nesting of schemas and references. A definition of more levels exceeds kcp's limit on the nesting of objects."""
_MAX_SCHEMAS: Final = 50_000
"""Maximum number of schemas in a definition: references can multiply a small document, and a definition of more exceeds 3 MiB."""


class UnconvertibleSchemaError(ValueError):
    """A schema has no structural form: it is malformed, too deep or too large."""


class RecursiveSchemaError(UnconvertibleSchemaError):
    """A schema refers to itself: a CustomResourceDefinition has no references, so it cannot be written down."""


def structural_schema(components: Mapping[str, Schema], name: str) -> Schema:
    """Return the structural schema of a kind. ``components`` are the document's schemas by name.

    Raises UnconvertibleSchemaError.
    """
    schema = _Converter(components).root(name)
    properties = schema.setdefault("properties", {})
    if "metadata" in properties:
        properties["metadata"] = {"type": "object"}
    for field in ("apiVersion", "kind"):
        properties[field] = {"type": "string"}
    if "required" in schema:
        schema["required"] = [field for field in schema["required"] if field not in ("apiVersion", "kind", "metadata")]
        if not schema["required"]:
            del schema["required"]
    return schema


class _Converter:
    def __init__(self, components: Mapping[str, Schema]) -> None:
        self._components = components
        self._depth = 0
        self._count = 0

    def root(self, name: str) -> Schema:
        """Convert the schema of a kind."""
        found = self.object_schema(self._component(name, name), "", (name,))
        add_defaults(found, name)
        return found

    def _component(self, name: str, path: str) -> Schema:
        found = self._components.get(name)
        if not isinstance(found, dict):
            raise UnconvertibleSchemaError(f"{path}: the OpenAPI document has no schema {name}")
        return found

    def convert(self, schema: object, path: str, within: tuple[str, ...]) -> Schema:
        """Convert a schema at a path, within the named schemas that contain it."""
        if not isinstance(schema, dict):
            raise UnconvertibleSchemaError(f"{path}: not a schema")
        self._count += 1
        if self._count > _MAX_SCHEMAS:
            raise UnconvertibleSchemaError(f"{path}: more than {_MAX_SCHEMAS} schemas are too many for a definition")
        if self._depth >= _MAX_DEPTH:
            raise UnconvertibleSchemaError(f"schemas and references are nested more than {_MAX_DEPTH} levels deep")
        self._depth += 1
        try:
            return self._convert(schema, path, within)
        finally:
            self._depth -= 1

    def _convert(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        reference = _reference(schema, path)
        if reference is None:
            return self._inline(schema, path, within)
        if reference in _KNOWN:
            return {**_KNOWN[reference](), **_kept(schema)}
        if reference in within:
            raise RecursiveSchemaError(f"{path}: {reference.rpartition('.')[2]} contains itself")
        found = self.convert(self._component(reference, path), path, (*within, reference))
        add_defaults(found, reference)
        return {**found, **_kept(schema)}

    def _inline(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        type_ = schema.get("type")
        if "properties" in schema or "additionalProperties" in schema or type_ == "object":
            return self.object_schema(schema, path, within)
        if type_ == "array":
            return self._list(schema, path, within)
        if _is_scalar(type_):
            return {"type": type_, **_kept(schema)}
        return {_ANYTHING: True, **_kept(schema)}

    def object_schema(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        """Convert a schema with properties, or of a map."""
        found: Schema = {"type": "object", **_kept(schema)}
        if schema.get(_MAP_TYPE) == "atomic":
            found[_MAP_TYPE] = "atomic"
        if "properties" in schema:
            found["properties"] = {
                field: self.convert(content, f"{path}.{field}", within)
                for field, content in _properties(schema, path).items()
            }
            if required := [field for field in strings(schema, "required") if not _is_bytes(found, field)]:
                found["required"] = required
        elif isinstance(schema.get("additionalProperties"), dict):
            found["additionalProperties"] = self.convert(schema["additionalProperties"], f"{path}[*]", within)
        else:
            found[_ANYTHING] = True
        return found

    def _list(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        items = self.convert(schema.get("items") or {}, f"{path}[]", within)
        found: Schema = {"type": "array", **_kept(schema), "items": items}
        type_, keys = _list_type(schema, items)
        found[_LIST_TYPE] = type_
        if type_ == "map":
            found[_LIST_KEYS] = keys
            for key in keys:
                _require(items, key)
        return found


def _properties(schema: Schema, path: str) -> dict[str, Any]:
    properties = schema["properties"]
    if not isinstance(properties, dict):
        raise UnconvertibleSchemaError(f"{path or 'the schema'}: properties are not a mapping")
    return properties


def _is_bytes(schema: Schema, field: str) -> bool:
    """Whether a field is a byte string. Go's encoder writes an empty one as null, so that no server requires it."""
    content = schema["properties"].get(field, {})
    return bool(content.get("type") == "string" and content.get("format") == "byte")


def _is_scalar(type_: object) -> bool:
    return isinstance(type_, str) and type_ in _SCALARS


def _reference(schema: Schema, path: str) -> str | None:
    """Return the name that a schema refers to; None if it is inline."""
    target = schema
    wrapped = schema.get("allOf")
    if "$ref" not in schema and isinstance(wrapped, list) and len(wrapped) == 1:
        target = wrapped[0] if isinstance(wrapped[0], dict) else {}
    reference = target.get("$ref")
    if reference is None:
        return None
    if not isinstance(reference, str):
        raise UnconvertibleSchemaError(f"{path}: $ref is not a string")
    return reference.rpartition("/")[2]


def _kept(schema: Schema) -> Schema:
    kept: Schema = {keyword: schema[keyword] for keyword in _KEPT if keyword in schema}
    if schema.get("default"):  # other defaults are zero values
        kept["default"] = schema["default"]
    return kept


def _list_type(schema: Schema, items: Schema) -> tuple[str, list[str]]:
    """Return the type of a list, and the keys of a map list."""
    keys = strings(schema, _LIST_KEYS)
    type_ = schema.get(_LIST_TYPE)
    if type_ is None:
        merges = "merge" in str(schema.get(_STRATEGY, "")).split(",")
        if not keys and isinstance(schema.get(_MERGE_KEY), str):
            keys = [schema[_MERGE_KEY]]
        type_ = "map" if keys and merges else "set" if merges else "atomic"
    properties = items.get("properties", {})
    if type_ == "map" and not (keys and all(_is_scalar(properties.get(key, {}).get("type")) for key in keys)):
        return "atomic", []
    if type_ == "set" and not _is_scalar(items.get("type")):
        return "atomic", []
    return type_, keys


def _require(items: Schema, key: str) -> None:
    """Make the key of a map list required, unless it has a default."""
    schema = items["properties"][key]
    if "default" not in schema and key in _KEY_DEFAULTS:
        schema["default"] = _KEY_DEFAULTS[key]
    required = items.setdefault("required", [])
    if "default" in schema:
        items["required"] = [field for field in required if field != key]
        if not items["required"]:
            del items["required"]
    elif key not in required:
        required.append(key)
