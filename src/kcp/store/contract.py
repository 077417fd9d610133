"""What every backend of the log promises.

The log is the truth and the bus: each change gets the next revision, revisions never go back, and whoever follows the
log from a revision sees every later change exactly once and in order. Values are opaque bytes. The conformance suite in
``tests/store`` holds each backend to this page.

All methods are called on the event loop's thread. Reads are plain calls: they take microseconds. Only waiting for
durability (`write`) and for other servers (`catch_up`) is asynchronous.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol

from kcp.logical_clusters import WILDCARD, LogicalClusterName

ANY: Final = -1
"""Precondition of a change: whatever is there, if anything."""
ABSENT: Final = 0
"""Precondition of a change: the key must not exist."""


class Key(NamedTuple):
    """Where a value lives. The parts are kept apart by the store whatever characters they hold."""

    resource: str
    cluster: LogicalClusterName
    namespace: str
    name: str


class Range(NamedTuple):
    """A set of keys: all of a resource, of one logical cluster in it, or of one namespace in that.

    The namespace None stands for all; the empty namespace is the one of objects that have none.
    """

    resource: str
    cluster: LogicalClusterName = WILDCARD
    namespace: str | None = None


class Record(NamedTuple):
    """A value as of ``revision``, the revision that wrote it. ``tag`` is an opaque word the writer stored beside it."""

    key: Key
    revision: int
    value: bytes
    tag: str


class Change(NamedTuple):
    """One key's part of a write. ``value`` None deletes the key, and is then an optional last state to show watchers.

    ``expected`` is the revision that the key must have: ANY, ABSENT, or an exact one.
    ``final`` is, for a delete, the value that watchers get as the deleted state; None means the previous value.
    ``lifetime`` (seconds) makes the key vanish by itself, as a delete in the log; None keeps it.
    """

    key: Key
    value: bytes | None
    expected: int = ANY
    tag: str = ""
    final: bytes | None = None
    lifetime: int | None = None


class Condition(NamedTuple):
    """What a write rests on without changing it: ``key`` must have the revision ``expected``, or ABSENT."""

    key: Key
    expected: int


class Event:
    """A committed change, as watchers get it. Shared by all of them: treat as read-only, except ``cache``.

    ``value`` is None for a delete. ``previous`` is None for a create; its revision says which write it replaces.
    ``deleted`` is the last state to show for a delete. ``cache`` holds encodings, so that each is made once for all watchers.
    """

    __slots__ = ("cache", "deleted", "key", "previous", "record", "revision")

    def __init__(
        self, revision: int, key: Key, record: Record | None, previous: Record | None, deleted: Record | None
    ) -> None:
        self.revision = revision
        self.key = key
        self.record = record
        self.previous = previous
        self.deleted = deleted
        self.cache: dict[object, object] = {}


class Page(NamedTuple):
    """Part of a range in key order. ``revision`` is the state shown; ``remaining`` counts the keys after the page."""

    records: list[Record]
    revision: int
    remaining: int


class PreconditionFailedError(Exception):
    """A key of a write did not have the expected revision; nothing was written."""

    def __init__(self, key: Key, expected: int, actual: Record | None) -> None:
        super().__init__(f"{key}: expected revision {expected}, found {actual.revision if actual else 'none'}")
        self.key = key
        self.expected = expected
        self.actual = actual


class CompactedError(Exception):
    """The revision asked for is older than the retained history; ``oldest`` is the oldest that can still be asked for."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"revision {revision} has been compacted, the oldest is {oldest}")
        self.revision = revision
        self.oldest = oldest


class FutureRevisionError(Exception):
    """The revision asked for has not happened yet."""

    def __init__(self, revision: int, current: int) -> None:
        super().__init__(f"revision {revision} is in the future, the current one is {current}")
        self.revision = revision
        self.current = current


class StoreClosedError(Exception):
    """The store is closed or closing; nothing was written."""


class StoreUnavailableError(Exception):
    """The medium failed (disk full, read-only, quorum lost); nothing of this write is known to be durable."""


class Subscription(Protocol):
    """A place in the log. Iterating gives batches of events; every batch ends at a revision boundary."""

    @property
    def revision(self) -> int:
        """Everything of the range up to this revision has been handed out (or never matched): a safe bookmark."""

    @property
    def pending(self) -> bool:
        """`next` has something to give without waiting."""

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]: ...

    async def next(
        self, timeout: float | None = None, sink: Callable[[Sequence[Event]], bool] | None = None
    ) -> Sequence[Event]:
        """The next batch, or an empty one when ``timeout`` seconds (or a little less) pass without an event.

        Batches that come while it waits are given to the ``sink``, which must not await. It returns with the first of them
        that the sink does not take (by returning false, or by an error), or when `wake` is called.

        A batch may be shared with other subscriptions; where it has a ``cache`` (a dict), that is for encodings of all of it.

        Raises SlowConsumerError when this subscription's buffer overflowed (resume by revision), StoreClosedError at shutdown.
        """

    def wake(self) -> None:
        """Have a waiting `next` return, and give its sink nothing more."""

    def close(self) -> None:
        """Stop at once; the buffer is dropped."""


class SlowConsumerError(Exception):
    """A subscription did not keep up and lost its place; resume from ``revision`` with a new one."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"the consumer fell behind after revision {revision}")
        self.revision = revision


class Store(Protocol):
    """A revisioned log of key changes with its current state."""

    @property
    def revision(self) -> int:
        """The newest durable revision; every read and watch event shows a revision up to this one."""

    @property
    def oldest(self) -> int:
        """The oldest revision that can still be listed and watched from."""

    async def catch_up(self) -> None:
        """Return when reads show everything that was acknowledged, by any server, before the call."""

    def get(self, key: Key) -> Record | None:
        """The durable current value."""

    def latest(self, key: Key) -> Record | None:
        """The newest value known here, durable or on its way: what a read-modify-write starts from."""

    def scan(
        self, range_: Range, *, limit: int = 0, after: Key | None = None, at: int | None = None, count: bool = True
    ) -> Page:
        """A page of the range in key order (cluster, namespace, name), from behind ``after``; ``limit`` 0 is all.

        ``at`` shows the state of an older revision. Raises CompactedError, FutureRevisionError.
        ``remaining`` is computed only when ``count`` is set and the page was cut (else 0 means "nothing after", -1 "more").
        """

    def unchanged_since(self, range_: Range, revision: int) -> bool:
        """Whether no key of the range has changed after a revision; False where that is not known."""

    def count(self, range_: Range) -> int:
        """How many keys the range holds now."""

    def write(self, changes: Sequence[Change], conditions: Sequence[Condition] = ()) -> Awaitable[int]:
        """Check all preconditions, apply all changes or none; the result is their one revision, once durable.

        ``conditions`` are about keys that the write does not change; without changes they are not asked.

        Raises PreconditionFailedError (at once or when awaited), StoreClosedError, StoreUnavailableError.
        A write of no changes waits for the durability of what `latest` shows now.
        Followers have been told of the write before the awaiting caller resumes; subscriptions are handed its events
        then, or within some milliseconds where a crowd shares a range.
        """

    def watch(self, range_: Range, after: int, *, buffer: int = 10_000) -> Subscription:
        """Every change of the range after that revision. Raises CompactedError, FutureRevisionError."""

    def follow(self, resource: str | None, callback: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Call back on the loop, at publication, with each batch of changes of a resource (None: all); returns the undo.

        For in-process caches that must be right for the next request. The callback must be quick and not raise.
        """

    async def compact(self, revision: int) -> None:
        """Forget superseded values up to ``revision``; watches and scans before it raise CompactedError from now on."""

    async def close(self) -> None:
        """Finish what was accepted, end subscriptions, release the medium."""
