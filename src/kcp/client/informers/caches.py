"""The objects of a resource by key, with indexes: the target of a reflector, which reports changes.

An event that is older than the cached object is ignored, so events may come twice. Of a server that is not trusted, what a list
contains is compared with what is cached also where the versions are equal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from kcp.client.informers.objects import CachedObject, ObjectKey, encode, key_of
from kcp.client.objects import DELETED, Object, WatchEvent
from kcp.client.versions import is_older
from kcp.logical_clusters import LogicalClusterName

logger = logging.getLogger(__name__)

IndexFunction = Callable[[Object], Iterable[str]]
"""Returns the index values of an object. Called with the transformed object whenever it changes."""


class Change(NamedTuple):
    """An object before and after a change. ``old`` is None for an addition, ``new`` for a deletion."""

    key: ObjectKey
    old: CachedObject | None
    new: CachedObject | None


class Cache:
    """Objects by key, with indexes. ``cluster`` is the logical cluster of objects without the annotation."""

    def __init__(
        self,
        cluster: LogicalClusterName,
        indexes: Mapping[str, IndexFunction],
        changed: Callable[[Change], None],
        transform: Callable[[Object], Object] | None = None,
        *,
        compares_contents: bool = False,
    ) -> None:
        """``compares_contents``: whether a listed object can differ from the cached one of its version."""
        self._cluster = cluster
        self._positions = {name: position for position, name in enumerate(indexes)}
        self._functions = tuple(indexes.values())
        self._indexes: tuple[dict[str, dict[ObjectKey, None]], ...] = tuple({} for _ in indexes)
        self._changed = changed
        self._transform = transform
        self._objects: dict[ObjectKey, CachedObject] = {}
        self._unconfirmed: set[ObjectKey] | None = None
        self._compares_contents = compares_contents

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[CachedObject]:
        return iter(self._objects.values())

    def get(self, key: ObjectKey) -> CachedObject | None:
        """Return the object of a key."""
        return self._objects.get(key)

    def by_index(self, name: str, value: str) -> list[CachedObject]:
        """Return the objects with an index value. Raises KeyError for an unknown index."""
        keys = self._indexes[self._positions[name]].get(value, ())
        return [self._objects[key] for key in keys]

    @property
    def index_names(self) -> frozenset[str]:
        """The names of the indexes."""
        return frozenset(self._positions)

    def begin(self) -> None:
        """Begin a list."""
        self._unconfirmed = set(self._objects)

    def put(self, object_: Object) -> None:
        """Store an object of the list."""
        key = key_of(object_, self._cluster)
        if self._unconfirmed is not None:
            self._unconfirmed.discard(key)
        meta, old = object_["metadata"], self._objects.get(key)
        if old is None or (old.uid, old.resource_version) != (meta.get("uid"), meta.get("resourceVersion")):
            self._store(key, object_, old)
        elif self._compares_contents:
            prepared, indexed = self._prepared(key, object_)
            if old.indexed != indexed or _differ(old, prepared):
                self._keep(key, meta, prepared, indexed, old)

    def end(self) -> None:
        """End the list: remove the objects that it did not contain."""
        gone, self._unconfirmed = self._unconfirmed, None
        for key in gone or ():
            self._remove(key)

    def apply(self, event: WatchEvent) -> None:
        """Apply a change, unless it is older than the cached object."""
        key = key_of(event.object, self._cluster)
        meta, old = event.object["metadata"], self._objects.get(key)
        version = meta.get("resourceVersion") or ""
        if old is not None and is_older(version, old.resource_version):
            return
        if event.type == DELETED:
            self._remove(key)
        elif old is None or (old.uid, old.resource_version) != (meta.get("uid"), version):
            self._store(key, event.object, old)

    def _store(self, key: ObjectKey, object_: Object, old: CachedObject | None) -> None:
        meta = object_["metadata"]
        prepared, indexed = self._prepared(key, object_)
        self._keep(key, meta, prepared, indexed, old)

    def _keep(
        self,
        key: ObjectKey,
        meta: Mapping[str, Any],
        object_: Object,
        indexed: tuple[tuple[str, ...], ...],
        old: CachedObject | None,
    ) -> None:
        new = CachedObject(key if old is None else old.key, meta, encode(object_), indexed)
        if old is not None and old.indexed != indexed:
            self._unindex(old)
        self._objects[new.key] = new
        if old is None or old.indexed != indexed:
            for index, values in zip(self._indexes, indexed, strict=True):
                for value in values:
                    index.setdefault(value, {})[new.key] = None
        self._changed(Change(new.key, old, new))

    def _prepared(self, key: ObjectKey, object_: Object) -> tuple[Object, tuple[tuple[str, ...], ...]]:
        """Return the transformed object and its index values. A function that fails is skipped."""
        try:
            if self._transform is not None:
                object_ = self._transform(object_)
            return object_, tuple(tuple(function(object_)) for function in self._functions)
        except Exception:
            logger.exception("a transformation or an index failed on %s, which is kept without it", key)
            return object_, tuple(() for _ in self._functions)

    def _remove(self, key: ObjectKey) -> None:
        old = self._objects.pop(key, None)
        if old is not None:
            self._unindex(old)
            self._changed(Change(old.key, old, None))

    def _unindex(self, old: CachedObject) -> None:
        for index, values in zip(self._indexes, old.indexed, strict=True):
            for value in values:
                keys = index.get(value)
                if keys is not None:
                    keys.pop(old.key, None)
                    if not keys:
                        del index[value]


def _differ(cached: CachedObject, object_: Object) -> bool:
    """Whether an object has other fields than a cached one. Lists of Kubernetes leave out what type their items have."""
    return cached.data != encode(object_) and _untyped(cached.decode()) != _untyped(object_)


def _untyped(object_: Object) -> Object:
    return {name: value for name, value in object_.items() if name not in ("apiVersion", "kind")}
