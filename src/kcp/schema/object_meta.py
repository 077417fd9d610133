"""ObjectMeta in schemas: its fields, and the validation of embedded resources.

Follows apiextensions-apiserver's schema/objectmeta: the metadata of the root and of every ``x-kubernetes-embedded-resource`` is
pruned to the fields of meta/v1 ObjectMeta and validated as that of a root object.
"""

from typing import Any, Final

from kcp.api import errors, field_errors, metadata, names
from kcp.api.field_errors import FieldError
from kcp.api.kinds import GroupVersion
from kcp.api.times import parse_time, whole_time

OBJECT_META_TYPES: Final[dict[str, Any]] = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "selfLink": str,
    "uid": str,
    "resourceVersion": str,
    "generation": int,
    "creationTimestamp": str,
    "deletionTimestamp": str,
    "deletionGracePeriodSeconds": int,
    "labels": dict,
    "annotations": dict,
    "ownerReferences": list,
    "finalizers": list,
    "managedFields": list,
}
_INTEGERS: Final = ("generation", "deletionGracePeriodSeconds")
_TIMES: Final = ("creationTimestamp", "deletionTimestamp")
_MAX_PATHS: Final = 100
_KNOWN: Final = frozenset(OBJECT_META_TYPES)
OWNER_REFERENCE_TYPES: Final[dict[str, Any]] = {
    "apiVersion": str,
    "kind": str,
    "name": str,
    "uid": str,
    "controller": bool,
    "blockOwnerDeletion": bool,
}
MANAGED_FIELDS_TYPES: Final[dict[str, Any]] = {
    "manager": str,
    "operation": str,
    "apiVersion": str,
    "time": str,
    "fieldsType": str,
    "fieldsV1": dict,
    "subresource": str,
}
_LISTED: Final = (
    ("ownerReferences", frozenset(OWNER_REFERENCE_TYPES)),
    ("managedFields", frozenset(MANAGED_FIELDS_TYPES)),
)
_JSON_NAMES: Final = {str: "string", int: "integer", dict: "object", list: "array", bool: "boolean"}


def prune_object_meta(meta: Any) -> list[str] | None:
    """Remove fields unknown to ObjectMeta in place; returns their paths relative to the metadata, or None."""
    if type(meta) is not dict:
        return None
    found: list[str] = []
    if not meta.keys() <= _KNOWN:
        found += _drop(meta, _KNOWN, "")
    for name, known in _LISTED:
        entries = meta.get(name)
        if type(entries) is list:
            for index, entry in enumerate(entries):
                if type(entry) is dict and not entry.keys() <= known:
                    found += _drop(entry, known, f".{name}[{index}]")
    return found or None


def coerce_object_meta(meta: Any) -> list[str] | None:
    """Prune the metadata of an embedded resource and normalize it in place, as decoding and encoding Go's ObjectMeta does.

    Nulls and empty members are removed, and times are in UTC with whole seconds. Metadata that does not decode is left to
    `validate_embedded_resource`. Returns the removed paths, as `prune_object_meta`.
    """
    found = prune_object_meta(meta)
    if type(meta) is not dict:
        return found
    for name in _INTEGERS:
        if type(meta.get(name)) is float and meta[name].is_integer():
            meta[name] = int(meta[name])
    try:
        metadata.check_meta_types(meta)
    except errors.StatusError:
        return found
    for name in [name for name, value in meta.items() if not value and name != "deletionGracePeriodSeconds"]:
        del meta[name]  # all other members are omitted when empty
    for name in _TIMES:
        if name in meta:
            meta[name] = whole_time(parse_time(meta[name]))
    return found


def _drop(value: dict[str, Any], known: frozenset[str], path: str) -> list[str]:
    unknown = [key for key in value if key not in known]
    for key in unknown:
        del value[key]
    return [f"{path}.{key}" for key in unknown[:_MAX_PATHS]]


def malformed_object_meta(meta: Any) -> str | None:
    """The reason why a JSON value does not decode as ObjectMeta; None if it does."""
    if type(meta) is not dict:
        return f"metadata must be an object, not {_json_name(meta)}"
    return _first_mismatch(meta, OBJECT_META_TYPES, "") or _malformed_parts(meta)


def _malformed_parts(meta: dict[str, Any]) -> str | None:
    for name in ("labels", "annotations"):
        for key, value in (meta.get(name) or {}).items():
            if type(value) is not str:
                return f"{name}[{key}] must be a string, not {_json_name(value)}"
    for index, value in enumerate(meta.get("finalizers") or ()):
        if type(value) is not str:
            return f"finalizers[{index}] must be a string, not {_json_name(value)}"
    for name, types in (("ownerReferences", OWNER_REFERENCE_TYPES), ("managedFields", MANAGED_FIELDS_TYPES)):
        for index, entry in enumerate(meta.get(name) or ()):
            if type(entry) is not dict:
                return f"{name}[{index}] must be an object, not {_json_name(entry)}"
            if problem := _first_mismatch(entry, types, f"{name}[{index}]."):
                return problem
    return None


def _first_mismatch(value: dict[str, Any], types: dict[str, Any], path: str) -> str | None:
    for key, expected in types.items():
        found = value.get(key)
        if found is not None and type(found) is not expected:
            return f"{path}{key} must be of type {_JSON_NAMES[expected]}, not {_json_name(found)}"
    return None


def _json_name(value: Any) -> str:
    if value is None:
        return "null"
    return _JSON_NAMES.get(type(value), "number")


def validate_embedded_resource(value: dict[str, Any], path: str) -> list[FieldError]:
    """Validate an embedded resource: apiVersion and kind are required, metadata is a valid ObjectMeta."""
    found = [field_errors.required(f"{path}.{name}") for name in ("apiVersion", "kind") if name not in value]
    for name, text in value.items():
        if name == "apiVersion":
            found += _api_version_errors(text, f"{path}.apiVersion")
        elif name == "kind":
            found += _kind_errors(text, f"{path}.kind")
        elif name == "metadata":
            found += _metadata_errors(text, f"{path}.metadata")
    return found


def _api_version_errors(value: Any, path: str) -> list[FieldError]:
    if type(value) is not str:
        return [field_errors.invalid(path, value, "must be a string")]
    if not value:
        return [field_errors.invalid(path, value, "must not be empty")]
    try:
        GroupVersion.parse(value)
    except ValueError as problem:
        return [field_errors.invalid(path, value, str(problem))]
    return []


def _kind_errors(value: Any, path: str) -> list[FieldError]:
    if type(value) is not str:
        return [field_errors.invalid(path, value, "must be a string")]
    if not value:
        return [field_errors.invalid(path, value, "must not be empty")]
    if problems := names.is_dns1035_label(value.lower()):
        text = "may have mixed case, but should otherwise match: " + ",".join(problems)
        return [field_errors.invalid(path, value, text)]
    return []


def _metadata_errors(value: Any, path: str) -> list[FieldError]:
    if problem := malformed_object_meta(value):
        return [field_errors.invalid(path, value, problem)]
    named = value if value.get("name") else {**value, "name": "fakename"}
    return metadata.validate_object_meta(
        named, namespaced=bool(value.get("namespace")), name_validator=path_segment_name_errors, path=path
    )


def path_segment_name_errors(name: str) -> list[str]:
    """The reasons why a name cannot be a segment of a URL path."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in name]
