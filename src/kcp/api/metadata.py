"""ObjectMeta: what the server sets, and what a client may write there.

Follows k8s.io/apimachinery's ``ValidateObjectMeta`` and ``ValidateObjectMetaUpdate``, and k8s.io/apiserver's name
generator.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from kcp.api import errors, names
from kcp.api.field_errors import FieldError, forbidden, invalid, required, too_long

Meta = Mapping[str, Any]

FIELDS: Final = frozenset(
    {
        "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
        "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
        "managedFields",
    }
)  # fmt: skip
"""Every field of ObjectMeta."""

ANNOTATIONS_LIMIT: Final = 256 * 1024
"""Bytes of all annotations' keys and values together."""
_GENERATED_BASE: Final = 58
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_IMMUTABLE: Final = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_OWNER_FIELDS: Final = ("apiVersion", "kind", "name", "uid")

_second: tuple[int, str] = (0, "")


def now() -> str:
    """The time as metadata carries it: RFC 3339, UTC, whole seconds. Formatted once a second."""
    global _second  # noqa: PLW0603 - a cache of one entry, replaced as a whole
    seconds = int(time.time())
    cached = _second
    if cached[0] != seconds:
        cached = _second = (seconds, datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    return cached[1]


def micro_time() -> str:
    """The time as MicroTime: RFC 3339, UTC, six decimals."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """An RFC 3339 time. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None or "T" not in text.upper():
        raise ValueError(f"{text!r} is not a time of RFC 3339")
    return parsed


def new_uid() -> str:
    """A random UUID (version 4). 0.9 us; uuid.uuid4 takes 1.9."""
    random = bytearray(os.urandom(16))
    random[6] = random[6] & 0x0F | 0x40
    random[8] = random[8] & 0x3F | 0x80
    text = random.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def generate_name(prefix: str) -> str:
    """A name for ``generateName``: the prefix, cut to 58 characters, and five random ones."""
    # 27 letters: bytes from 243 on are drawn again, so that no letter comes more often than another
    letters: list[str] = []
    while len(letters) < 5:
        letters += [_ALPHABET[byte % 27] for byte in os.urandom(8) if byte < 243]
    return prefix[:_GENERATED_BASE] + "".join(letters[:5])


def check_meta_types(meta: Any) -> None:
    """Raise StatusError 400 where a member has another JSON type than ObjectMeta's, as decoding to it does."""
    if not isinstance(meta, dict):
        raise errors.bad_request(f"metadata must be an object, not {_json_type(meta)}")
    for name, expected in _TYPES.items():
        value = meta.get(name)
        if value is None:
            continue
        if expected is int and isinstance(value, bool):
            raise _mistyped(f"metadata.{name}", value, "int64")
        if not isinstance(value, expected):
            raise _mistyped(f"metadata.{name}", value, _GO_TYPES[name])
    _check_member_types(meta)


def _check_member_types(meta: Meta) -> None:
    for name in ("labels", "annotations"):
        for key, value in (meta.get(name) or {}).items():
            if not isinstance(value, str):
                raise _mistyped(f"metadata.{name}.{key}", value, "string")
    for value in meta.get("finalizers") or ():
        if not isinstance(value, str):
            raise _mistyped("metadata.finalizers", value, "string")
    for name in ("ownerReferences", "managedFields"):
        for entry in meta.get(name) or ():
            if not isinstance(entry, dict):
                raise _mistyped(f"metadata.{name}", entry, "object")
    for entry in meta.get("ownerReferences") or ():
        for name in _OWNER_FIELDS:
            if not isinstance(entry.get(name, ""), str):
                raise _mistyped(f"metadata.ownerReferences.{name}", entry[name], "string")


_TYPES: Final[dict[str, type]] = {
    "name": str, "generateName": str, "namespace": str, "selfLink": str, "uid": str, "resourceVersion": str,
    "generation": int, "creationTimestamp": str, "deletionTimestamp": str, "deletionGracePeriodSeconds": int,
    "labels": dict, "annotations": dict, "ownerReferences": list, "finalizers": list, "managedFields": list,
}  # fmt: skip
_GO_TYPES: Final = {
    name: {str: "string", int: "int64", dict: "map[string]string", list: "list"}[kind] for name, kind in _TYPES.items()
}


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    for kind, name in ((str, "string"), ((int, float), "number"), (dict, "object"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "null"


def _mistyped(path: str, value: Any, expected: str) -> errors.StatusError:
    return errors.bad_request(
        f"json: cannot unmarshal {_json_type(value)} into Go struct field ObjectMeta.{path} of type {expected}"
    )


def validate_object_meta(
    meta: Meta, *, namespaced: bool, name_validator: Callable[[str], list[str]], path: str = "metadata"
) -> list[FieldError]:
    """The errors of an object's metadata. Types are right already (`check_meta_types`)."""
    found: list[FieldError] = []
    name = meta.get("name") or ""
    prefix = meta.get("generateName") or ""
    if prefix:
        masked = prefix[:-1] + "a" if prefix.endswith("-") and len(prefix) > 1 else prefix
        found += [invalid(f"{path}.generateName", prefix, message) for message in name_validator(masked)]
    if not name:
        found.append(required(f"{path}.name", "name or generateName is required"))
    else:
        found += [invalid(f"{path}.name", name, message) for message in name_validator(name)]
    namespace = meta.get("namespace") or ""
    if namespaced:
        if not namespace:
            found.append(required(f"{path}.namespace"))
        elif messages := names.is_dns1123_label(namespace):
            found += [invalid(f"{path}.namespace", namespace, message) for message in messages]
    elif namespace:
        found.append(forbidden(f"{path}.namespace", "not allowed on this type"))
    if (generation := meta.get("generation")) is not None and generation < 0:
        found.append(invalid(f"{path}.generation", generation, "must be greater than or equal to 0"))
    if labels := meta.get("labels"):
        found += validate_labels(labels, f"{path}.labels")
    if annotations := meta.get("annotations"):
        found += validate_annotations(annotations, f"{path}.annotations")
    if owners := meta.get("ownerReferences"):
        found += _validate_owners(owners, f"{path}.ownerReferences")
    if finalizers := meta.get("finalizers"):
        found += _validate_finalizers(finalizers, f"{path}.finalizers")
    return found


def validate_labels(labels: Mapping[str, str], path: str) -> list[FieldError]:
    """Errors of labels' keys and values."""
    found = []
    for key, value in labels.items():
        found += [invalid(path, key, message) for message in names.is_qualified_name(key)]
        found += [invalid(path, value, message) for message in names.is_label_value(value)]
    return found


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    """Errors of annotations' keys and of their size together."""
    found = []
    size = 0
    for key, value in annotations.items():
        found += [invalid(path, key, message) for message in names.is_qualified_name(key.lower())]
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_LIMIT:
        found.append(too_long(path, ANNOTATIONS_LIMIT))
    return found


def _validate_owners(owners: list[Meta], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    controllers: list[str] = []
    for index, owner in enumerate(owners):
        place = f"{path}[{index}]"
        version = owner.get("apiVersion") or ""
        if not version or version.count("/") > 1 or not version.rpartition("/")[2]:
            found.append(invalid(f"{place}.apiVersion", version, "version must not be empty"))
        found += [
            invalid(f"{place}.{name}", owner.get(name) or "", f"{name} must not be empty")
            for name in ("kind", "name", "uid")
            if not owner.get(name)
        ]
        if version.startswith("v") and owner.get("kind") == "Event":
            found.append(invalid(place, dict(owner), "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            controllers.append(str(owner.get("kind")) + "/" + str(owner.get("name")))
    if len(controllers) > 1:
        listed = " and ".join(controllers[:2])
        message = f'Only one reference can have Controller set to true. Found "true" in references for {listed}'
        found.append(invalid(path, [dict(owner) for owner in owners], message))
    return found


def _validate_finalizers(finalizers: list[str], path: str) -> list[FieldError]:
    found = []
    for index, name in enumerate(finalizers):
        found += [
            invalid(f"{path}[{index}]" if "/" in name else path, name, message)
            for message in names.is_qualified_name(name)
        ]
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        message = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(invalid(path, list(finalizers), message))
    return found


def validate_object_meta_update(new: Meta, old: Meta, path: str = "metadata") -> list[FieldError]:
    """The errors of a change of metadata."""
    found = [
        invalid(f"{path}.{name}", new.get(name), "field is immutable")
        for name in _IMMUTABLE
        if (new.get(name) or None) != (old.get(name) or None)
    ]
    if old.get("deletionTimestamp"):
        before = set(old.get("finalizers") or ())
        added = [name for name in new.get("finalizers") or () if name not in before]
        if added:
            listed = "[" + ", ".join(f'"{name}"' for name in added) + "]"
            message = f"no new finalizers can be added if the object is being deleted, found new finalizers {listed}"
            found.append(forbidden(f"{path}.finalizers", message))
    return found
