"""CustomResourceDefinitions (apiextensions.k8s.io/v1). The rules themselves are those of `kcp.schema.definitions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import orjson

from kcp.api import metadata
from kcp.api.field_errors import FieldError
from kcp.builtin.fields import canonical_bytes, mapping, maps, sequence, text
from kcp.builtin.strategy import BuiltinStrategy
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import NamesInGroup, Object
from kcp.schema.definitions import (
    compute_conditions,
    default_definition,
    default_stored_versions,
    definition_warnings,
    validate_definition,
    validate_definition_status_update,
    validate_definition_update,
)
from kcp.schema.printer_columns import annotation_of

_LARGE: Final = 2048
"""Bytes of a spec and of its columns whose validation takes long for the event loop: rules cost the most per byte."""
CLEANUP_FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
"""Keeps a definition until its objects are deleted."""


class CustomResourceDefinitionStrategy(BuiltinStrategy):
    """CustomResourceDefinitions. Null is a value inside schemas (defaults, enumerations, examples) and nowhere else."""

    finalizers_need_domain = False
    allow_unconditional_update = False
    counts_generation = True
    zero_value: ClassVar[Mapping[str, Any]] = {"spec": {"names": {}}}
    writes_are_serialized = True
    may_be_large = True
    deletion_finalizers = (CLEANUP_FINALIZER,)

    def default(self, obj: Object) -> None:
        kept = [(version, version.pop("schema", None)) for version in maps(mapping(obj, "spec"), "versions")]
        super().default(obj)
        webhook = mapping(mapping(mapping(obj, "spec"), "conversion"), "webhook")
        canonical_bytes(mapping(webhook, "clientConfig"), ("caBundle",))
        for version, schema in kept:
            if schema is not None:
                drop_empty_keywords(mapping(schema, "openAPIV3Schema"))
                version["schema"] = schema
        default_definition(obj)

    def is_large(self, obj: Object) -> bool:
        try:
            columns = annotation_of(mapping(obj, "metadata").get("annotations"))
            return len(columns) + len(orjson.dumps(obj.get("spec"))) > _LARGE
        except TypeError:  # not serializable: nested too deeply, or integers beyond 64 bits
            return True

    def precompute(self, obj: Object, old: Object | None) -> None:
        if isinstance(mapping(obj, "spec").get("names"), dict):
            compute_conditions(obj, (), "")
        if old is None:
            validate_definition(obj)
        else:
            validate_definition_update(obj, old)
        definition_warnings(obj, old)

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        return definition_warnings(obj, old)

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        obj["status"] = {}
        default_stored_versions(obj)

    def prepare_for_update(self, obj: Object, old: Object, context: RequestContext) -> None:
        stored = [version.get("name") for version in maps(mapping(obj, "spec"), "versions") if version.get("storage")]
        status = mapping(obj, "status")
        versions = sequence(status, "storedVersions")
        if stored and stored[0] not in versions:
            obj["status"] = {**status, "storedVersions": [*versions, stored[0]]}

    def set_status_from_other_objects(self, obj: Object, names_in: NamesInGroup) -> None:
        """Set the conditions in the write itself, so that the definition is in force for the next request.

        Whatever a client writes into them is replaced, as kube-apiserver's controllers would replace it.
        """
        spec = mapping(obj, "spec")
        if not isinstance(spec.get("names"), dict):
            return  # the schema reports it
        others = [*self.context.reserved, *names_in(text(spec, "group"))]
        conditions, accepted = compute_conditions(obj, others, metadata.now())
        obj["status"] = {**mapping(obj, "status"), "conditions": conditions, "acceptedNames": accepted}

    def validate(self, obj: Object) -> list[FieldError]:
        return validate_definition(obj)

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return validate_definition_update(obj, old)

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        return validate_definition_status_update(obj, old)


_VALUES = ("default", "enum", "example")
_MAPS = ("properties", "patternProperties", "definitions", "dependencies")
_TEXTS = (
    "id",
    "$schema",
    "description",
    "type",
    "format",
    "title",
    "pattern",
    "message",
    "messageExpression",
    "fieldPath",
)
_FLAGS = (
    "exclusiveMaximum", "exclusiveMinimum", "uniqueItems", "nullable", "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
)  # fmt: skip
_LISTS = ("enum", "required", "allOf", "oneOf", "anyOf", "x-kubernetes-list-map-keys", "x-kubernetes-validations")
_OMITTED: Final[dict[str, Any]] = {
    **dict.fromkeys(_TEXTS, ""),
    **dict.fromkeys(_FLAGS, False),
    **{key: [] for key in _LISTS},
    **{key: {} for key in ("properties", "patternProperties", "definitions")},
}
"""The values of keywords, and of the members of a validation rule, that Go leaves out."""
_ZERO_ITEMS: Final[dict[str, Any]] = {
    "required": "",
    "x-kubernetes-list-map-keys": "",
    "x-kubernetes-validations": {"rule": ""},
}
"""The values that null is in lists; a schema elsewhere."""


def drop_empty_keywords(schema: dict[str, Any]) -> None:
    """Remove null and empty keywords from a schema and those below, in place, as Go's encoder leaves them out.

    Null remains a value in default, enum and example.
    """
    for keyword in [name for name, value in schema.items() if not value and _is_omitted(name, value)]:
        del schema[keyword]
    for keyword, value in schema.items():
        if keyword in _VALUES:
            continue
        if type(value) is list and None in value:
            value[:] = [_zero_item(keyword) if item is None else item for item in value]
        below = list(value.values()) if keyword in _MAPS and isinstance(value, dict) else value
        for item in below if isinstance(below, list) else [below]:
            if isinstance(item, dict):
                drop_empty_keywords(item)


def _is_omitted(keyword: str, value: Any) -> bool:
    """Whether Go leaves out a keyword with this value: null, or the zero value of its type."""
    if value is None:
        return keyword != "default"
    zero = _OMITTED.get(keyword)
    return type(value) is type(zero) and value == zero


def _zero_item(keyword: str) -> Any:
    zero = _ZERO_ITEMS.get(keyword, {})
    return dict(zero) if isinstance(zero, dict) else zero
