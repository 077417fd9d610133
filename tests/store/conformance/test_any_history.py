"""Any sequence of operations, checked against a model: a dictionary and a list of events.

The model is trivially right; hypothesis looks for a sequence after which the store and it disagree.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kcp.logical_clusters import WILDCARD
from kcp.store.contract import (
    ABSENT,
    ANY,
    Change,
    CompactedError,
    Event,
    Hint,
    Key,
    Needle,
    PreconditionFailedError,
    Range,
    Record,
    Store,
    Subscription,
)
from kcp.store.sqlite import search
from kcp.store.sqlite.store import SQLiteStore
from tests.store.conformance.backends import SQLiteBackend, check_search, select_all
from tests.support.waiting import PATIENCE

RESOURCES, CLUSTERS, NAMESPACES, NAMES = ("w", "w2"), ("a", "a/b"), ("", "n"), ("1", "1\0", "2", "ü'\"")
KEYS = st.builds(
    Key, st.sampled_from(RESOURCES), st.sampled_from(CLUSTERS), st.sampled_from(NAMESPACES), st.sampled_from(NAMES)
)
RANGES = st.builds(
    Range,
    st.sampled_from(RESOURCES),
    st.sampled_from((WILDCARD, *CLUSTERS)),
    st.none() | st.sampled_from(NAMESPACES),
)
CHANGES = st.lists(
    st.tuples(
        KEYS,
        st.none() | st.binary(max_size=3),
        st.sampled_from(("any", "any", "right", "right", "absent", "wrong")),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each[0],
)
HINTS = st.builds(
    Hint,
    st.sampled_from(("", "", *NAMES)),
    st.lists(
        st.builds(
            Needle,
            st.lists(st.binary(min_size=1, max_size=2), min_size=1, max_size=3).map(tuple),
            st.none() | st.sampled_from(("tb''", r"tb'\x00'")),
        ),
        max_size=2,
    ).map(tuple),
)
State = dict[Key, Record]
Fact = tuple[int, Key, Record | None, Record | None]


def holds(range_: Range, key: Key) -> bool:
    """Whether a range holds a key."""
    return (
        key.resource == range_.resource
        and range_.cluster in (WILDCARD, key.cluster)
        and range_.namespace in (None, key.namespace)
    )


class Machine(RuleBasedStateMachine):
    """The store beside its model: ``states`` has the state of each revision, ``events`` all events so far."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.backend = SQLiteBackend(Path(self.directory.name))
        self.store: Store
        self.newest: State = {}
        self.events: list[Fact] = []
        self.watches: list[tuple[Range, int, Subscription, list[Fact | None]]] = []

    @initialize()
    def open(self) -> None:
        self.store = self.runner.run(self.backend.open())
        self.states: dict[int, State] = {self.store.revision: {}}
        self.oldest = self.store.oldest

    @property
    def revision(self) -> int:
        return max(self.states)

    def teardown(self) -> None:
        if hasattr(self, "states"):
            self.runner.run(self.store.close())
        self.runner.close()
        self.directory.cleanup()

    def change(self, spec: tuple[Key, bytes | None, str], state: State) -> Change:
        key, value, expectation = spec
        there = state[key].revision if key in state else ABSENT
        expected = {"any": ANY, "absent": ABSENT, "right": there, "wrong": there + 1}[expectation]
        return Change(key, value, expected, tag=f"t{value!r}")

    def apply(self, changes: list[Change], state: State, revision: int) -> list[Fact] | None:
        """Apply a write to a state; return its events, or None when it is refused."""
        for change in changes:
            there = state[change.key].revision if change.key in state else ABSENT
            if change.expected not in (ANY, there):
                return None
        events: list[Fact] = []
        for key, value, _, tag, _ in changes:
            before = state.get(key)
            if value is not None:
                state[key] = Record(key, revision, value, tag)
                events.append((revision, key, state[key], before))
            elif before is not None:
                del state[key]
                events.append((revision, key, None, before))
        return events

    @rule(writes=st.lists(CHANGES, min_size=1, max_size=5))
    def write(self, writes: list[list[tuple[Key, bytes | None, str]]]) -> None:
        """Submit several writes, all accepted before the first is durable."""

        async def submit() -> None:
            state, revision = dict(self.newest), self.revision
            waiting, wanted = [], []
            for specs in writes:
                changes = [self.change(spec, state) for spec in specs]
                after = dict(state)
                events = self.apply(changes, after, revision + 1)
                if events:
                    revision += 1
                    state = after
                    self.states[revision] = after
                    self.events += events
                wanted.append(None if events is None else revision)
                try:
                    waiting.append(self.store.write(changes))
                except PreconditionFailedError as error:
                    failed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
                    failed.set_exception(error)
                    waiting.append(failed)
                for key in {spec[0] for spec in specs}:
                    assert self.store.latest(key) == state.get(key)
                    assert self.store.get(key) == self.newest.get(key)
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            for outcome, right in zip(outcomes, wanted, strict=True):
                assert isinstance(outcome, PreconditionFailedError) if right is None else outcome == right
            self.newest = state

        self.runner.run(submit())

    @rule(range_=RANGES, limit=st.integers(0, 4), back=st.integers(0, 12), after=st.none() | KEYS, count=st.booleans())
    def scan(self, range_: Range, limit: int, back: int, after: Key | None, count: bool) -> None:
        at = max(self.revision - back, self.oldest)
        state = self.states[max(revision for revision in self.states if revision <= at)]
        wanted = sorted(
            record for key, record in state.items() if holds(range_, key) and (not after or key[1:] > after[1:])
        )
        page = self.store.scan(range_, limit=limit, after=after, at=at, count=count)
        cut = len(wanted) - limit if limit else 0
        assert page.records == (wanted[:limit] if limit else wanted)
        assert page.revision == at
        assert page.remaining == (0 if cut <= 0 else cut if count else -1)

    @rule(range_=RANGES, hint=HINTS, limit=st.integers(0, 3), back=st.integers(0, 12), size=st.integers(0, 4))
    def select(self, range_: Range, hint: Hint, limit: int, back: int, size: int) -> None:
        at = max(self.revision - back, self.oldest)
        state = self.states[max(revision for revision in self.states if revision <= at)]
        there = sorted(record for key, record in state.items() if holds(range_, key))
        found = self.runner.run(select_all(self.store, range_, hint, limit=limit, at=at, size=size))
        check_search(found, hint, there)

    @rule(range_=RANGES)
    def scan_now(self, range_: Range) -> None:
        wanted = sorted(record for key, record in self.newest.items() if holds(range_, key))
        assert self.store.scan(range_).records == wanted
        assert self.store.count(range_) == len(wanted)

    @rule(range_=RANGES, back=st.integers(0, 12))
    def watch(self, range_: Range, back: int) -> None:
        after = max(self.revision - back, self.oldest)
        self.watches.append((range_, after, self.store.watch(range_, after), []))

    @rule()
    def read_watches(self) -> None:
        async def read() -> None:
            for _, after, subscription, got in self.watches:
                if subscription.revision < self.oldest and subscription.revision == after and not got:
                    await self.read_overtaken(subscription, got)
                else:
                    await self.read_all(subscription, got)

        self.runner.run(read())
        still_open = []
        for range_, after, subscription, got in self.watches:
            if got and got[-1] is None:
                continue
            wanted = [event for event in self.events if event[0] > after and holds(range_, event[1])]
            assert got == wanted
            assert subscription.revision == self.revision
            still_open.append((range_, after, subscription, got))
        self.watches = still_open

    async def read_all(self, subscription: Subscription, got: list[Fact | None]) -> None:
        async with asyncio.timeout(PATIENCE):
            while subscription.revision < self.revision:
                got += map(self.fact, await subscription.next(timeout=0))

    async def read_overtaken(self, subscription: Subscription, got: list[Fact | None]) -> None:
        """Read a watch that a compaction overtook before its first read: it is live, or raises CompactedError."""
        try:
            await self.read_all(subscription, got)
        except CompactedError:
            got.append(None)

    @staticmethod
    def fact(event: Event) -> Fact:
        return (event.revision, event.key, event.record, event.previous)

    @rule(back=st.integers(0, 6))
    def compact(self, back: int) -> None:
        self.runner.run(self.store.compact(self.revision - back))
        self.oldest = max(self.oldest, self.revision - back)

    @precondition(lambda self: self.oldest > min(self.states))
    @rule(range_=RANGES)
    def ask_for_what_is_compacted(self, range_: Range) -> None:
        with pytest.raises(CompactedError):
            self.store.scan(range_, at=self.oldest - 1)
        with pytest.raises(CompactedError):
            self.store.watch(range_, self.oldest - 1)

    @rule(verified=st.booleans())
    def reopen(self, verified: bool) -> None:
        """Reopen the store: reads check the values of a file until it has been verified."""
        self.runner.run(self.store.close())
        self.watches.clear()
        self.store = self.runner.run(self.backend.open())
        if verified:
            assert isinstance(self.store, SQLiteStore)
            self.runner.run(self.store._scrubbing.verify())

    @invariant()
    def the_revision_is_right(self) -> None:
        if hasattr(self, "states"):
            assert self.store.revision == self.revision
            assert self.store.oldest == self.oldest


def test_the_store_and_its_model_agree_after_any_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_FIRST_KEYS", 2)
    monkeypatch.setattr(search, "_MAX_KEYS", 2)  # searches take several steps
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=60, stateful_step_count=25, suppress_health_check=list(HealthCheck)),
    )
