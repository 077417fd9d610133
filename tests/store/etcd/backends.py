"""The etcd backends of the conformance suite."""

from __future__ import annotations

import uuid
from pathlib import Path

from devtools.etcd import EtcdCluster
from kcp.store.contract import Store
from kcp.store.etcd.access import LogOptions
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.opening import open_store
from kcp.store.etcd.replica import replica_file


class EtcdBackend:
    """A log below a prefix of its own in a running cluster; opening it again shows the same content."""

    overhead = 0

    def __init__(self, cluster: EtcdCluster, directory: Path) -> None:
        self.cluster = cluster
        self.directory = directory
        self.prefix = f"/tests/{uuid.uuid4().hex}"

    @property
    def options(self) -> LogOptions:
        """Where the log is."""
        return self.cluster.options(self.prefix)

    @property
    def file(self) -> Path:
        """The local replica."""
        return replica_file(self.directory, Layout(self.prefix))

    async def open(self) -> Store:
        """Open a store over the same log as the last time, with the same replica."""
        return await open_store(self.options, self.directory)

    async def open_another(self, name: str) -> Store:
        """Open another server's store over the same log."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        return await open_store(self.options, directory)
