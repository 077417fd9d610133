"""The cached form of an object: its JSON bytes and a small summary. Callers decode it when they need the whole object."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from kcp.client.objects import Object
from kcp.logical_clusters import ANNOTATION, UNNAMED, LogicalClusterName


class ObjectKey(NamedTuple):
    """The key of an object. ``cluster`` is `UNNAMED` where there is no logical cluster, ``namespace`` may be empty."""

    cluster: LogicalClusterName
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


class CachedObject:
    """An immutable cached object. ``data`` is its JSON."""

    __slots__ = ("_labels", "data", "indexed", "key", "resource_version", "uid")

    def __init__(
        self, key: ObjectKey, meta: Mapping[str, Any], data: bytes, indexed: tuple[tuple[str, ...], ...] = ()
    ) -> None:
        self.key = key
        self.uid: str = meta.get("uid") or ""
        self.resource_version: str = meta.get("resourceVersion") or ""
        self._labels = _flat(meta.get("labels"))
        self.data = data
        self.indexed = indexed
        """The object's values of each index of the cache, in the order of the indexes."""

    @property
    def labels(self) -> dict[str, str]:
        """The labels."""
        return dict(zip(self._labels[::2], self._labels[1::2], strict=True))

    def decode(self) -> Object:
        """Return the object: a new copy, which the caller may change."""
        decoded: Object = orjson.loads(self.data)
        return decoded

    def __repr__(self) -> str:
        return f"CachedObject({self.key}, resourceVersion {self.resource_version})"


def encode(object_: Object) -> bytes:
    """Encode an object as JSON. Returns a copy, because orjson over-allocates its result."""
    return bytes(memoryview(orjson.dumps(object_)))


def key_of(object_: Object, cluster: LogicalClusterName = UNNAMED) -> ObjectKey:
    """Return the key of an object. ``cluster`` is used if the object has no annotation of its logical cluster."""
    meta = object_["metadata"]
    annotations = meta.get("annotations")
    found = (annotations.get(ANNOTATION) if annotations else None) or cluster
    return ObjectKey(
        LogicalClusterName(sys.intern(found)), sys.intern(meta.get("namespace") or ""), meta.get("name") or ""
    )


def _flat(labels: Mapping[str, str] | None) -> tuple[str, ...]:
    """Return keys and values in one tuple, which takes half the memory of a dictionary. Strings are interned, others left out."""
    if not labels:
        return ()
    return tuple(sys.intern(text) for pair in labels.items() if isinstance(pair[1], str) for text in pair)
