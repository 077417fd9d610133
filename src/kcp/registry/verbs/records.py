"""Records: objects as the log stores them, and their conversion from and to what clients see.

A record whose tag is the type's schema hash holds the bytes that a reader gets, except for the resource version. Any other
record was written under another schema or version: a read decodes, converts, prunes, defaults and encodes it.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kcp.api import documents
from kcp.logical_clusters import SERVER_OWNED, LogicalClusterName
from kcp.registry.fencing import FENCES
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.decoding import prune_and_default
from kcp.store.contract import Key, Record

VIRTUAL_REVISION: Final = 1
"""The revision of virtual objects. No other object has it: the log's first write is the identity of the log."""


def key_of(type_: ResourceType, cluster: LogicalClusterName, namespace: str, name: str) -> Key:
    """The key of an object."""
    return Key(type_.storage, cluster, namespace, name)


def copy_of(obj: dict[str, Any]) -> dict[str, Any]:
    """A deep copy of an object."""
    copied: dict[str, Any] = orjson.loads(orjson.dumps(obj))
    return copied


def served_bytes(record: Record, type_: ResourceType) -> bytes:
    """The JSON of an object in this type's version."""
    if record.tag == type_.schema_hash:
        return documents.splice_revision(record.value, record.revision)
    return documents.encode(served_object(record, type_))


def served_object(record: Record, type_: ResourceType) -> dict[str, Any]:
    """The object in this type's version; the caller may change it."""
    obj: dict[str, Any] = documents.decode(record.value)
    if record.tag != type_.schema_hash:
        obj = _converted(obj, type_)
    obj["metadata"]["resourceVersion"] = str(record.revision)
    return obj


def stored_value(obj: dict[str, Any], type_: ResourceType) -> tuple[bytes, str]:
    """The bytes to store for an object of this type's version, and their tag."""
    if type_.version == type_.storage_version and f"{type_.resource}" == type_.storage:
        return documents.encode_stored(obj), type_.schema_hash
    stored = type_.strategy.to_storage(dict(obj))
    if stored.get("apiVersion") == type_.api_version and type_.version != type_.storage_version:
        group = type_.group
        stored["apiVersion"] = f"{group}/{type_.storage_version}" if group else type_.storage_version
    return documents.encode_stored(stored), ""


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


def _converted(obj: dict[str, Any], type_: ResourceType) -> dict[str, Any]:
    obj = type_.strategy.from_storage(obj)
    obj["apiVersion"] = type_.api_version
    obj["kind"] = type_.kind
    prune_and_default(obj, type_)
    return obj
