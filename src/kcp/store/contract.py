"""The contract of a backend.

The log is the source of truth and the event bus: every change gets a revision, revisions never go backwards, and a watch
from a revision sees every later change exactly once and in order. Values are opaque bytes. The conformance suite
(``tests/store/conformance``) holds each backend to this module; where backends differ, `Capabilities` says how.

All methods are called on the event loop's thread. Reads are plain calls, except for a search of a large range (`Store.select`).
Waiting for durability (`Store.write`) and for other servers (`Store.catch_up`) is asynchronous.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from kcp.logical_clusters import WILDCARD, LogicalClusterName

Action = Callable[[], Awaitable[None]]
"""Starts or stops a task that one server of a log runs."""
ANY: Final = -1
"""Precondition of a change: none."""
ABSENT: Final = 0
"""Precondition of a change: the key must not exist."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The guarantees in which backends differ. A conformance test runs on the backends that have what it needs."""

    consecutive_revisions: bool
    """A write takes the next revision, and nothing else takes one: neither opening the log, nor compacting it, nor deleting
    a key that does not exist. Without it, revisions rise with gaps."""
    ordered_pending_writes: bool
    """`Store.latest` shows accepted writes that are not durable yet, a write may build on them, and the concurrent writes of a
    server are applied in the order in which they were submitted. Without it, `latest` is `get`, and writes race."""
    shared: bool
    """Several servers may use the log at the same time."""
    max_changes: int
    """Changes of one write."""
    max_conditions: int | None
    """Conditions of one write, changes that expect a revision included. None: as many as changes."""
    checksums: bool
    """The log keeps a checksum of each value, so that a value that the storage has changed is found. Without it, the log relies
    on the integrity of the storage; what a server keeps of it locally has checksums in any case."""


class Key(NamedTuple):
    """The key of a value. Its parts never run into one another, whatever characters they hold."""

    resource: str
    cluster: LogicalClusterName
    namespace: str
    name: str


def key_text(key: Key) -> str:
    """Format a key for messages: ``widgets default/a of logical cluster root``."""
    where = f"logical cluster {key.cluster}" if key.cluster else "the server"
    return f"{key.resource} {f'{key.namespace}/' if key.namespace else ''}{key.name} of {where}"


class Range(NamedTuple):
    """A set of keys: all of a resource, of one logical cluster in it, or of one namespace in that.

    The namespace None stands for all; the empty namespace is the one of objects that have none.
    """

    resource: str
    cluster: LogicalClusterName = WILDCARD
    namespace: str | None = None


class Unreadable(bytes):
    """The type of `UNREADABLE`."""


UNREADABLE: Final = Unreadable()
"""Stands for a value that is damaged in the storage, in `Event.previous`; compare by identity."""


class Record(NamedTuple):
    """A value and the revision that wrote it. ``tag`` is an opaque string stored with the value."""

    key: Key
    revision: int
    value: bytes
    tag: str


class Needle(NamedTuple):
    """A condition on a value: it contains at least one of the byte strings. ``tag``, if given, exempts values of other tags."""

    strings: tuple[bytes, ...]
    tag: str | None = None

    def admits(self, value: bytes, tag: str) -> bool:
        """Whether a value with a tag meets the condition."""
        if self.tag is not None and tag != self.tag:
            return True
        for string in self.strings:  # noqa: SIM110 - a loop is faster than any()
            if string in value:
                return True
        return False


class Hint(NamedTuple):
    """What a reader looks for. A backend may leave out the records that do not meet it, and need not leave out any.

    ``name``, if not empty, is the name in the key; the value meets every needle.
    """

    name: str = ""
    needles: tuple[Needle, ...] = ()

    def admits(self, record: Record) -> bool:
        """Whether a record meets the hint."""
        if self.name and record.key.name != self.name:
            return False
        return all(needle.admits(record.value, record.tag) for needle in self.needles)


class Change(NamedTuple):
    """One key's part of a write. ``value`` None deletes the key.

    ``expected`` is the revision that the key must have: ANY, ABSENT, or an exact one.
    ``lifetime`` (seconds) is the time after which the store deletes the key; None is no limit.
    """

    key: Key
    value: bytes | None
    expected: int = ANY
    tag: str = ""
    lifetime: int | None = None


class Condition(NamedTuple):
    """A precondition on a key that the write does not change: it must have the revision ``expected``, or be ABSENT."""

    key: Key
    expected: int


class Event:
    """A committed change. All watchers share it: treat it as read-only, except ``cache``.

    ``record`` is None for a delete, ``previous`` for a create. The revision of ``previous`` says which write is replaced; its
    value is `UNREADABLE` if it is damaged in the storage.
    ``cache`` holds encodings, so that each is made once for all watchers.
    """

    __slots__ = ("cache", "key", "previous", "record", "revision")

    def __init__(self, revision: int, key: Key, record: Record | None, previous: Record | None) -> None:
        self.revision = revision
        self.key = key
        self.record = record
        self.previous = previous
        self.cache: dict[object, object] = {}


class Page(NamedTuple):
    """Part of a range in key order, at ``revision``. ``remaining`` counts the keys after the page.

    ``damaged`` are the keys that ``records`` lacks because their values are damaged. A page with ``remaining`` keys has records.
    """

    records: list[Record]
    revision: int
    remaining: int
    damaged: Sequence[Key] = ()


class PreconditionFailedError(Exception):
    """A key of a write did not have the expected revision; nothing was written."""

    def __init__(self, key: Key, expected: int, actual: Record | None) -> None:
        super().__init__(f"{key}: expected revision {expected}, found {actual.revision if actual else 'none'}")
        self.key = key
        self.expected = expected
        self.actual = actual


class DamagedValueError(Exception):
    """The value of a key is damaged in the storage; other keys can be read.

    ``recoverable``: only this server's copy is damaged, and a restart fetches the value again.
    """

    def __init__(self, key: Key, revision: int, *, recoverable: bool = False) -> None:
        super().__init__(f"the value of {key_text(key)} at revision {revision} is damaged")
        self.key = key
        self.revision = revision
        self.recoverable = recoverable


class UndecryptableValueError(DamagedValueError):
    """The value of a key is encrypted and cannot be decrypted; ``reason`` names the key that is missing, or what is wrong."""

    def __init__(self, key: Key, revision: int, reason: str) -> None:
        Exception.__init__(self, f"the value of {key_text(key)} at revision {revision} cannot be decrypted: {reason}")
        self.key = key
        self.revision = revision
        self.recoverable = False
        self.reason = reason


class LogError(Exception):
    """A log cannot be opened, or cannot be read or written as a whole. The message is one line with the reason and a remedy."""


class OptionError(LogError):
    """A storage option is unusable, or options contradict one another; the message names the flag."""


class CompactedError(Exception):
    """The requested revision has been compacted; ``oldest`` is the oldest available one."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"revision {revision} has been compacted, the oldest is {oldest}")
        self.revision = revision
        self.oldest = oldest


class FutureRevisionError(Exception):
    """The requested revision is newer than the log."""

    def __init__(self, revision: int, current: int) -> None:
        super().__init__(f"revision {revision} is in the future, the current one is {current}")
        self.revision = revision
        self.current = current


class StoreClosedError(Exception):
    """The store is closed or closing; nothing was written."""


class StoreUnavailableError(Exception):
    """The storage failed (disk full, read-only, quorum lost); no part of the write is known to be durable."""


class Subscription(Protocol):
    """A watcher's position in the log. Iterating yields batches of events; every batch ends at a revision boundary."""

    @property
    def revision(self) -> int:
        """All events of the range up to this revision have been delivered: a safe bookmark."""

    @property
    def pending(self) -> bool:
        """Whether `next` returns without waiting."""

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]: ...

    async def next(
        self, timeout: float | None = None, sink: Callable[[Sequence[Event]], bool] | None = None
    ) -> Sequence[Event]:
        """Return the next batch, or an empty one after ``timeout`` seconds (or a little less) without an event.

        While it waits, batches go to the ``sink``, which must not await. `next` returns the first batch that the sink does
        not accept (by returning false or raising), or an empty one after `wake`.

        A batch may be shared with other subscriptions; its ``cache`` (a dict), if it has one, is for encodings of the batch.

        Raises SlowConsumerError when this subscription's buffer overflowed (resume by revision), StoreClosedError at shutdown.
        """

    def wake(self) -> None:
        """Make a waiting `next` return, and stop using its sink."""

    def close(self) -> None:
        """Stop at once; the buffer is dropped."""


class SlowConsumerError(Exception):
    """A subscription's buffer overflowed; resume from ``revision`` with a new one."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"the consumer fell behind after revision {revision}")
        self.revision = revision


class Store(Protocol):
    """A revisioned log of key changes, and its current state."""

    @property
    def revision(self) -> int:
        """The newest durable revision. No read or watch event shows a newer one."""

    @property
    def oldest(self) -> int:
        """The oldest revision that can be listed, and watched from."""

    async def catch_up(self) -> None:
        """Wait until reads show every write that any server acknowledged before the call. Raises StoreUnavailableError."""

    def get(self, key: Key) -> Record | None:
        """Return the durable value of a key. Raises DamagedValueError."""

    def latest(self, key: Key) -> Record | None:
        """Return the newest value of a key, durable or pending: what a read-modify-write starts from.

        Raises DamagedValueError. A write may replace or delete a damaged value, on its revision too.
        """

    def scan(
        self,
        range_: Range,
        *,
        limit: int = 0,
        after: Key | None = None,
        at: int | None = None,
        count: bool = True,
        size: int = 0,
    ) -> Page:
        """Return a page of the range in key order (cluster, namespace, name), starting after ``after``; ``limit`` 0 is all.

        ``size``, if not 0, ends the page earlier: after about so many bytes of values, as they are stored.

        ``at`` selects the state of an older revision. Raises CompactedError, FutureRevisionError.
        ``remaining`` is computed only with ``count``; otherwise it is 0 if no key follows the page, else -1.
        """

    async def select(
        self,
        range_: Range,
        hint: Hint,
        *,
        limit: int = 0,
        after: Key | None = None,
        at: int | None = None,
        size: int = 0,
    ) -> Page:
        """Return a page of the range as `scan` does, which may leave out records that do not meet the hint.

        For few records of a large range: the search does not hold the event loop. ``remaining`` is 0 if the search reached the
        end of the range, else -1. Raises CompactedError, FutureRevisionError, StoreClosedError, StoreUnavailableError.
        """

    def is_stale(self, record: Record) -> bool:
        """Whether a write of the same value would change how it is stored: it is encrypted with an older key."""

    def unchanged_since(self, range_: Range, revision: int) -> bool:
        """Whether no key of the range has changed after a revision; False if unknown."""

    def count(self, range_: Range) -> int:
        """Return the number of keys in the range."""

    def write(self, changes: Sequence[Change], conditions: Sequence[Condition] = ()) -> Awaitable[int]:
        """Check all preconditions and apply all changes or none; the result is their common revision, once durable.

        ``conditions`` are on keys that the write does not change; without changes they are not checked.

        Raises PreconditionFailedError (at once or when awaited), StoreClosedError, StoreUnavailableError, and ValueError for a
        write beyond the `Capabilities`. A write without changes waits until what `latest` shows now is durable.
        Followers have seen the write before the awaiting caller resumes. Subscriptions get its events then, or a few
        milliseconds later if many of them watch one range.
        """

    def watch(self, range_: Range, after: int, *, buffer: int = 10_000) -> Subscription:
        """Watch all changes of the range after a revision. Raises CompactedError, FutureRevisionError."""

    def follow(self, resource: str | None, callback: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Call back on the event loop, at publication, with each batch of changes of a resource (None: all).

        Returns a function that ends it.

        For in-process caches that must be right for the next request. The callback must be fast and must not raise.
        """

    async def compact(self, revision: int) -> None:
        """Drop superseded values up to ``revision``; watches and scans before it raise CompactedError from now on."""

    async def close(self) -> None:
        """Finish accepted writes, end subscriptions, release the storage."""
