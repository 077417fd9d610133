"""Logs of both kinds, with the same methods to open, export and import them."""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from devtools.etcd import EtcdCluster
from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Key, Range, Record, Store
from kcp.store.etcd import transfer as etcd
from kcp.store.etcd.access import LogOptions
from kcp.store.etcd.opening import open_store as open_etcd
from kcp.store.exports import Summary
from kcp.store.sqlite import transfer as sqlite
from kcp.store.sqlite.store import open_store as open_sqlite
from kcp.store.transfers import Imported, select

Value = TypeVar("Value")
RESOURCES = ("widgets", "gadgets", "own")


class Log(ABC):
    """A log that is empty at first."""

    @abstractmethod
    async def open(self) -> Store:
        """Open a store over it."""

    @abstractmethod
    async def export(self, file: Path, cluster: LogicalClusterName = WILDCARD) -> Summary:
        """Export it to a file."""

    @abstractmethod
    async def take(self, file: Path, cluster: LogicalClusterName = WILDCARD, *, replace: bool = False) -> Imported:
        """Import a file."""

    async def use(self, work: Callable[[Store], Awaitable[Value]]) -> Value:
        """Run a function on a store that is opened only for it."""
        store = await self.open()
        try:
            return await work(store)
        finally:
            await store.close()

    async def state(self) -> dict[Key, Record]:
        """Return its whole state."""

        async def work(store: Store) -> dict[Key, Record]:
            pages = [store.scan(Range(resource)) for resource in RESOURCES]
            return {record.key: record for page in pages for record in page.records}

        return await self.use(work)


class SQLiteLog(Log):
    """A log in a file."""

    def __init__(self, folder: Path, _cluster: EtcdCluster | None = None) -> None:
        self.path = folder / f"{uuid.uuid4().hex}.db"

    async def open(self) -> Store:
        return open_sqlite(self.path)

    async def export(self, file: Path, cluster: LogicalClusterName = WILDCARD) -> Summary:
        return await asyncio.to_thread(sqlite.export_log, self.path, file, cluster)

    async def take(self, file: Path, cluster: LogicalClusterName = WILDCARD, *, replace: bool = False) -> Imported:
        return await asyncio.to_thread(sqlite.import_log, self.path, file, select(file, cluster, replace=replace))


class EtcdLog(Log):
    """A log below a prefix of its own."""

    def __init__(self, folder: Path, cluster: EtcdCluster) -> None:
        self.folder = folder / uuid.uuid4().hex
        self.folder.mkdir()
        self.options: LogOptions = cluster.options(f"/tests/{self.folder.name}")

    async def open(self) -> Store:
        return await open_etcd(self.options, self.folder)

    async def open_another(self) -> Store:
        """Open the store of another server over the same log."""
        folder = self.folder / uuid.uuid4().hex
        folder.mkdir()
        return await open_etcd(self.options, folder)

    async def export(self, file: Path, cluster: LogicalClusterName = WILDCARD) -> Summary:
        return await etcd.export_log(self.options, file, cluster)

    async def take(self, file: Path, cluster: LogicalClusterName = WILDCARD, *, replace: bool = False) -> Imported:
        return await etcd.import_log(self.options, file, select(file, cluster, replace=replace))

    async def restore(self, file: Path, *, replace: bool = False) -> Imported:
        """Replace it with a saved log."""
        return await etcd.restore_log(self.options, file, select(file, replace=replace))
