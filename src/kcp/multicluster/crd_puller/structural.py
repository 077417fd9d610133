"""OpenAPI schemas of a cluster's built-in types as structural schemas.

Both versions of OpenAPI are read: in 3.0 a reference with siblings is an ``allOf`` of one, in 2.0 the siblings are dropped by the
server. What a structural schema cannot say is made explicit or left out (apiextensions.k8s.io/v1, "Specifying a structural
schema"; KEP-2885 for list and map types):

* references are replaced by what they refer to, so a recursive schema is refused;
* strategic merge patch's keywords become list types: ``merge`` with a key is a map list, ``merge`` of scalars a set;
* the keys of map lists are required, or have a default;
* defaults that are zero values of Go's types are left out: they say how a client decodes, not what the server stores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

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
"""Keywords that mean the same in a structural schema."""
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
"""Types whose JSON is not what their OpenAPI schema says."""


class RecursiveSchemaError(ValueError):
    """A schema refers to itself: a CustomResourceDefinition has no references, so it cannot be written down."""


def structural_schema(components: Mapping[str, Schema], name: str) -> Schema:
    """Return the structural schema of a kind. ``components`` are the document's schemas by name.

    Raises RecursiveSchemaError, and KeyError for a reference to a schema that the document lacks.
    """
    schema = _Converter(components).object_schema(components[name], "", (name,))
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

    def convert(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        """Convert a schema at a path, within the named schemas that contain it."""
        reference, siblings = _reference(schema)
        if reference is None:
            return self._inline(schema, path, within)
        if reference in _KNOWN:
            return {**_KNOWN[reference](), **_kept(siblings)}
        if reference in within:
            raise RecursiveSchemaError(f"{path}: {reference.rpartition('.')[2]} contains itself")
        found = self.convert(self._components[reference], path, (*within, reference))
        return {**found, **_kept(siblings)}

    def _inline(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        type_ = schema.get("type")
        if "properties" in schema or "additionalProperties" in schema or type_ == "object":
            return self.object_schema(schema, path, within)
        if type_ == "array":
            return self._list(schema, path, within)
        if type_ in _SCALARS:
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
                for field, content in schema["properties"].items()
            }
            if required := schema.get("required"):
                found["required"] = list(required)
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


def _reference(schema: Schema) -> tuple[str | None, Schema]:
    """Return the name that a schema refers to, and what it says beside that."""
    target = schema
    wrapped = schema.get("allOf")
    if "$ref" not in schema and isinstance(wrapped, list) and len(wrapped) == 1:
        target = wrapped[0]
    reference = target.get("$ref")
    return (None, schema) if reference is None else (reference.rpartition("/")[2], schema)


def _kept(schema: Schema) -> Schema:
    kept: Schema = {keyword: schema[keyword] for keyword in _KEPT if keyword in schema}
    if schema.get("default"):  # other defaults are zero values
        kept["default"] = schema["default"]
    return kept


def _list_type(schema: Schema, items: Schema) -> tuple[str, list[str]]:
    """Return the type of a list, and the keys of a map list."""
    keys = list(schema.get(_LIST_KEYS) or ())
    type_ = schema.get(_LIST_TYPE)
    if type_ is None:
        merges = "merge" in schema.get(_STRATEGY, "").split(",")
        if not keys and _MERGE_KEY in schema:
            keys = [schema[_MERGE_KEY]]
        type_ = "map" if keys and merges else "set" if merges else "atomic"
    properties = items.get("properties", {})
    if type_ == "map" and not (keys and all(properties.get(key, {}).get("type") in _SCALARS for key in keys)):
        return "atomic", []
    if type_ == "set" and items.get("type") not in _SCALARS:
        return "atomic", []
    return type_, keys


def _require(items: Schema, key: str) -> None:
    """Make a map key of a list's items one that is always there."""
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
