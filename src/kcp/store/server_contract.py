"""The contract of servers and commands with a backend: an open log with what a server needs, and a log as a whole.

`kcp.store.backends` chooses among the backends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Action, Capabilities, Event, Store
from kcp.store.figures import StoreFigures

if TYPE_CHECKING:
    from kcp.store.exports import Summary
    from kcp.store.findings import Examine, Finding, Progress
    from kcp.store.hub import Charge, Scheduler
    from kcp.store.transfers import Imported, Restored, Selection

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

    def schedule_deliveries(self, schedule: Scheduler, charge: Charge) -> None:
        """Let a function decide when a long delivery to the watchers of a logical cluster goes on, and ``charge`` the others."""

    def expect_writes(self, in_progress: Callable[[], int]) -> None:
        """Let the store ask how many writes requests have in progress: the only one waits for no others."""

    def decode_events(self, decode: Callable[[Event], Event]) -> None:
        """Apply a function to each event before followers and watchers get it, also to past ones.

        An event whose value it returns as `UNREADABLE` goes to followers; its watchers resume, and get a CompactedError.
        """

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
