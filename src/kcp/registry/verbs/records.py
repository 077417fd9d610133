"""Records: objects as the log stores them, and their conversion from and to what clients see.

A record whose tag is the type's schema hash holds the bytes that a reader gets, except for the resource version. Any other
record was written under another schema or version: a read decodes it, prunes and defaults it by the present schema of the
version that it is stored in, converts it, and encodes it. As in apiextensions-apiserver, a conversion by the strategy None
prunes what the wanted version does not declare, and sets no defaults of it.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kcp.api import documents, errors, json_values
from kcp.logical_clusters import SERVER_OWNED, LogicalClusterName
from kcp.registry.fencing import FENCES
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.decoding import prune_and_default
from kcp.registry.verbs.large_work import LARGE
from kcp.store.contract import Key, Record

VIRTUAL_REVISION: Final = 1
"""The revision of virtual objects. No other object has it: the log's first write is the identity of the log."""


def key_of(type_: ResourceType, cluster: LogicalClusterName, namespace: str, name: str) -> Key:
    """The key of an object."""
    return Key(type_.storage, cluster, namespace, name)


def copy_of_patched(obj: dict[str, Any], size: int) -> dict[str, Any]:
    """A deep copy of what a patch makes of an object of ``size`` bytes of JSON.

    It shares the sets of its managed fields, which nothing changes; that of a large object shares strings and numbers too.
    """
    copy = json_values.copy if size < LARGE else json_values.copy_containers
    copied: dict[str, Any]
    meta = obj.get("metadata")
    entries = meta.get("managedFields") if isinstance(meta, dict) else None
    if not isinstance(meta, dict) or not isinstance(entries, list) or set(map(type, entries)) != {dict}:
        copied = copy(obj)
        return copied
    copied = copy({**obj, "metadata": {**meta, "managedFields": None}})
    copied["metadata"]["managedFields"] = list(map(dict, entries))
    return copied


def served_bytes(record: Record, type_: ResourceType) -> bytes:
    """The JSON of an object in this type's version."""
    if record.tag == type_.schema_hash:
        return documents.splice_revision(record.value, record.revision)
    return documents.encode(served_object(record, type_))


def served_object(record: Record, type_: ResourceType) -> dict[str, Any]:
    """The object in this type's version; the caller may change it."""
    obj = object_in(record.value, record.tag, type_)
    obj["metadata"]["resourceVersion"] = str(record.revision)
    return obj


def object_in(value: bytes, tag: str, type_: ResourceType) -> dict[str, Any]:
    """The object of a stored value and its tag in this type's version, without a resource version."""
    obj: dict[str, Any] = documents.decode_stored(value)
    return obj if tag == type_.schema_hash else _converted(obj, tag, type_)


def is_being_deleted(record: Record) -> bool:
    """Whether the stored object waits for its finalizers."""
    return bool(documents.decode_stored(record.value)["metadata"].get("deletionTimestamp"))


def stored_value(obj: dict[str, Any], type_: ResourceType) -> tuple[bytes, str]:
    """The bytes to store for an object of this type's version, and their tag."""
    if type_.stored_as_is:
        return documents.encode_stored(obj), type_.schema_hash
    if (form := type_.stored_form) is not type_:
        stored = json_values.copy(obj)
        _convert(stored, type_, form)
        form.schema.default(stored)
        return documents.encode_stored(stored), form.schema_hash
    stored = type_.strategy.to_storage(dict(obj))
    if stored.get("apiVersion") == type_.api_version and type_.version != type_.storage_version:
        group = type_.group
        stored["apiVersion"] = f"{group}/{type_.storage_version}" if group else type_.storage_version
    return documents.encode_stored(stored), ""


def unreadable_object(key: Key, type_: ResourceType) -> dict[str, Any]:
    """A stand-in for an object whose stored value is damaged: its type and its name."""
    meta = {"name": key.name, "namespace": key.namespace} if key.namespace else {"name": key.name}
    return {"apiVersion": type_.api_version, "kind": type_.kind, "metadata": meta}


def stored_problem(key: Key, value: bytes) -> str | None:
    """The problem of a stored value, for checks of a log; None where it is sound.

    Values outside logical clusters are the servers' own: JSON, but not objects.
    """
    if key.resource == FENCES:
        return "a fencing key has no value" if value else None
    if key.cluster != SERVER_OWNED:
        return documents.stored_problem(value, key.namespace, key.name)
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return f"it is not JSON: {error}"
    return None


def _converted(obj: dict[str, Any], tag: str, type_: ResourceType) -> dict[str, Any]:
    """A stored object pruned and defaulted in its own version, then converted."""
    written = type_.versions.get(obj.get("apiVersion", ""))
    if written is not None:
        if tag != written.schema_hash:
            obj["kind"] = written.kind
            prune_and_default(obj, written)
        if written is not type_:
            _convert(obj, written, type_)
        return obj
    obj = type_.strategy.from_storage(obj)
    obj["apiVersion"] = type_.api_version
    obj["kind"] = type_.kind
    prune_and_default(obj, type_)
    return obj


def _convert(obj: dict[str, Any], source: ResourceType, wanted: ResourceType) -> None:
    """Convert an object between versions by the strategy None: a new apiVersion, and the fields that it declares."""
    if wanted.conversion_webhook:
        raise conversion_failed(source)
    obj["apiVersion"] = wanted.api_version
    wanted.schema.prune(obj)


def conversion_failed(source: ResourceType) -> errors.StatusError:
    """500: objects of this version are converted by a webhook, and this server calls none."""
    group, version, kind = source.gvk
    why = f"this server does not call conversion webhooks: use the storage version, {source.stored_form.api_version}"
    return errors.StatusError(500, "", f"conversion webhook for {group}/{version}, Kind={kind} failed: {why}")
