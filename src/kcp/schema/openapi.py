"""The OpenAPI form of a schema, by which clients explain, validate and merge objects.

Input is a raw schema: the dialect of a CustomResourceDefinition's ``openAPIV3Schema``, or of a built-in type, which may refer to
``#/$defs/Name``. The rules are those of Kubernetes' apiextensions-apiserver: version 3 is the schema with its extensions;
version 2 (Swagger) is a lossy form that every kubectl can read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    ReferenceName = Callable[[str], str]
    """Maps the name in ``#/$defs/<name>`` to the name of the published definition."""

V3_PREFIX: Final = "#/components/schemas/"
V2_PREFIX: Final = "#/definitions/"
LOCAL_PREFIX: Final = "#/$defs/"

OBJECT_META: Final = "ObjectMeta"
API_VERSION_DESCRIPTION: Final = (
    "APIVersion defines the group and version of the schema that this object follows, e.g. apps/v1. "
    "A server may reject versions that it does not know."
)
KIND_DESCRIPTION: Final = (
    "Kind is the type of this object, in CamelCase. "
    "A server may infer it from the URL of the request. It cannot be changed."
)
METADATA_DESCRIPTION: Final = "Metadata that every stored object has: name, namespace, labels, owners and more."

_VALUES: Final = frozenset(
    {
        "type", "format", "title", "description", "default", "example", "externalDocs", "maximum", "exclusiveMaximum",
        "minimum", "exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems",
        "multipleOf", "enum", "maxProperties", "minProperties", "required",
        "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-validations",
        "x-kubernetes-patch-strategy", "x-kubernetes-patch-merge-key", "x-kubernetes-group-version-kind",
    }
)  # fmt: skip
_FLAGS: Final = (
    "nullable",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
)
_JUNCTORS: Final = ("allOf", "anyOf", "oneOf")
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]


def type_meta() -> dict[str, Any]:
    """The properties ``apiVersion`` and ``kind``."""
    return {
        "apiVersion": {"type": "string", "description": API_VERSION_DESCRIPTION},
        "kind": {"type": "string", "description": KIND_DESCRIPTION},
    }


def publish_v3(schema: Mapping[str, Any], reference_name: ReferenceName) -> dict[str, Any]:
    """Convert a schema to OpenAPI v3."""
    return _Publisher(reference_name, V3_PREFIX).v3(schema)


def publish_v2(schema: Mapping[str, Any], reference_name: ReferenceName) -> dict[str, Any]:
    """Convert a schema to Swagger 2.0: without alternatives, and without types where null or unknown fields are allowed."""
    return _Publisher(reference_name, V2_PREFIX).v2(schema)


def publish_root(schema: Mapping[str, Any] | None, reference_name: ReferenceName, *, swagger: bool) -> dict[str, Any]:
    """Convert the schema of a whole object, with ``apiVersion``, ``kind`` and ``metadata``.

    Without a schema, and in Swagger if the root preserves unknown fields, the result is ``type: object`` without properties:
    older kubectl rejects every field that a definition with properties does not declare.
    """
    if schema is None or (swagger and schema.get(_PRESERVE) is True):
        return {"type": "object"}
    publisher = _Publisher(reference_name, V2_PREFIX if swagger else V3_PREFIX)
    published = publisher.v2(schema) if swagger else publisher.v3(schema)
    properties = published.setdefault("properties", {})
    properties.update(type_meta())
    properties["metadata"] = publisher.reference(OBJECT_META, {"description": METADATA_DESCRIPTION})
    return published


class _Publisher:
    def __init__(self, reference_name: ReferenceName, prefix: str) -> None:
        self._name = reference_name
        self._prefix = prefix

    def reference(self, name: str, beside: dict[str, Any]) -> dict[str, Any]:
        """A reference with sibling keywords. Version 3 ignores siblings of ``$ref``, so the reference goes into ``allOf``."""
        link = {"$ref": self._prefix + self._name(name)}
        if not beside or self._prefix == V2_PREFIX:
            return {**link, **beside}
        return {"allOf": [link], **beside}

    def v3(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        published = _own_keywords(schema)
        if reference := schema.get("$ref"):
            return self.reference(reference.removeprefix(LOCAL_PREFIX), published)
        for junctor in _JUNCTORS:
            if branches := schema.get(junctor):
                published[junctor] = [self.v3(branch) for branch in branches]
        if "not" in schema:
            published["not"] = self.v3(schema["not"])
        if schema.get("x-kubernetes-int-or-string") is True:
            _unfold_int_or_string(published)
        self._children(schema, published, self.v3)
        if schema.get("x-kubernetes-embedded-resource") is True:
            self._embedded(published)
        return published

    def v2(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        published = _own_keywords(schema)
        nullable = published.pop("nullable", False)
        if reference := schema.get("$ref"):
            return self.reference(reference.removeprefix(LOCAL_PREFIX), published)
        preserve = published.get(_PRESERVE, False)
        source = dict(schema)
        if nullable or preserve:
            source.pop("items", None)
            source.pop("properties", None)
        kind = published.get("type")
        if nullable or (kind == "array" and "items" not in source) or (kind == "object" and preserve):
            published.pop("type", None)
        _relax_required(published, source)
        self._children(source, published, self.v2)
        if schema.get("x-kubernetes-embedded-resource") is True and not preserve:
            self._embedded(published)
        return published

    def _children(
        self,
        schema: Mapping[str, Any],
        published: dict[str, Any],
        publish: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        items = schema.get("items")
        if isinstance(items, dict):
            published["items"] = publish(items)
        properties = schema.get("properties")
        if properties is not None:
            published["properties"] = {name: publish(child) for name, child in properties.items()}
        additional = schema.get("additionalProperties")
        if isinstance(additional, bool):
            published["additionalProperties"] = additional
        elif additional is not None:
            published["additionalProperties"] = publish(additional)

    def _embedded(self, published: dict[str, Any]) -> None:
        properties = published.setdefault("properties", {})
        properties.update(type_meta())
        properties["metadata"] = self.reference(OBJECT_META, {"description": METADATA_DESCRIPTION})
        required: Sequence[str] = published.get("required") or ()
        published["required"] = [*required, *(name for name in ("kind", "apiVersion") if name not in required)]


def _own_keywords(schema: Mapping[str, Any]) -> dict[str, Any]:
    published = {key: value for key, value in schema.items() if key in _VALUES}
    for flag in _FLAGS:
        if schema.get(flag) is True:
            published[flag] = True
    if published.get("required") == []:
        del published["required"]
    return published


def _unfold_int_or_string(published: dict[str, Any]) -> None:
    alternatives = published.get("anyOf")
    if alternatives is None:
        if not any(branch.get("anyOf") == _INT_OR_STRING for branch in published.get("allOf", ())):
            published["anyOf"] = [dict(branch) for branch in _INT_OR_STRING]
    elif alternatives != _INT_OR_STRING:
        del published["anyOf"]
        both = [{"anyOf": [dict(branch) for branch in _INT_OR_STRING]}, {"anyOf": alternatives}]
        published["allOf"] = [*published.get("allOf", ()), *both]


def _relax_required(published: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Older kubectl treats null as missing, so nullable properties are not required."""
    required = published.get("required")
    if not required:
        return
    properties = schema.get("properties") or {}
    kept = [name for name in required if not (properties.get(name) or {}).get("nullable")]
    additional = schema.get("additionalProperties")
    if not kept or (isinstance(additional, dict) and additional.get("nullable")):
        del published["required"]
    else:
        published["required"] = kept
