"""Backends: the kinds of logs, and the one place that chooses among them.

A backend opens its log for a server, and does to a log as a whole what operators ask for: snapshots, exports, imports, checks.
To add one, write its module, add its options to `StorageOptions` and its case to `backend_for`, and add it to the parameters of
the conformance suite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Action, Capabilities, OptionError, Store
from kcp.store.figures import StoreFigures

if TYPE_CHECKING:
    from kcp.store.exports import Summary
    from kcp.store.findings import Examine, Finding, Progress
    from kcp.store.hub import Scheduler
    from kcp.store.transfers import Imported, Restored, Selection, SnapshotInfo

Check = Callable[[], str | None]
"""A readiness check: why the server is not ready, or None."""


class ServerStore(Store, StoreFigures, Protocol):
    """An open log with what a server needs beside the contract: figures, readiness checks, leader election."""

    def readiness_checks(self) -> dict[str, Check]:
        """Return the readiness checks by name."""

    def readiness_notes(self) -> dict[str, Check]:
        """Return, by name, checks of faults that a ready server only notes: it serves everything else."""

    def observe_deliveries(self, observer: Callable[[float], None]) -> None:
        """Call back with the duration, in seconds, of each long delivery of changes to followers and watchers."""

    def schedule_deliveries(self, schedule: Scheduler) -> None:
        """Let a function decide when a long delivery to the watchers of a logical cluster goes on."""

    async def lead(self, task: str, start: Action, stop: Action) -> Action:
        """Run a task on one of the servers of the log: ``start`` when this server is elected, ``stop`` when it no longer is.

        The only server of a log leads at once. Returns the function that withdraws from the election and stops the task.
        """


class Backend(Protocol):
    """A log that may be open or not, in use by servers or not.

    All methods but `open` block, for use by commands. They raise LogError (with a message for the operator),
    StoreUnavailableError and OSError.
    """

    @property
    def capabilities(self) -> Capabilities:
        """How the backend differs from others."""

    def is_missing(self) -> bool:
        """Whether `open` would create the log here. A log that is kept elsewhere is never missing here."""

    async def open(self) -> ServerStore:
        """Open the log for a server; it is created if absent. Raises LogError, StoreUnavailableError, OSError."""

    def save(self, file: Path) -> None:
        """Write a consistent snapshot to a new file. Servers may use the log."""

    def restore(self, file: Path, *, replace: bool) -> Restored:
        """Replace the log, which no server uses, with a snapshot.

        ``replace`` allows a backend to delete the existing log if it cannot keep it.
        """

    def export_log(self, file: Path, logical_cluster: LogicalClusterName = WILDCARD) -> Summary:
        """Write the log's state at one revision to an export file. Servers may use the log."""

    def import_log(self, file: Path, selection: Selection) -> Imported:
        """Write entries of an export file into the log; it is created if absent."""

    def check(self, examine: Examine, *, first: int, progress: Progress | None) -> Iterable[Finding]:
        """Check the log's invariants, read-only. Servers may use the log.

        ``examine`` checks a stored value; at most ``first`` violations of each rule are described.
        """


def _flag(help_text: str, metavar: str | None = None) -> dict[str, Any]:
    """Make the metadata of a field of `StorageOptions` that commands take as a flag."""
    return {"help": help_text, "metavar": metavar}


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """Where the log is, as an operator chooses it. Each field with metadata is a flag of every command about a log."""

    root_directory: Path = Path(".kcp")
    durability: str = "full"
    etcd_servers: tuple[str, ...] = field(
        default=(),
        metadata=_flag(
            "Keep the log in this etcd cluster, which other servers may share. [default: a file in the root directory]",
            "URL,...",
        ),
    )
    etcd_prefix: str = field(default="/kcp", metadata=_flag("Prefix of every key in etcd.", "PREFIX"))
    etcd_cafile: Path | None = field(
        default=None,
        metadata=_flag("Certificate authorities that sign etcd's certificates. [default: the system's]"),
    )
    etcd_certfile: Path | None = field(default=None, metadata=_flag("Client certificate for etcd."))
    etcd_keyfile: Path | None = field(default=None, metadata=_flag("Private key of --etcd-certfile."))
    etcd_username: str = field(default="", metadata=_flag("User of etcd, if it requires one.", "NAME"))
    etcd_password_file: Path | None = field(
        default=None, metadata=_flag("File that holds the password of --etcd-username.")
    )

    @property
    def data_directory(self) -> Path:
        """The directory of everything that a server writes."""
        return self.root_directory / "data"

    @property
    def log_file(self) -> Path:
        """The SQLite log."""
        return self.data_directory / "kcp.db"

    def check_storage(self) -> None:
        """Raise OptionError for options that contradict one another."""
        if (self.etcd_certfile is None) != (self.etcd_keyfile is None):
            raise OptionError("--etcd-certfile and --etcd-keyfile must be given together")
        if bool(self.etcd_username) != (self.etcd_password_file is not None):
            raise OptionError("--etcd-username and --etcd-password-file must be given together")


def backend_for(options: StorageOptions) -> Backend:
    """Choose the backend that is configured. Raises OptionError."""
    options.check_storage()
    if not options.etcd_servers:
        from kcp.store.sqlite.backend import SQLiteBackend

        return SQLiteBackend(options.log_file, durability=options.durability)
    from kcp.store.etcd.access import ConnectionOptions, LogOptions
    from kcp.store.etcd.backend import EtcdBackend

    connection = ConnectionOptions(
        endpoints=options.etcd_servers,
        authority_file=options.etcd_cafile,
        certificate_file=options.etcd_certfile,
        key_file=options.etcd_keyfile,
        username=options.etcd_username,
        password=_password(options.etcd_password_file),
    )
    return EtcdBackend(options.data_directory, LogOptions(connection, options.etcd_prefix))


def _password(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text().rstrip("\r\n")
    except OSError as error:
        raise OptionError(f"--etcd-password-file: cannot read {file}: {error.strerror}") from error


def backend_of_file(file: Path, options: StorageOptions) -> Backend:
    """The backend of a log file that is named directly. Raises OptionError if the options name another log as well."""
    if options.etcd_servers:
        raise OptionError("FILE and --etcd-servers cannot be given together")
    from kcp.store.sqlite.backend import SQLiteBackend

    return SQLiteBackend(file)


def describe_snapshot(file: Path) -> SnapshotInfo:
    """Check a snapshot of any backend and count its content. Raises LogError, OSError."""
    from kcp.store.exports import is_export, verify
    from kcp.store.transfers import SnapshotInfo

    if is_export(file):
        summary = verify(file)
        return SnapshotInfo(summary.header.revision, summary.entries, len(summary.logical_clusters))
    from kcp.store.sqlite import snapshots

    return snapshots.describe(file)
