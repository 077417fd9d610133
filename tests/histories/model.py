"""What a history is made of: the operations of clients and the watches they held, against the log that a server replays.

Every write puts a word of its own (`Value.step`) into the object, so that whoever sees a value knows which write it came from.
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
    """What an object holds: the word of its last write, the label that selectors ask for, a part that patches leave alone,
    and the UID that it got when it was created."""

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
    """The objects that a read or watch asks for; None is all."""

    resource: str
    cluster: str | None = None
    namespace: str | None = None
    colour: str | None = None
    name: str | None = None

    def spans(self, key: Key) -> bool:
        """Whether a key is in the range, whatever its value."""
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
    """What a client knows of its operation afterwards."""

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
    """A write. ``value`` is what it asked for (None deletes; of a patch, ``kept`` is not said), ``expected`` the resource
    version it demanded (0 for none), ``answer`` the version in the answer, ``deleted`` the UID that the answer of a delete
    names, ``reason`` why it was refused.
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
    """Which state a read may show."""

    LATEST = "latest"  # at least what was acknowledged before it began
    ANY = "any"  # any state not older than ``Read.at``
    EXACT = "exact"  # the state at ``Read.at``


@dataclass(frozen=True, slots=True)
class Read:
    """A read that was answered. ``revision`` is the state that a list says it shows; a get does not say one (0)."""

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
    """One watch stream. ``responses`` are its pieces as they came in; ``end`` says how it ended.

    ``complete_to`` is a revision up to which it must have delivered everything (0: no further than its last event).
    """

    client: str
    server: str
    selection: Selection
    since: int
    opened: float = 0.0
    responses: list[tuple[Event, ...]] = field(default_factory=list)
    end: str = ""
    complete_to: int = 0


@dataclass(slots=True)
class History:
    """Everything recorded. ``log`` is every change after revision ``since`` up to ``until``, before which nothing was there."""

    since: int = 0
    until: int = 0
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    log: list[Change] = field(default_factory=list)
    failed_reads: int = 0

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
    """The ways in which a history can be wrong."""

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
    """One thing that is wrong, in words that name the operation."""

    fault: Fault
    message: str
