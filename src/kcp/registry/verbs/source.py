"""Reads of one type: the records of the log, merged with virtual objects.

Virtual objects exist in every logical cluster without being stored: the namespaces ``default``, ``kube-system`` and
``kube-public``, the default roles and bindings, and what each namespace has (`virtual_in_namespaces`). A stored object of the
same name replaces the virtual one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from kcp.api import documents, errors
from kcp.api.kinds import GroupResource
from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.types.strategies import Object
from kcp.registry.verbs.records import VIRTUAL_REVISION, key_of
from kcp.registry.verbs.shared_pages import SharedPages
from kcp.registry.verbs.virtual_in_namespaces import VirtualInNamespaces
from kcp.store.contract import ABSENT, DamagedValueError, Hint, Key, Page, Range, Record, Store, UndecryptableValueError

_LOST: Final = (
    "an administrator can restore it from a backup, or delete it with the option "
    "ignoreStoreReadErrorWithClusterBreakingPotential; kcp store check names all damaged values"
)
_UNDECRYPTABLE: Final = (
    "give the server this key in --encryption-provider-config, or delete the object with the option "
    "ignoreStoreReadErrorWithClusterBreakingPotential"
)
_RECOVERABLE: Final = "only the local copy of the log is damaged: restart this server, which then fetches it again"


class DamagedObjectError(errors.StatusError):
    """500: the stored value of an object is damaged, or cannot be decrypted. ``revision`` is the revision that wrote it.

    ``recoverable`` is that of `DamagedValueError`.
    """

    def __init__(self, error: DamagedValueError) -> None:
        plural, _, group = error.key.resource.partition(".")
        resource = GroupResource(group, plural)
        if isinstance(error, UndecryptableValueError):
            what, remedy = f"cannot be decrypted: {error.reason}", _UNDECRYPTABLE
        else:
            what, remedy = "is damaged", _RECOVERABLE if error.recoverable else _LOST
        super().__init__(
            500,
            "InternalError",
            "Internal error occurred: StorageError: corrupt object: "
            f"the stored value of {_described(error.key)} {what}; {remedy}",
            details=errors.details_of(resource, error.key.name),
        )
        self.revision = error.revision
        self.recoverable = error.recoverable


class Source:
    """The objects of a type, as records."""

    def __init__(
        self,
        store: Store,
        shared_pages: SharedPages | None = None,
        warn: Callable[[str], None] | None = None,
        in_namespaces: VirtualInNamespaces | None = None,
    ) -> None:
        self.store = store
        self.shared_pages = shared_pages if shared_pages is not None else SharedPages(store)
        self.in_namespaces = in_namespaces if in_namespaces is not None else VirtualInNamespaces(store)
        self._warn = warn

    def warning(self, warn: Callable[[str], None]) -> Source:
        """The same source for one request, which is warned of each damaged object that a page lacks."""
        return Source(self.store, self.shared_pages, warn, self.in_namespaces)

    def get(self, type_: ResourceType, cluster: LogicalClusterName, namespace: str, name: str) -> Record | None:
        """The durable object of a name. Raises DamagedObjectError."""
        try:
            record = self.store.get(Key(type_.storage, cluster, namespace, name))
        except DamagedValueError as error:
            raise DamagedObjectError(error) from error
        return record if record is not None else self.virtual(type_, cluster, name, namespace)

    def listed(self, type_: ResourceType, cluster: LogicalClusterName, namespace: str, name: str) -> list[Record]:
        """The durable object of a name as a list of at most one: a damaged object is left out."""
        try:
            record = self.get(type_, cluster, namespace, name)
        except DamagedObjectError:
            self._warn_of((Key(type_.storage, cluster, namespace, name),))
            return []
        return [] if record is None else [record]

    def latest(self, type_: ResourceType, cluster: LogicalClusterName, namespace: str, name: str) -> Record | None:
        """The newest object of a name, which may not be durable yet: the state that a write starts from.

        Raises DamagedObjectError.
        """
        try:
            record = self.store.latest(Key(type_.storage, cluster, namespace, name))
        except DamagedValueError as error:
            raise DamagedObjectError(error) from error
        if record is None and namespace and name in type_.strategy.virtual_names and in_each_namespace(type_):
            return self.in_namespaces.latest(type_, cluster, namespace)
        return record if record is not None else self.virtual(type_, cluster, name, namespace)

    async def settled(self, type_: ResourceType, cluster: LogicalClusterName, namespace: str, name: str) -> None:
        """Wait until the state that `latest` returns is durable; no client may see it before. Raises StoreUnavailableError."""
        key = Key(type_.storage, cluster, namespace, name)
        try:
            pending = self.store.latest(key) != self.store.get(key)
        except DamagedValueError:  # on the disk, if no pending write has replaced it
            pending = True
        if pending:
            await self.store.write(())

    def page(
        self,
        type_: ResourceType,
        range_: Range,
        *,
        limit: int = 0,
        after: Key | None = None,
        at: int | None = None,
        count: bool = False,
        size: int = 0,
    ) -> Page:
        """A page of a range in key order, as `Store.scan` gives it."""
        page = self.store.scan(range_, limit=limit, after=after, at=at, count=count, size=size)
        if page.damaged:
            self._warn_of(page.damaged)
        cluster = range_.cluster
        if cluster == WILDCARD or not type_.strategy.virtual_names:
            return page
        if in_each_namespace(type_):
            return self.in_namespaces.mixed(type_, range_, page, limit, after, at)
        virtual = self.virtual_records(type_, cluster)
        if range_.namespace is not None:
            virtual = [record for record in virtual if record.key.namespace == range_.namespace]
        return _mixed(page, virtual, limit, after)

    async def select(
        self,
        type_: ResourceType,
        range_: Range,
        hint: Hint,
        *,
        limit: int = 0,
        after: Key | None = None,
        at: int | None = None,
        size: int = 0,
    ) -> Page:
        """A page of a range without records that do not meet a hint, as `Store.select` gives it."""
        cluster = range_.cluster
        virtual = cluster != WILDCARD and bool(type_.strategy.virtual_names)
        if virtual and not in_each_namespace(type_):
            # a stored object replaces a virtual one even where the stored one does not meet the hint
            await asyncio.sleep(0)
            return self.page(type_, range_, limit=limit, after=after, at=at, size=size)
        page = await self.store.select(range_, hint, limit=limit, after=after, at=at, size=size)
        if page.damaged:
            self._warn_of(page.damaged)
        return await self.in_namespaces.selected(type_, range_, hint, page, limit, after, at) if virtual else page

    def _warn_of(self, damaged: Sequence[Key]) -> None:
        if self._warn is not None:
            for key in damaged:
                self._warn(f"{_described(key)} is left out: its stored value is damaged")

    def virtual(
        self, type_: ResourceType, cluster: LogicalClusterName, name: str, namespace: str = ""
    ) -> Record | None:
        """The virtual object of a name."""
        strategy = type_.strategy
        if not strategy.virtual_names:
            return None
        if in_each_namespace(type_):
            return self.in_namespaces.find(type_, cluster, namespace) if name in strategy.virtual_names else None
        obj = strategy.virtual_object(cluster, namespace, name)
        return None if obj is None else _virtual_record(type_, cluster, obj)

    @staticmethod
    def virtual_records(type_: ResourceType, cluster: LogicalClusterName) -> Sequence[Record]:
        """The virtual objects of a logical cluster, in name order."""
        return [_virtual_record(type_, cluster, obj) for obj in type_.strategy.virtual_objects(cluster)]


def in_each_namespace(type_: ResourceType) -> bool:
    """Whether each namespace has the virtual object of a type."""
    return type_.namespaced and type_.strategy.virtual_in_each_namespace


def _virtual_record(type_: ResourceType, cluster: LogicalClusterName, obj: Object) -> Record:
    meta = obj["metadata"]
    key = key_of(type_, cluster, meta.get("namespace", ""), meta["name"])
    return Record(key, VIRTUAL_REVISION, documents.encode_stored(obj), type_.schema_hash)


def expected_revision(record: Record) -> int:
    """The expected revision for replacing a record: that of a virtual object is not in the log."""
    return ABSENT if record.revision == VIRTUAL_REVISION else record.revision


def _mixed(page: Page, virtual: Sequence[Record], limit: int, after: Key | None) -> Page:
    stored = {record.key for record in page.records}
    last = page.records[-1].key if page.records and page.remaining else None
    stored.update(page.damaged)
    extra = [
        record
        for record in virtual
        if record.key not in stored and (after is None or record.key > after) and (last is None or record.key < last)
    ]
    if not extra:
        return page
    records = sorted([*page.records, *extra], key=lambda record: record.key)
    if limit and len(records) > limit:
        cut = len(records) - limit
        remaining = page.remaining + cut if page.remaining >= 0 else page.remaining
        return Page(records[:limit], page.revision, remaining, page.damaged)
    return Page(records, page.revision, page.remaining, page.damaged)


def _described(key: Key) -> str:
    where = f" in namespace {key.namespace}" if key.namespace else ""
    return f'{key.resource} "{key.name}"{where} of logical cluster {key.cluster}'
