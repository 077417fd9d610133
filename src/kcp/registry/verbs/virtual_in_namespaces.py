"""Virtual objects in namespaces: what each namespace has without storing it.

These are the service account ``default`` and the ConfigMap ``kube-root-ca.crt``. They exist while their namespace exists and
accepts objects, and their UIDs derive from that of the namespace. A stored object of the name replaces the virtual one.
A read of one namespace costs a look-up; a read of all namespaces of a logical cluster walks those that its page covers.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from kcp.api import documents
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import namespaces
from kcp.registry.verbs.records import VIRTUAL_REVISION, key_of
from kcp.store.contract import DamagedValueError, Event, Hint, Key, Page, Range, Record, Store

_CACHE_SIZE: Final = 1024
_CHUNK: Final = 500
_AFTER_ALL: Final = "\x7f"
"""Sorts after every character of a namespace's name."""

Namespace = tuple[str, Record | None]
"""The name of a namespace and its record; None for one that is virtual itself."""


class VirtualInNamespaces:
    """The virtual objects in the namespaces of one log."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: OrderedDict[tuple[LogicalClusterName, str], dict[str, Record]] = OrderedDict()
        self._followers: dict[LogicalClusterName, set[Callable[[Event], None]]] = {}
        store.follow(namespaces.STORAGE, self._on_change)

    def find(self, type_: ResourceType, cluster: LogicalClusterName, namespace: str) -> Record | None:
        """Return the virtual object of a namespace as of the newest durable state."""
        known = self._cache.get((cluster, namespace))
        found = None if known is None else known.get(type_.storage)
        if found is None:
            found = record_in(type_, cluster, (namespace, self._namespace(cluster, namespace, self._store.get)))
            if found is not None:
                self._cache.setdefault((cluster, namespace), {})[type_.storage] = found
                if len(self._cache) > _CACHE_SIZE:
                    self._cache.popitem(last=False)
        return found

    def latest(self, type_: ResourceType, cluster: LogicalClusterName, namespace: str) -> Record | None:
        """Return the virtual object of a namespace as of the newest state, which may not be durable yet."""
        return record_in(type_, cluster, (namespace, self._namespace(cluster, namespace, self._store.latest)))

    def unchanged_since(self, cluster: LogicalClusterName, revision: int) -> bool:
        """Whether the virtual objects of a logical cluster are those of a revision; False if unknown."""
        return self._store.unchanged_since(Range(namespaces.STORAGE, cluster, ""), revision)

    def follow(self, cluster: LogicalClusterName, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back with each change of a namespace in a logical cluster. Returns a function that ends it."""
        self._followers.setdefault(cluster, set()).add(callback)

        def undo() -> None:
            callbacks = self._followers.get(cluster, set())
            callbacks.discard(callback)
            if not callbacks:
                self._followers.pop(cluster, None)

        return undo

    def mixed(
        self, type_: ResourceType, range_: Range, page: Page, limit: int, after: Key | None, at: int | None
    ) -> Page:
        """Return a page of stored records of one logical cluster, with the virtual ones."""
        last = page.records[-1].key if page.records and page.remaining else None
        if range_.namespace is not None:
            virtual = self._find_at(type_, range_.cluster, range_.namespace, at)
            return page if virtual is None else merged(page, _within((virtual,), after, last), limit)
        return merged(page, self._walk(type_, range_.cluster, after, last, limit, at), limit)

    async def selected(
        self,
        type_: ResourceType,
        range_: Range,
        hint: Hint,
        page: Page,
        limit: int,
        after: Key | None,
        at: int | None,
    ) -> Page:
        """Return a page of stored records that may meet a hint, with such virtual ones. Yields between chunks."""
        last = page.records[-1].key if page.records and page.remaining else None
        found = []
        if range_.namespace is not None:
            virtual = self._find_at(type_, range_.cluster, range_.namespace, at)
            found = [] if virtual is None else _within((virtual,), after, last)
        else:
            for number, each in enumerate(self._walk_all(type_, range_.cluster, after, last, at)):
                if hint.admits(each):
                    found.append(each)
                    if limit and len(found) > limit:
                        break
                if number % _CHUNK == _CHUNK - 1:
                    await asyncio.sleep(0)
        # a stored object replaces the virtual one even if it does not meet the hint, and is then not in the page
        absent = [each for each in found if hint.admits(each) and not self._is_stored(each.key)]
        return merged(page, absent, limit)

    def _is_stored(self, key: Key) -> bool:
        try:
            return self._store.get(key) is not None
        except DamagedValueError:
            return True

    def _find_at(
        self, type_: ResourceType, cluster: LogicalClusterName, namespace: str, at: int | None
    ) -> Record | None:
        if at is None or at >= self._store.revision:
            return self.find(type_, cluster, namespace)
        return next((each for each in self._walk_all(type_, cluster, None, None, at, only=namespace)), None)

    def _walk(
        self,
        type_: ResourceType,
        cluster: LogicalClusterName,
        after: Key | None,
        last: Key | None,
        limit: int,
        at: int | None,
    ) -> Sequence[Record]:
        """The virtual objects of a page of all namespaces: one more than the limit is enough."""
        found = []
        for each in self._walk_all(type_, cluster, after, last, at):
            found.append(each)
            if limit and len(found) > limit:
                break
        return found

    def _walk_all(
        self,
        type_: ResourceType,
        cluster: LogicalClusterName,
        after: Key | None,
        last: Key | None,
        at: int | None,
        only: str = "",
    ) -> Iterator[Record]:
        """The virtual objects between two keys in order; those of one namespace if ``only`` names it."""
        start = only or (after.namespace if after is not None else "")
        end = only or (last.namespace if last is not None else "")
        for namespace in self._namespaces(cluster, start, at):
            if end and namespace[0] > end:
                return
            record = record_in(type_, cluster, namespace)
            if record is not None:
                yield from _within((record,), after, last)

    def _namespaces(self, cluster: LogicalClusterName, start: str, at: int | None) -> Iterator[Namespace]:
        """The namespaces of a logical cluster from a name on, in order, read in chunks."""
        always = [name for name in namespaces.ALWAYS_THERE if name >= start]
        position = Key(namespaces.STORAGE, cluster, "", _before(start)) if start else None
        range_ = Range(namespaces.STORAGE, cluster, "")
        while True:
            page = self._store.scan(range_, limit=_CHUNK, after=position, at=at, count=False)
            for record in page.records:
                while always and always[0] < record.key.name:
                    yield always.pop(0), None
                if always and always[0] == record.key.name:
                    always.pop(0)
                yield record.key.name, record
            if not page.remaining:
                break
            position = page.records[-1].key
        for name in always:
            yield name, None

    def _namespace(self, cluster: LogicalClusterName, name: str, read: Callable[[Key], Record | None]) -> Record | None:
        try:
            return read(Key(namespaces.STORAGE, cluster, "", name))
        except DamagedValueError:
            return None

    def _on_change(self, events: Sequence[Event]) -> None:
        for event in events:
            self._cache.pop((event.key.cluster, event.key.name), None)
            for callback in tuple(self._followers.get(event.key.cluster, ())):
                callback(event)


def record_in(type_: ResourceType, cluster: LogicalClusterName, namespace: Namespace) -> Record | None:
    """Return the virtual object of a namespace; None where the namespace does not exist or is being deleted."""
    name, record = namespace
    stored = None if record is None else documents.decode_stored(record.value)
    if stored is not None and stored["metadata"].get("deletionTimestamp"):
        return None
    obj = type_.strategy.virtual_in_namespace(cluster, name, stored)
    if obj is None:
        return None
    key = key_of(type_, cluster, name, obj["metadata"]["name"])
    return Record(key, VIRTUAL_REVISION, documents.encode_stored(obj), type_.schema_hash)


def merged(page: Page, virtual: Sequence[Record], limit: int) -> Page:
    """Return a page with virtual records, in key order, which lie between its ends; a stored record replaces its virtual one."""
    records = page.records
    for record in virtual:
        position = bisect_left(records, record.key, key=_key)
        is_stored = position < len(records) and records[position].key == record.key
        if is_stored or record.key in page.damaged:
            continue
        if records is page.records:
            records = list(records)
        records.insert(position, record)
    if records is page.records:
        return page
    remaining = page.remaining
    if limit and len(records) > limit:
        remaining = remaining + len(records) - limit if remaining >= 0 else remaining
        records = records[:limit]
    return Page(records, page.revision, remaining, page.damaged)


def _key(record: Record) -> Key:
    return record.key


def _within(records: Sequence[Record], after: Key | None, last: Key | None) -> list[Record]:
    return [each for each in records if (after is None or each.key > after) and (last is None or each.key < last)]


def _before(name: str) -> str:
    """A text that sorts directly before the name of a namespace, among such names."""
    return name[:-1] + chr(ord(name[-1]) - 1) + _AFTER_ALL
