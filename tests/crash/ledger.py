"""What clients were told and what watchers saw, to be compared with what a server has after it was killed."""

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
    """What an object holds, and since which revision."""

    revision: int
    step: str


def state_of(obj: dict[str, Any]) -> State:
    """The state in an object as it was answered: steps are in `data` of ConfigMaps and in `spec` of custom resources."""
    return State(int(obj["metadata"]["resourceVersion"]), (obj.get("data") or obj["spec"])["step"])


def key_of(resource: str, obj: dict[str, Any]) -> Key:
    """The key of an object in a read across logical clusters."""
    return Key(resource, obj["metadata"]["annotations"][CLUSTER_ANNOTATION], obj["metadata"]["name"])


@dataclass
class Ledger:
    """Acknowledged states, the one write per object that may or may not have happened, and all revisions told."""

    states: dict[Key, State | None] = field(default_factory=dict)
    doubtful: dict[Key, str | None] = field(default_factory=dict)
    told: dict[Key, list[int]] = field(default_factory=dict)
    deletions: dict[Key, int] = field(default_factory=dict)
    revision: int = 0
    acknowledged: int = 0

    def acknowledge(self, key: Key, state: State | None) -> None:
        """The server has answered a write with success."""
        self.acknowledged += 1
        self.doubtful.pop(key, None)
        self.states[key] = state
        if state is None:
            self.deletions[key] = self.deletions.get(key, 0) + 1
        else:
            self.told.setdefault(key, []).append(state.revision)
            self.revision = max(self.revision, state.revision)

    def compare(self, found: dict[Key, State]) -> list[str]:
        """What differs between the ledger and what is there; doubtful writes are settled by what is there."""
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
    """A watch's story, put together over any number of connections."""

    resource: str
    last: int
    seen: dict[Key, list[tuple[str, int]]] = field(default_factory=dict)
    states: dict[Key, State] = field(default_factory=dict)
    connections: int = 0
    problems: list[str] = field(default_factory=list)

    def take(self, event: dict[str, Any]) -> None:
        """One event."""
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
        """Acknowledged changes that were not seen exactly once."""
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
