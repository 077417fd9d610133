"""Namespaces, ConfigMaps, Secrets and ServiceAccounts (core/v1)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

import orjson

from kcp.api import field_errors, metadata, names
from kcp.api.field_errors import FieldError
from kcp.builtin.strategies.base import (
    BuiltinStrategy,
    age,
    canonical_bytes,
    decoded_size,
    drop_nulls,
    mapping,
    sequence,
    text,
    texts,
    unchanged,
)
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object
from kcp.registry.verbs.namespaces import ALWAYS_THERE, virtual_namespaces

MAX_BYTES: Final = 1024 * 1024
"""How much a ConfigMap or Secret may hold."""
NAME_LABEL: Final = "kubernetes.io/metadata.name"
_FROZEN: Final = "field is immutable when `immutable` is set"


class NamespaceStrategy(BuiltinStrategy):
    """Namespaces: they carry their name as a label, and go when their contents are gone."""

    selectable: ClassVar[frozenset[str]] = frozenset({"status.phase"})
    deletion_keeps_object: ClassVar[bool] = True

    def __init__(self, server_uid: str, created: str) -> None:
        self._server_uid = server_uid
        self._created = created

    def name_errors(self, name: str) -> list[str]:
        return names.is_dns1123_label(name)

    def default(self, obj: Object) -> None:
        drop_nulls(obj)
        meta = obj.get("metadata")
        name = text(meta, "name")
        if name and isinstance(meta, dict):
            labels = meta.get("labels")
            if labels is None or isinstance(labels, dict):
                meta["labels"] = {**(labels or {}), NAME_LABEL: name}

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        obj["status"] = {"phase": "Active"}
        spec = obj["spec"] = mapping(obj, "spec")
        if "kubernetes" not in sequence(spec, "finalizers"):
            spec["finalizers"] = [*sequence(spec, "finalizers"), "kubernetes"]
        self.default(obj)

    def prepare_for_update(self, obj: Object, old: Object, context: RequestContext) -> None:
        obj["spec"] = {**mapping(obj, "spec")}
        finalizers = mapping(old, "spec").get("finalizers")
        if finalizers:
            obj["spec"]["finalizers"] = finalizers
        else:
            obj["spec"].pop("finalizers", None)

    def validate(self, obj: Object) -> list[FieldError]:
        found = []
        for index, finalizer in enumerate(texts(mapping(obj, "spec"), "finalizers")):
            path = f"spec.finalizers[{index}]"
            found += [field_errors.invalid(path, finalizer, why) for why in names.is_qualified_name(finalizer)]
        return found + metadata.validate_finalizer_domains(texts(mapping(obj, "spec"), "finalizers"), "spec.finalizers")

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        phase = text(mapping(obj, "status"), "phase")
        ending = bool(old["metadata"].get("deletionTimestamp"))
        wanted, when = ("Terminating", "is not empty") if ending else ("Active", "is empty")
        if phase == wanted:
            return []
        return [field_errors.invalid("status.Phase", phase, f"may only be '{wanted}' if `deletionTimestamp` {when}")]

    def prepare_for_delete(self, obj: Object, context: RequestContext) -> None:
        obj["status"] = {**mapping(obj, "status"), "phase": "Terminating"}

    def check_deletable(self, name: str) -> str | None:
        return "this namespace may not be deleted" if name in ALWAYS_THERE else None

    def blocks_deletion(self, obj: Object) -> bool:
        return bool(mapping(obj, "spec").get("finalizers"))

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return {"status.phase": text(mapping(obj, "status"), "phase")}

    @staticmethod
    def _finalized(sent: Object, old: Object) -> Object:
        changed = {**sent, "status": old.get("status", {})}
        changed["spec"] = {name: value for name, value in mapping(sent, "spec").items() if value}
        return changed

    subresource_updates: ClassVar[Mapping[str, Callable[[Object, Object], Object]]] = {"finalize": _finalized}

    def virtual_objects(self, cluster: LogicalClusterName) -> Sequence[Object]:
        return virtual_namespaces(cluster, self._server_uid, self._created)


def _frozen_fields(obj: Object, old: Object, fields: Sequence[str]) -> list[FieldError]:
    if old.get("immutable") is not True:
        return []
    found = []
    if obj.get("immutable") is not True:
        found.append(field_errors.forbidden("immutable", _FROZEN))
    found += [field_errors.forbidden(name, _FROZEN) for name in fields if mapping(obj, name) != mapping(old, name)]
    return found


def _key_errors(data: Mapping[str, Any], path: str) -> list[FieldError]:
    return [
        field_errors.invalid(f"{path}[{key}]", key, why) for key in sorted(data) for why in names.is_config_map_key(key)
    ]


class ConfigMapStrategy(BuiltinStrategy):
    """ConfigMaps: well-formed keys, each in one of the two maps, 1 MiB at most."""

    def default(self, obj: Object) -> None:
        drop_nulls(obj)
        canonical_bytes(mapping(obj, "binaryData"))

    def validate(self, obj: Object) -> list[FieldError]:
        data, binary = mapping(obj, "data"), mapping(obj, "binaryData")
        found = _key_errors(data, "data")
        both = sorted(set(data) & set(binary))
        found += [field_errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData") for key in both]
        found += _key_errors(binary, "binaryData")
        found += [field_errors.invalid(f"binaryData[{key}]", key, "duplicate of key present in data") for key in both]
        size = sum(len(value.encode()) for value in data.values() if isinstance(value, str))
        size += sum(decoded_size(value) for value in binary.values())
        if size > MAX_BYTES:
            found.append(field_errors.too_long("[]", MAX_BYTES))
        return found

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return _frozen_fields(obj, old, ("data", "binaryData")) + self.validate(obj)

    def cells(self, obj: Object) -> list[Any] | None:
        return [str(len(mapping(obj, "data")) + len(mapping(obj, "binaryData"))), age(obj)]


_BASIC_AUTH: Final = "kubernetes.io/basic-auth"
_SERVICE_ACCOUNT_TOKEN: Final = "kubernetes.io/service-account-token"  # noqa: S105 - a type's name
_SERVICE_ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"
_REQUIRED_KEYS: Final = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_JSON_TYPES: Final = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")


class SecretStrategy(BuiltinStrategy):
    """Secrets: ``stringData`` is merged into ``data``; some types ask for certain keys."""

    selectable: ClassVar[frozenset[str]] = frozenset({"type"})

    def default(self, obj: Object) -> None:
        drop_nulls(obj)
        if not obj.get("type"):
            obj["type"] = "Opaque"
        canonical_bytes(mapping(obj, "data"))
        strings = obj.get("stringData")
        if isinstance(strings, dict) and all(isinstance(value, str) for value in strings.values()):
            del obj["stringData"]
            data = obj.get("data")
            if strings and (data is None or isinstance(data, dict)):
                encoded = {key: base64.b64encode(value.encode()).decode() for key, value in strings.items()}
                obj["data"] = {**(data or {}), **encoded}

    def validate(self, obj: Object) -> list[FieldError]:
        data, type_ = mapping(obj, "data"), text(obj, "type")
        found = _key_errors(data, "data")
        if sum(decoded_size(value) for value in data.values()) > MAX_BYTES:
            found.append(field_errors.too_long("data", MAX_BYTES))
        if type_ == _SERVICE_ACCOUNT_TOKEN:
            if not text(mapping(obj["metadata"], "annotations"), _SERVICE_ACCOUNT_NAME):
                found.append(field_errors.required(f"metadata.annotations[{_SERVICE_ACCOUNT_NAME}]"))
        elif type_ == _BASIC_AUTH:
            if not ({"username", "password"} & set(data)):
                found += [field_errors.required("data[username]"), field_errors.required("data[password]")]
        elif keys := _REQUIRED_KEYS.get(type_):
            present_if_empty = type_ != "kubernetes.io/ssh-auth"
            found += [
                field_errors.required(f"data[{key}]")
                for key in keys
                if key not in data or (not data[key] and not present_if_empty)
            ]
            if type_ in _JSON_TYPES and keys[0] in data:
                found += _json_errors(data[keys[0]], f"data[{keys[0]}]")
        return found

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        found = list(unchanged(obj, old, "type"))
        return found + _frozen_fields(obj, old, ("data",)) + self.validate(obj)

    def cells(self, obj: Object) -> list[Any] | None:
        return [text(obj, "type"), str(len(mapping(obj, "data"))), age(obj)]

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return {"type": text(obj, "type")}


def _json_errors(value: Any, path: str) -> list[FieldError]:
    try:
        content = base64.b64decode(value)
    except (TypeError, ValueError):
        return []  # not base64: the schema says so
    try:
        decoded = orjson.loads(content)
    except orjson.JSONDecodeError as problem:
        return [field_errors.invalid(path, "<secret contents redacted>", str(problem))]
    if not isinstance(decoded, dict):
        return [field_errors.invalid(path, "<secret contents redacted>", "must be a JSON object")]
    return []


class ServiceAccountStrategy(BuiltinStrategy):
    """ServiceAccounts."""

    deletion_keeps_object: ClassVar[bool] = True

    def cells(self, obj: Object) -> list[Any] | None:
        return [str(len(sequence(obj, "secrets"))), age(obj)]
