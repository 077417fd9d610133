"""The backend of a log in an etcd cluster. gRPC is imported only when a method connects."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Capabilities, OptionError, StoreUnavailableError
from kcp.store.etcd import integrity, transfer
from kcp.store.etcd.access import LogOptions
from kcp.store.etcd.opening import open_store
from kcp.store.etcd.store import CAPABILITIES, EtcdStore
from kcp.store.exports import Summary, is_export
from kcp.store.findings import FIRST, Examine, Finding, Progress
from kcp.store.transfers import Imported, Restored, Selection, TransferError, select


class EtcdBackend:
    """The log below a prefix of an etcd cluster, with this server's replica in ``directory``."""

    capabilities: Final[Capabilities] = CAPABILITIES

    def __init__(self, directory: Path, options: LogOptions) -> None:
        """Raises OptionError without gRPC."""
        if importlib.util.find_spec("grpc") is None:
            raise OptionError("--etcd-servers needs gRPC: pip install 'kcp-apiserver[etcd]'")
        self._directory = directory
        self._options = options

    def is_missing(self) -> bool:
        """False: etcd keeps the log."""
        return False

    async def open(self) -> EtcdStore:
        """Connect, and bring the replica up to date. Raises LogError, StoreUnavailableError, OSError."""
        try:
            return await open_store(self._options, self._directory)
        except StoreUnavailableError as error:
            raise StoreUnavailableError(f"cannot use etcd at {self._endpoints}: {error}") from error

    def save(self, file: Path) -> None:
        """Export the whole log: an export is the snapshot of a log in etcd."""
        self.export_log(file)

    def restore(self, file: Path, *, replace: bool) -> Restored:
        """Replace the log with an exported one."""
        if not is_export(file):
            raise TransferError(
                f"{file} was saved from a log in a file: to bring it into etcd, export that log and import it"
            )
        done = asyncio.run(transfer.restore_log(self._options, file, select(file, replace=replace)))
        return Restored(f"restored {done.written} objects at revision {done.revision}; start the servers")

    def export_log(self, file: Path, logical_cluster: LogicalClusterName = WILDCARD) -> Summary:
        """Write the log's state at one revision to an export file."""
        return asyncio.run(transfer.export_log(self._options, file, logical_cluster))

    def import_log(self, file: Path, selection: Selection) -> Imported:
        """Import into the log. Servers may use it."""
        return asyncio.run(transfer.import_log(self._options, file, selection))

    def check(self, examine: Examine, *, first: int = FIRST, progress: Progress | None = None) -> Iterable[Finding]:
        """Check the log in etcd at one revision, and the replica if there is one."""
        try:
            return asyncio.run(integrity.check_log(self._options, self._directory, examine, first, progress))
        except StoreUnavailableError as error:
            raise StoreUnavailableError(f"cannot read etcd at {self._endpoints}: {error}") from error

    @property
    def _endpoints(self) -> str:
        return ", ".join(self._options.connection.endpoints)
