"""The model of a history: the operations and watches of clients, and the log that a server replays.

Every write puts a unique step (`Value.step`) into the object, so that each value tells which write it came from.
Times are those of one clock (`time.monotonic` of the recording process).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Key(NamedTuple):
    """One object."""

    resource: str
    cluster: str
    namespace: str
    name: str


class Value(NamedTuple):
    """An object's content: the step of its last write, the label for selectors, a part that patches keep, and the UID."""

    step: str
    colour: str
    kept: str
    uid: str = ""


class Version(NamedTuple):
    """A value, and the revision that wrote it."""

    revision: int
    value: Value


class Change(NamedTuple):
    """One key's change in the log; None deletes."""

    revision: int
    key: Key
    value: Value | None


class Selection(NamedTuple):
    """The objects that a read or watch requests; None stands for all."""

    resource: str
    cluster: str | None = None
    namespace: str | None = None
    colour: str | None = None
    name: str | None = None

    def spans(self, key: Key) -> bool:
        """Whether a key is in the range, regardless of its value."""
        return (
            key.resource == self.resource
            and self.cluster in (None, key.cluster)
            and self.namespace in (None, key.namespace)
            and self.name in (None, key.name)
        )

    def keeps(self, value: Value | None) -> bool:
        """Whether an object of the range with this value is selected."""
        return value is not None and self.colour in (None, value.colour)


class Outcome(StrEnum):
    """The outcome of an operation as the client knows it."""

    OK = "ok"
    REFUSED = "refused"  # it has definitely not happened
    UNKNOWN = "unknown"  # it may have happened, or may yet happen


class Verb(StrEnum):
    """The writes."""

    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Write:
    """A write. ``value`` is the requested state (None deletes; a patch leaves ``kept`` open), ``expected`` the required
    resource version (0 for none), ``answer`` the version in the response, ``deleted`` the UID in the response to a delete,
    ``reason`` the reason of a refusal.
    """

    client: str
    verb: Verb
    key: Key
    invoked: float
    returned: float
    outcome: Outcome
    value: Value | None = None
    expected: int = 0
    answer: Version | None = None
    deleted: str = ""
    reason: str = ""


class Freshness(StrEnum):
    """The states that a read may show."""

    LATEST = "latest"  # at least what was acknowledged before it began
    ANY = "any"  # any state not older than ``Read.at``
    EXACT = "exact"  # the state at ``Read.at``


@dataclass(frozen=True, slots=True)
class Read:
    """An answered read. ``revision`` is the revision in a list's response; a get has none (0)."""

    client: str
    server: str
    selection: Selection
    freshness: Freshness
    invoked: float
    returned: float
    versions: dict[Key, Version]
    revision: int = 0
    at: int = 0


class Event(NamedTuple):
    """A watch event. A bookmark has neither key nor value. ``previous`` is only known to watches of a store."""

    kind: str
    revision: int
    key: Key | None = None
    value: Value | None = None
    previous: Version | None = None


BOOKMARK = "BOOKMARK"
EXPIRED = "expired"


@dataclass(slots=True)
class Watch:
    """One watch stream. ``responses`` are its pieces as received; ``end`` says how it ended.

    ``complete_to`` is a revision up to which it must have delivered everything (0: no further than its last event). ``oldest``
    is what an expired one was told of the history that is still there.
    """

    client: str
    server: str
    selection: Selection
    since: int
    opened: float = 0.0
    responses: list[tuple[Event, ...]] = field(default_factory=list)
    end: str = ""
    complete_to: int = 0
    oldest: int = 0


@dataclass(slots=True)
class History:
    """Everything recorded. ``log`` is every change after revision ``since`` up to ``until``, before which nothing was there.

    ``compacted`` says that the servers forgot some of it meanwhile, so that a watch may have come too late.
    """

    since: int = 0
    until: int = 0
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    log: list[Change] = field(default_factory=list)
    failed_reads: int = 0
    compacted: bool = False

    def summary(self) -> str:
        """Counts, in one line."""
        outcomes = {each: sum(write.outcome is each for write in self.writes) for each in Outcome}
        events = sum(len(response) for watch in self.watches for response in watch.responses)
        return (
            f"{len(self.writes)} writes ({outcomes[Outcome.OK]} acknowledged, {outcomes[Outcome.REFUSED]} refused, "
            f"{outcomes[Outcome.UNKNOWN]} unknown), {len(self.reads)} reads ({self.failed_reads} more failed), "
            f"{len(self.watches)} watches with {events} events, {len(self.log)} changes in the log"
        )


class Fault(StrEnum):
    """The kinds of violations."""

    MALFORMED_LOG = "malformed log"
    LOST_WRITE = "lost write"
    DUPLICATED_WRITE = "duplicated write"
    REFUSED_BUT_DONE = "refused write was carried out"
    PHANTOM_CHANGE = "change that nobody made"
    WRONG_ANSWER = "answer differs from the log"
    BROKEN_COMPARE = "compare-and-swap not respected"
    LOST_UPDATE = "lost update"
    WRONG_REFUSAL = "refused for what was not so"
    OUT_OF_ORDER = "real-time order not respected"
    STALE_READ = "stale read"
    FUTURE_READ = "read from the future"
    PHANTOM_READ = "read of a state that never was"
    WENT_BACK = "stale reads went back"
    BOOKMARKABLE = "watch not bookmarkable"
    ORDERED = "watch not ordered"
    UNIQUE = "watch not unique"
    ATOMIC = "watch not atomic"
    RELIABLE = "watch not reliable"
    RESUMABLE = "watch not resumable"
    PREVIOUS = "wrong previous value"
    IS_CREATE = "wrong isCreate"
    FILTER = "filter not respected"
    PHANTOM_EVENT = "event without a change"
    WRONG_EVENT = "event differs from the log"
    EXPIRED = "expired though nothing was compacted"


class Violation(NamedTuple):
    """A violation, with a message that names the operation."""

    fault: Fault
    message: str
