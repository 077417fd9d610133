"""The writes and events that clients have seen, to be compared with the state of a server after a kill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

CLUSTER_ANNOTATION = "kcp.io/cluster"


class Key(NamedTuple):
    """One object of one logical cluster."""

    resource: str
    cluster: str
    name: str


class State(NamedTuple):
    """The content of an object, and the revision that wrote it."""

    revision: int
    step: str


def state_of(obj: dict[str, Any]) -> State:
    """Return the state of an object in a response: steps are in `data` of ConfigMaps and in `spec` of custom resources."""
    return State(int(obj["metadata"]["resourceVersion"]), (obj.get("data") or obj["spec"])["step"])


def key_of(resource: str, obj: dict[str, Any]) -> Key:
    """The key of an object in a read across logical clusters."""
    return Key(resource, obj["metadata"]["annotations"][CLUSTER_ANNOTATION], obj["metadata"]["name"])


@dataclass
class Ledger:
    """Acknowledged states, the one write of unknown outcome for each object, and all revisions in responses."""

    states: dict[Key, State | None] = field(default_factory=dict)
    doubtful: dict[Key, str | None] = field(default_factory=dict)
    told: dict[Key, list[int]] = field(default_factory=dict)
    deletions: dict[Key, int] = field(default_factory=dict)
    revision: int = 0
    acknowledged: int = 0

    def acknowledge(self, key: Key, state: State | None) -> None:
        """Record a write that the server has acknowledged."""
        self.acknowledged += 1
        self.doubtful.pop(key, None)
        self.states[key] = state
        if state is None:
            self.deletions[key] = self.deletions.get(key, 0) + 1
        else:
            self.told.setdefault(key, []).append(state.revision)
            self.revision = max(self.revision, state.revision)

    def compare(self, found: dict[Key, State]) -> list[str]:
        """Return the differences between the ledger and the actual state, which decides about writes of unknown outcome."""
        problems = [f"{key}: nobody has written that, but it is there" for key in found.keys() - self.states.keys()]
        for key, expected in self.states.items():
            actual = found.get(key)
            if actual == expected:
                self.doubtful.pop(key, None)
            elif key in self.doubtful:
                problems += self._settle(key, expected, actual)
            else:
                problems.append(f"{key}: acknowledged {expected}, found {actual}")
        return problems

    def _settle(self, key: Key, expected: State | None, actual: State | None) -> list[str]:
        step = self.doubtful.pop(key)
        if (actual.step if actual else None) != step:
            return [f"{key}: acknowledged {expected}, asked for step {step}, found {actual}"]
        if actual and expected and actual.revision <= expected.revision:
            return [f"{key}: the newer state {actual} has a revision that is not above that of {expected}"]
        self.states[key] = actual
        return []


@dataclass
class Observer:
    """The events of one logical watch over any number of connections."""

    resource: str
    last: int
    seen: dict[Key, list[tuple[str, int]]] = field(default_factory=dict)
    states: dict[Key, State] = field(default_factory=dict)
    connections: int = 0
    problems: list[str] = field(default_factory=list)

    def take(self, event: dict[str, Any]) -> None:
        """Record one event."""
        kind, obj = event["type"], event["object"]
        revision = int(obj["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            self.last = max(self.last, revision)
            return
        key = key_of(self.resource, obj)
        if revision <= self.last:
            self.problems.append(f"{kind} of {key} at {revision} came after revision {self.last}")
        expected = {"ADDED"} if key not in self.states else {"MODIFIED", "DELETED"}
        if kind not in expected:
            self.problems.append(f"{kind} of {key} at {revision}, expected {expected}")
        self.last = revision
        self.seen.setdefault(key, []).append((kind, revision))
        if kind == "DELETED":
            self.states.pop(key, None)
        else:
            self.states[key] = state_of(obj)

    def missed(self, ledger: Ledger) -> list[str]:
        """Return the acknowledged changes that were not seen exactly once."""
        problems = []
        for key, revisions in ledger.told.items():
            if key.resource != self.resource:
                continue
            seen = [revision for kind, revision in self.seen.get(key, []) if kind != "DELETED"]
            problems += [f"{key}@{each}: seen {seen.count(each)} times" for each in revisions if seen.count(each) != 1]
        for key, count in ledger.deletions.items():
            if key.resource != self.resource:
                continue
            seen_deletions = sum(kind == "DELETED" for kind, _ in self.seen.get(key, []))
            if seen_deletions < count:
                problems.append(f"{key}: deleted {count} times, seen {seen_deletions} times")
        return problems
