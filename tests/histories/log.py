"""The replayed log as an index: the state at each revision, and the invariants of a log."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter

from tests.histories.model import Change, Event, Fault, History, Key, Selection, Version, Violation

Span = tuple[int, int]
"""The revisions from the first to the last, both included, at which something is so."""

_revision = attrgetter("revision")


class Log:
    """The changes of a history by key."""

    def __init__(self, history: History) -> None:
        self.changes = sorted(history.log, key=_revision)
        self.since, self.until, self.compacted = history.since, history.until, history.compacted
        self.by_key: dict[Key, list[Change]] = {}
        for change in self.changes:
            self.by_key.setdefault(change.key, []).append(change)
        self._revisions = [change.revision for change in self.changes]
        self._places = {(change.revision, change.key) for change in self.changes}
        self.revisions = {key: [change.revision for change in changes] for key, changes in self.by_key.items()}

    def problems(self) -> Iterator[Violation]:
        """Return the violated invariants of the log itself."""
        for key, changes in self.by_key.items():
            there = False
            last = self.since
            for change in changes:
                if change.revision <= last or (change.value is None and not there):
                    yield Violation(Fault.MALFORMED_LOG, f"{key}: {change} after revision {last}")
                there = change.value is not None
                last = change.revision
        if self.changes and self.changes[-1].revision > self.until:
            yield Violation(Fault.MALFORMED_LOG, f"{self.changes[-1]} is beyond the log's end {self.until}")

    def has(self, revision: int, key: Key) -> bool:
        """Whether a key changed at a revision."""
        return (revision, key) in self._places

    def between(self, after: int, last: int) -> list[Change]:
        """Return the changes after a revision up to another."""
        return self.changes[bisect_right(self._revisions, after) : bisect_right(self._revisions, last)]

    def at(self, key: Key, revision: int) -> Version | None:
        """Return the state of a key at a revision."""
        index = bisect_right(self.revisions.get(key, ()), revision)
        if not index:
            return None
        change = self.by_key[key][index - 1]
        return None if change.value is None else Version(change.revision, change.value)

    def before(self, change: Change) -> Version | None:
        """Return the state that a change replaces."""
        return self.at(change.key, change.revision - 1)

    def state(self, selection: Selection, revision: int) -> dict[Key, Version]:
        """Return the state of a selection at a revision."""
        found = {}
        for key in self.by_key:
            if selection.spans(key):
                version = self.at(key, revision)
                if version is not None and selection.keeps(version.value):
                    found[key] = version
        return found

    def spans(self, key: Key) -> Iterator[tuple[Span, Version | None]]:
        """Return a key's states in order, each with the range of revisions in which it was current."""
        first, version = self.since, None
        for change in self.by_key.get(key, ()):
            yield (first, change.revision - 1), version
            first = change.revision
            version = None if change.value is None else Version(change.revision, change.value)
        yield (first, self.until), version

    def event(self, selection: Selection, change: Change) -> Event | None:
        """Return the event of a change for a watch of a selection: ADDED on entering it, DELETED with the old state on
        leaving.
        """
        if not selection.spans(change.key):
            return None
        previous = self.before(change)
        was = previous is not None and selection.keeps(previous.value)
        if selection.keeps(change.value):
            return Event("MODIFIED" if was else "ADDED", change.revision, change.key, change.value, previous)
        if was:
            assert previous is not None
            return Event("DELETED", change.revision, change.key, previous.value, previous)
        return None
