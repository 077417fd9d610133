"""ObjectMeta: generated values, decoding and validation.

Follows k8s.io/apimachinery's ``ValidateObjectMeta`` and ``ValidateObjectMetaUpdate``, the decoding of meta/v1's Go types (with
its messages), and k8s.io/apiserver's name generator.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from operator import ne
from typing import Any, Final

from kcp.api import errors, names
from kcp.api.field_errors import (
    MAX_ERRORS,
    FieldError,
    Formatted,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)
from kcp.api.times import micro_time, now, parse_time

__all__ = [
    "ANNOTATIONS_LIMIT",
    "FIELDS",
    "MANAGED_FIELDS",
    "OWNER_REFERENCE_FIELDS",
    "bare_finalizers",
    "check_meta_types",
    "drop_empty",
    "generate_name",
    "go_json_type",
    "micro_time",
    "new_uid",
    "now",
    "parse_time",
    "validate_annotations",
    "validate_field_manager",
    "validate_finalizer_domains",
    "validate_labels",
    "validate_object_meta",
    "validate_object_meta_update",
]

Meta = Mapping[str, Any]

ANNOTATIONS_LIMIT: Final = 256 * 1024
"""Maximum bytes of all annotations' keys and values together."""
FIELD_MANAGER_LIMIT: Final = 128
_SUBRESOURCE_LIMIT: Final = 256
_INT64: Final = 1 << 63
_MANY: Final = 32
"""Labels or annotations whose keys are matched together."""
_GENERATED_BASE: Final = 58
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_OMITTED_EMPTY: Final = ("labels", "annotations", "finalizers", "ownerReferences", "generateName")
_IMMUTABLE: Final = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_TEXTS: Final = frozenset((str,))
_OPERATIONS: Final = ("Apply", "Update")
_OWN_FINALIZERS: Final = ("kubernetes", "orphan", "foregroundDeletion")


class _Struct:
    """A struct of Go: of each member the type of the decoded JSON value, and the Go type in messages."""

    def __init__(self, name: str, members: dict[str, tuple[type[Any], str]], raw: Sequence[str] = ()) -> None:
        """``raw`` are members that take any value, which is a map as a rule."""
        self.name = name
        self.members = members
        self.kinds = {**{member: kind for member, (kind, _) in members.items()}, **dict.fromkeys(raw, dict)}
        """The usual type of each member."""
        self.restricted = frozenset(member for member, (_, go_type) in members.items() if go_type in ("time", "int64"))
        """The members whose Go type does not take all values of the JSON type."""


_OBJECT_META: Final = _Struct(
    "ObjectMeta",
    {
        "name": (str, "string"),
        "generateName": (str, "string"),
        "namespace": (str, "string"),
        "selfLink": (str, "string"),
        "uid": (str, "types.UID"),
        "resourceVersion": (str, "string"),
        "generation": (int, "int64"),
        "creationTimestamp": (str, "time"),
        "deletionTimestamp": (str, "time"),
        "deletionGracePeriodSeconds": (int, "int64"),
        "labels": (dict, "map[string]string"),
        "annotations": (dict, "map[string]string"),
        "ownerReferences": (list, "[]v1.OwnerReference"),
        "finalizers": (list, "[]string"),
        "managedFields": (list, "[]v1.ManagedFieldsEntry"),
    },
)
_OWNER_REFERENCE: Final = _Struct(
    "OwnerReference",
    {
        "apiVersion": (str, "string"),
        "kind": (str, "string"),
        "name": (str, "string"),
        "uid": (str, "types.UID"),
        "controller": (bool, "bool"),
        "blockOwnerDeletion": (bool, "bool"),
    },
)
_MANAGED_FIELDS_ENTRY: Final = _Struct(
    "ManagedFieldsEntry",
    {
        "manager": (str, "string"),
        "operation": (str, "v1.ManagedFieldsOperationType"),
        "apiVersion": (str, "string"),
        "time": (str, "time"),
        "fieldsType": (str, "string"),
        "subresource": (str, "string"),
    },
    raw=("fieldsV1",),
)
FIELDS: Final = frozenset(_OBJECT_META.members)
"""The names of ObjectMeta's members."""
OWNER_REFERENCE_FIELDS: Final = frozenset(_OWNER_REFERENCE.members)
MANAGED_FIELDS: Final = frozenset(_MANAGED_FIELDS_ENTRY.kinds)
"""The names of the members of an owner reference, and of an entry of the managed fields."""

_uids: list[str] = []


def new_uid() -> str:
    """A random UUID (version 4). Random bytes are read for 128 UUIDs at once, which is faster than ``uuid.uuid4()``."""
    global _uids  # noqa: PLW0603 - a pool, replaced when it is empty
    try:
        return _uids.pop()
    except IndexError:
        drawn = os.urandom(16 * 128).hex()
        fresh = [
            f"{drawn[at : at + 8]}-{drawn[at + 8 : at + 12]}-4{drawn[at + 13 : at + 16]}-"
            f"{'89ab'[int(drawn[at + 16], 16) & 3]}{drawn[at + 17 : at + 20]}-{drawn[at + 20 : at + 32]}"
            for at in range(0, len(drawn), 32)
        ]
        taken = fresh.pop()
        _uids = fresh
        return taken


# a forked child must not use the UUIDs of its parent
def _forget_uids() -> None:
    _uids.clear()


os.register_at_fork(after_in_child=_forget_uids)


def generate_name(prefix: str) -> str:
    """Generate a name: the first 58 characters of the prefix and five random ones."""
    # 27 letters: bytes from 243 on are rejected, so that all letters are equally likely
    letters: list[str] = []
    while len(letters) < 5:
        letters += [_ALPHABET[byte % 27] for byte in os.urandom(8) if byte < 243]
    return prefix[:_GENERATED_BASE] + "".join(letters[:5])


def check_meta_types(meta: Any, described: str = "") -> None:
    """Check the JSON types of metadata and normalize nulls, as decoding into Go's ObjectMeta does.

    Changes ``meta`` in place: null members are removed, a null label or finalizer becomes ``""``. ``described`` is the prefix of
    the message, such as ``ConfigMap in version "v1" cannot be handled as a ConfigMap: ``. Raises StatusError 400.
    """
    if type(meta) is not dict:
        message = f"json: cannot unmarshal {go_json_type(meta)} into Go struct field .metadata of type v1.ObjectMeta"
        raise errors.UndecodableError(message, described)
    try:
        _check_members(meta, _OBJECT_META, "metadata")
        if labels := meta.get("labels"):
            _check_texts(labels, "metadata.labels")
        if annotations := meta.get("annotations"):
            _check_texts(annotations, "metadata.annotations")
        if finalizers := meta.get("finalizers"):
            meta["finalizers"] = [
                "" if value is None else _text_of(value, "metadata.finalizers") for value in finalizers
            ]
        if owners := meta.get("ownerReferences"):
            _check_entries(owners, "metadata.ownerReferences", _OWNER_REFERENCE)
        if entries := meta.get("managedFields"):
            _check_entries(entries, "metadata.managedFields", _MANAGED_FIELDS_ENTRY)
    except ValueError as error:
        raise errors.UndecodableError(str(error), described) from error


def _check_members(value: dict[str, Any], struct: _Struct, path: str) -> None:
    kinds, restricted = struct.kinds, struct.restricted
    for name, member in value.items():
        if type(member) is not kinds.get(name):
            break
        if name in restricted:
            _check_restricted(member, struct, path, name)
    else:
        return
    nulls = []
    for name, member in value.items():
        if name not in struct.members:
            continue
        kind, go_type = struct.members[name]
        if type(member) is kind:
            if name in struct.restricted:
                _check_restricted(member, struct, path, name)
        elif member is None:
            nulls.append(name)
        elif go_type == "time":
            raise ValueError(f"json: cannot unmarshal {go_json_type(member)} into Go value of type string")
        else:
            raise _mistyped(f"{struct.name}.{path}.{name}", member, go_type)
    for name in nulls:
        del value[name]


def _check_restricted(member: Any, struct: _Struct, path: str, name: str) -> None:
    if type(member) is str:
        parse_time(member)
    elif not -_INT64 <= member < _INT64:
        raise _mistyped(f"{struct.name}.{path}.{name}", member, struct.members[name][1])


def _check_texts(texts: dict[str, Any], path: str) -> None:
    if _TEXTS.issuperset(map(type, texts.values())):
        return
    for key, value in texts.items():
        if type(value) is not str:
            texts[key] = "" if value is None else _text_of(value, path)


def _text_of(value: Any, path: str) -> str:
    if type(value) is not str:
        raise _mistyped(f"ObjectMeta.{path}", value, "string")
    return value


def _check_entries(entries: list[Any], path: str, struct: _Struct) -> None:
    for index, entry in enumerate(entries):
        if entry is None:
            entries[index] = {}
        elif type(entry) is not dict:
            raise _mistyped(f"ObjectMeta.{path}", entry, f"v1.{struct.name}")
        else:
            _check_members(entry, struct, path)


def go_json_type(value: Any) -> str:
    """The name of a value's JSON type in the messages of Go's decoder."""
    return _JSON_NAMES.get(type(value), "null")


_JSON_NAMES: Final[dict[type[Any], str]] = {
    bool: "bool",
    str: "string",
    int: "number",
    float: "number",
    dict: "object",
    list: "array",
}


def _mistyped(field: str, value: Any, expected: str) -> ValueError:
    found = go_json_type(value)
    if found == "number" and expected == "int64":
        found = f"number {value}"
    return ValueError(f"json: cannot unmarshal {found} into Go struct field {field} of type {expected}")


def validate_object_meta(
    meta: Meta, *, namespaced: bool, name_validator: Callable[[str], list[str]], path: str = "metadata"
) -> list[FieldError]:
    """Validate the metadata of an object whose types are correct (`check_meta_types`)."""
    found: list[FieldError] = []
    if prefix := meta.get("generateName"):
        messages = (
            names.is_path_segment_prefix(prefix)
            if name_validator is names.is_path_segment_name
            else name_validator(names.mask_trailing_dash(prefix))
        )
        found += [invalid(f"{path}.generateName", prefix, message) for message in messages]
    name = meta.get("name")
    if not name:
        found.append(required(f"{path}.name", "name or generateName is required"))
    elif messages := name_validator(name):
        found += [invalid(f"{path}.name", name, message) for message in messages]
    namespace = meta.get("namespace")
    if namespaced:
        if not namespace:
            found.append(required(f"{path}.namespace"))
        elif messages := names.is_dns1123_label(namespace):
            found += [invalid(f"{path}.namespace", namespace, message) for message in messages]
    elif namespace:
        found.append(forbidden(f"{path}.namespace", "not allowed on this type"))
    if (generation := meta.get("generation")) is not None and generation < 0:
        found.append(invalid(f"{path}.generation", generation, "must be greater than or equal to 0"))
    for member, validate in _MEMBER_RULES:
        if value := meta.get(member):
            found += validate(value, f"{path}.{member}")
    return found


def validate_labels(labels: Mapping[str, str], path: str) -> list[FieldError]:
    """Validate the keys and values of labels."""
    found: list[FieldError] = []
    if len(labels) > _MANY and names.are_short_qualified_names(labels) and names.are_label_values(labels.values()):
        return found
    for key, value in labels.items():
        if len(key) <= names.LABEL_LENGTH and len(value) <= names.LABEL_LENGTH and names.is_plain_label(key, value):
            continue
        if messages := names.is_qualified_name(key):
            found += [invalid(path, key, message) for message in messages]
        if messages := names.is_label_value(value):
            found += [invalid(path, value, message) for message in messages]
        if len(found) > MAX_ERRORS:
            break
    return found


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    """Validate the keys of annotations, ignoring case, and their total size."""
    found: list[FieldError] = []
    size = 0
    if len(annotations) > _MANY and names.are_short_qualified_names(annotations):
        size = sum(map(len, annotations)) + sum(map(len, annotations.values()))
        keys: Mapping[str, str] = {}
    else:
        keys = annotations
    for key, value in keys.items():
        if names.is_qualified_name(key):
            found += [invalid(path, key, message) for message in names.is_qualified_name(key.lower())]
            if len(found) > MAX_ERRORS:
                break
        size += len(key) + len(value)
    # a character has one to four bytes: they are counted only near the limit
    if size * 4 > ANNOTATIONS_LIMIT:
        size = sum(len(f"{key}{value}".encode("utf-8", "surrogatepass")) for key, value in annotations.items())
        if size > ANNOTATIONS_LIMIT:
            found.append(too_long(path, ANNOTATIONS_LIMIT))
    return found


def _validate_owners(owners: Sequence[Meta], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    controller = ""
    shown: Formatted | None = None
    for index, owner in enumerate(owners):
        if len(found) > MAX_ERRORS:
            break
        below = f"{path}[{index}]"
        api_version = owner.get("apiVersion")
        if not api_version:
            found.append(required(f"{below}.apiVersion", "must not be empty"))
        elif api_version.count("/") > 1 or api_version.endswith("/"):
            found.append(invalid(f"{below}.apiVersion", api_version, "must be <group>/<version> or <version>"))
        found += [
            required(f"{below}.{member}", "must not be empty")
            for member in ("kind", "name", "uid")
            if not owner.get(member)
        ]
        if api_version == "v1" and owner.get("kind") == "Event":
            found.append(invalid(below, dict(owner), "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            current = f"{owner.get('kind') or ''}/{owner.get('name') or ''}"
            if controller:
                message = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {current}"
                )
                shown = shown or Formatted(owners)
                found.append(invalid(path, shown, message))
            else:
                controller = current
    return found


def _validate_finalizers(finalizers: Sequence[str], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for name in finalizers:
        found += [invalid(path, name, message) for message in names.is_qualified_name(name)]
        if len(found) > MAX_ERRORS:
            break
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        message = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(invalid(path, list(finalizers), message))
    return found


def drop_empty(meta: dict[str, Any]) -> None:
    """Remove, in place, the empty members that ObjectMeta omits."""
    if all(meta.values()):
        return
    for name in _OMITTED_EMPTY:
        if name in meta and not meta[name]:
            del meta[name]


def bare_finalizers(finalizers: Sequence[str]) -> list[tuple[int, str]]:
    """Index and name of each finalizer that has no domain and is not one of Kubernetes' own."""
    return [(index, name) for index, name in enumerate(finalizers) if "/" not in name and name not in _OWN_FINALIZERS]


def validate_finalizer_domains(finalizers: Sequence[str], path: str) -> list[FieldError]:
    """Refuse finalizers without a domain, as Kubernetes does in its older types; in others it warns."""
    why = "name is neither a standard finalizer name nor is it fully qualified"
    bare = bare_finalizers(finalizers)[: MAX_ERRORS + 1]
    return [invalid(f"{path}[{index}]", name, why) for index, name in bare]


def validate_field_manager(manager: str, path: str) -> list[FieldError]:
    """Validate the name of a field manager: up to 128 bytes of printable characters."""
    found: list[FieldError] = []
    if len(manager) * 4 > FIELD_MANAGER_LIMIT and len(manager.encode("utf-8", "surrogatepass")) > FIELD_MANAGER_LIMIT:
        found.append(too_long(path, FIELD_MANAGER_LIMIT))
    if not manager.isprintable():
        position = 0
        for letter in manager:
            if len(found) > MAX_ERRORS:
                break
            if not letter.isprintable():
                found.append(invalid(path, manager, f"invalid character U+{ord(letter):04X} (at position {position})"))
            position += len(letter.encode("utf-8", "surrogatepass"))
    return found


def _validate_managed_fields(entries: Sequence[Meta], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for index, entry in enumerate(entries):
        if len(found) > MAX_ERRORS:
            break
        operation = entry.get("operation")
        if operation not in _OPERATIONS:
            problem = required(f"{path}[{index}].operation", "must not be empty")
            found.append(
                problem if not operation else not_supported(f"{path}[{index}].operation", operation, _OPERATIONS)
            )
        fields_type = entry.get("fieldsType")
        if fields_type and fields_type != "FieldsV1":
            found.append(invalid(f"{path}[{index}].fieldsType", fields_type, "must be `FieldsV1`"))
        manager = entry.get("manager") or ""
        if len(manager) > FIELD_MANAGER_LIMIT // 4 or not manager.isprintable():
            found += validate_field_manager(manager, f"{path}[{index}].manager")
        if len(entry.get("subresource") or "") > _SUBRESOURCE_LIMIT:
            found.append(too_long(f"{path}[{index}].subresource", _SUBRESOURCE_LIMIT))
    return found


_MEMBER_RULES: Final[tuple[tuple[str, Callable[[Any, str], list[FieldError]]], ...]] = (
    ("labels", validate_labels),
    ("annotations", validate_annotations),
    ("ownerReferences", _validate_owners),
    ("finalizers", _validate_finalizers),
    ("managedFields", _validate_managed_fields),
)


def validate_object_meta_update(new: Meta, old: Meta, path: str = "metadata") -> list[FieldError]:
    """Validate a change of metadata, in addition to `validate_object_meta` of the new one."""
    found: list[FieldError] = []
    if old.get("deletionTimestamp"):
        before = set(old.get("finalizers") or ())
        added = sorted(set(new.get("finalizers") or ()) - before)
        if added:
            listed = ", ".join(f'"{name}"' for name in added)
            message = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
            found.append(forbidden(f"{path}.finalizers", message))
    generation = new.get("generation")
    if generation is not None and generation < (old.get("generation") or 0):
        found.append(invalid(f"{path}.generation", generation, "must not be decremented"))
    if any(map(ne, map(new.get, _IMMUTABLE), map(old.get, _IMMUTABLE))):
        found += _changes_of_immutable(new, old, path)
    return found


def _changes_of_immutable(new: Meta, old: Meta, path: str) -> list[FieldError]:
    found = [
        invalid(f"{path}.{name}", new.get(name) or "", "field is immutable")
        for name in ("name", "namespace", "uid")
        if (new.get(name) or "") != (old.get(name) or "")
    ]
    found += [
        invalid(f"{path}.{name}", new.get(name), "field is immutable")
        for name in ("creationTimestamp", "deletionTimestamp")
        if new.get(name) != old.get(name) and not _same_time(new.get(name), old.get(name))
    ]
    seconds = new.get("deletionGracePeriodSeconds")
    if seconds != old.get("deletionGracePeriodSeconds"):
        found.append(invalid(f"{path}.deletionGracePeriodSeconds", seconds, "field is immutable"))
    return found


def _same_time(one: str | None, other: str | None) -> bool:
    return bool(one and other) and parse_time(one or "") == parse_time(other or "")
