"""ObjectMeta in schemas: its fields, and the validation of embedded resources.

Follows apiextensions-apiserver's schema/objectmeta: the metadata of the root and of every ``x-kubernetes-embedded-resource`` is
pruned to the fields of meta/v1 ObjectMeta and validated as that of a root object.
"""

from typing import Any, Final

from kcp.api import errors, field_errors, metadata, names
from kcp.api.field_errors import FieldError
from kcp.api.kinds import GroupVersion
from kcp.api.times import parse_time, whole_time

_INTEGERS: Final = ("generation", "deletionGracePeriodSeconds")
_TIMES: Final = ("creationTimestamp", "deletionTimestamp")
_MAX_PATHS: Final = 100
_LISTED: Final = (
    ("ownerReferences", metadata.OWNER_REFERENCE_FIELDS),
    ("managedFields", metadata.MANAGED_FIELDS),
)
_UNLISTED: Final = metadata.FIELDS - {name for name, _ in _LISTED}
"""The fields that have no fields inside."""
_ZERO_TIME: Final = "0001-01-01T00:00:00Z"


def prune_object_meta(meta: Any) -> list[str] | None:
    """Remove fields unknown to ObjectMeta in place; returns their paths relative to the metadata, or None."""
    if type(meta) is not dict:
        return None
    if meta.keys() <= _UNLISTED:
        return None
    found: list[str] = []
    if not meta.keys() <= metadata.FIELDS:
        found += _drop(meta, metadata.FIELDS, "")
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
    if meta.get("creationTimestamp") == _ZERO_TIME:
        del meta["creationTimestamp"]
    return found


def _drop(value: dict[str, Any], known: frozenset[str], path: str) -> list[str]:
    unknown = [key for key in value if key not in known]
    for key in unknown:
        del value[key]
    return [f"{path}.{key}" for key in unknown[:_MAX_PATHS]]


def undecodable_object_meta(meta: Any) -> str | None:
    """The reason why a JSON value does not decode as ObjectMeta, as Go's decoder says it; None if it does."""
    if type(meta) is not dict:
        return f"json: cannot unmarshal {metadata.go_json_type(meta)} into Go value of type v1.ObjectMeta"
    try:
        metadata.check_meta_types(meta)
    except errors.UndecodableError as problem:
        return problem.why.replace(".metadata.", ".")
    return None


def validate_embedded_resource(value: dict[str, Any], path: str) -> list[FieldError]:
    """Validate an embedded resource: apiVersion and kind are required, metadata is a valid ObjectMeta.

    What has another JSON type than in Go is undecodable: kube-apiserver refuses the body before it validates the object.
    """
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
        return [field_errors.undecodable(path, value, "must be a string")]
    if not value:
        return [field_errors.invalid(path, value, "must not be empty")]
    try:
        GroupVersion.parse(value)
    except ValueError as problem:
        return [field_errors.invalid(path, value, str(problem))]
    return []


def _kind_errors(value: Any, path: str) -> list[FieldError]:
    if type(value) is not str:
        return [field_errors.undecodable(path, value, "must be a string")]
    if not value:
        return [field_errors.invalid(path, value, "must not be empty")]
    if problems := names.is_dns1035_label(value.lower()):
        text = "may have mixed case, but should otherwise match: " + ",".join(problems)
        return [field_errors.invalid(path, value, text)]
    return []


def _metadata_errors(value: Any, path: str) -> list[FieldError]:
    if problem := undecodable_object_meta(value):
        return [field_errors.undecodable(path, value, problem)]
    named = value if value.get("name") else {**value, "name": "fakename"}
    return metadata.validate_object_meta(
        named, namespaced=bool(value.get("namespace")), name_validator=path_segment_name_errors, path=path
    )


def path_segment_name_errors(name: str) -> list[str]:
    """The reasons why a name cannot be a segment of a URL path."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in name]
