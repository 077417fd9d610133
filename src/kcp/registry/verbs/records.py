"""Objects as they lie in the log, and how they come out of it.

A record whose tag is the type's own holds exactly the bytes that a reader gets, but for its resource version. Any other
record was written under another schema or version: it is decoded, converted, pruned, defaulted and encoded again.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kcp.api import documents
from kcp.logical_clusters import SERVER_OWNED, LogicalClusterName
from kcp.registry.fencing import FENCES
from kcp.registry.types.resource_types import ResourceType
from kcp.store.contract import Key, Record

VIRTUAL_REVISION: Final = 1
"""The revision of objects that are there without being stored. The log's first write is the server's own identity."""


def key_of(type_: ResourceType, cluster: LogicalClusterName, namespace: str, name: str) -> Key:
    """Where an object of a type lives."""
    return Key(type_.storage, cluster, namespace, name)


def served_bytes(record: Record, type_: ResourceType) -> bytes:
    """The object as a client gets it in this type's version."""
    if record.tag == type_.tag:
        return documents.splice_revision(record.value, record.revision)
    return documents.encode(served_object(record, type_))


def served_object(record: Record, type_: ResourceType) -> dict[str, Any]:
    """The decoded object in this type's version; the caller may change it."""
    obj: dict[str, Any] = documents.decode(record.value)
    if record.tag != type_.tag:
        obj = _converted(obj, type_)
    obj["metadata"]["resourceVersion"] = str(record.revision)
    return obj


def stored_value(obj: dict[str, Any], type_: ResourceType) -> tuple[bytes, str]:
    """The bytes to store for an object of this type's version, and the tag that says how to read them."""
    if type_.version == type_.storage_version and f"{type_.resource}" == type_.storage:
        return documents.encode_stored(obj), type_.tag
    stored = type_.strategy.to_storage(dict(obj))
    if stored.get("apiVersion") == type_.api_version and type_.version != type_.storage_version:
        group = type_.group
        stored["apiVersion"] = f"{group}/{type_.storage_version}" if group else type_.storage_version
    return documents.encode_stored(stored), ""


def stored_problem(key: Key, value: bytes) -> str | None:
    """What is wrong with what lies in the log at a key; None when nothing is.

    What is of no logical cluster is the servers' own: JSON, but no objects.
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


def _converted(obj: dict[str, Any], type_: ResourceType) -> dict[str, Any]:
    obj = type_.strategy.from_storage(obj)
    obj["apiVersion"] = type_.api_version
    obj["kind"] = type_.kind
    type_.schema.prune(obj)
    type_.schema.default(obj)
    type_.strategy.default(obj)
    return obj
