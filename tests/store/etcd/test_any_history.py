"""Any sequence of operations through three servers, checked against a model: a dictionary and a list of events.

The model is that of the embedded log's test; what differs is that revisions are taken from the answers and that every
question is put to another server.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from devtools.etcd import EtcdCluster
from kcp.store.contract import (
    ANY,
    CompactedError,
    Hint,
    Key,
    PreconditionFailedError,
    Range,
    Record,
    Store,
    Subscription,
)
from tests.store.conformance import test_any_history as embedded
from tests.store.conformance.backends import check_search, select_all
from tests.store.conformance.test_any_history import CHANGES, KEYS, RANGES, Fact, State, holds
from tests.store.etcd.backends import EtcdBackend
from tests.support.waiting import PATIENCE, eventually

SERVERS = st.integers(0, 1)


class Machine(RuleBasedStateMachine):
    """Two servers beside their model: ``states`` has the state of each revision, ``events`` all events so far."""

    cluster: EtcdCluster

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.backend = EtcdBackend(self.cluster, Path(self.directory.name))
        self.stores: list[Store] = []
        self.newest: State = {}
        self.events: list[Fact] = []
        self.watches: list[tuple[int, Range, int, Subscription, list[Fact]]] = []

    @initialize()
    def open(self) -> None:
        for index in range(2):
            self.stores.append(self.runner.run(self.backend.open_another(f"s{index}")))
        self.runner.run(self.stores[0].catch_up())
        self.start = max(store.revision for store in self.stores)
        self.states: dict[int, State] = {self.start: {}}
        self.oldest = self.start
        self.revision = self.start

    def teardown(self) -> None:
        for store in self.stores:
            self.runner.run(store.close())
        self.runner.close()
        self.directory.cleanup()

    @rule(server=SERVERS, specs=CHANGES)
    def write(self, server: int, specs: list[tuple[Key, bytes | None, str, bytes | None]]) -> None:
        """Write through one server, which may not have seen the other one's last write."""
        changes = [embedded.Machine.change(self, spec, self.newest) for spec in specs]  # type: ignore[arg-type]
        right = all(
            change.expected in (ANY, self.newest[change.key].revision if change.key in self.newest else 0)
            for change in changes
        )

        async def submit() -> int | None:
            try:
                return await self.stores[server].write(changes)
            except PreconditionFailedError:
                return None

        revision = self.runner.run(submit())
        assert (revision is not None) == right
        if revision is None:
            return
        assert revision > self.revision
        self.revision = revision
        state = dict(self.newest)
        self.events += embedded.Machine.apply(self, changes, state, revision) or []  # type: ignore[arg-type]
        self.newest = self.states[revision] = state
        for change in changes:
            assert self.stores[server].get(change.key) == state.get(change.key)

    def earlier(self, store: Store, back: int) -> int:
        """A retained revision of a store.

        Another store may have started at a later one: at a revision of etcd that changed nothing of the log.
        """
        return min(max(self.revision - back, self.oldest, store.oldest), store.revision)

    def state_at(self, at: int) -> State:
        return self.states[max(revision for revision in self.states if revision <= max(at, self.start))]

    @rule(server=SERVERS, range_=RANGES, limit=st.integers(0, 4), back=st.integers(0, 12), after=st.none() | KEYS)
    def scan(self, server: int, range_: Range, limit: int, back: int, after: Key | None) -> None:
        store = self.stores[server]
        self.runner.run(store.catch_up())
        at = self.earlier(store, back)
        state = self.state_at(at)
        wanted = sorted(
            record for key, record in state.items() if holds(range_, key) and (not after or key[1:] > after[1:])
        )
        page = store.scan(range_, limit=limit, after=after, at=at)
        assert page.records == (wanted[:limit] if limit else wanted)
        assert page.remaining == (max(len(wanted) - limit, 0) if limit else 0)

    @rule(server=SERVERS, range_=RANGES, hint=embedded.HINTS, limit=st.integers(0, 3), back=st.integers(0, 12))
    def select(self, server: int, range_: Range, hint: Hint, limit: int, back: int) -> None:
        store = self.stores[server]
        self.runner.run(store.catch_up())
        at = self.earlier(store, back)
        state = self.state_at(at)
        there = sorted(record for key, record in state.items() if holds(range_, key))
        found = self.runner.run(select_all(store, range_, hint, limit=limit, at=at))
        check_search(found, hint, there)

    @rule(server=SERVERS, key=KEYS)
    def read(self, server: int, key: Key) -> None:
        self.runner.run(self.stores[server].catch_up())
        found: Record | None = self.stores[server].get(key)
        assert found == self.newest.get(key)

    @rule(server=SERVERS, range_=RANGES, back=st.integers(0, 12))
    def watch(self, server: int, range_: Range, back: int) -> None:
        store = self.stores[server]
        self.runner.run(store.catch_up())
        after = self.earlier(store, back)
        self.watches.append((server, range_, after, store.watch(range_, after), []))

    @rule()
    def read_watches(self) -> None:
        async def read() -> None:
            for store in self.stores:
                await store.catch_up()
            for _, _, _, subscription, got in self.watches:
                async with asyncio.timeout(PATIENCE):
                    while subscription.revision < self.revision:
                        got += map(embedded.Machine.fact, await subscription.next(timeout=0))

        self.runner.run(read())
        for _, range_, after, _, got in self.watches:
            assert got == [event for event in self.events if event[0] > after and holds(range_, event[1])]

    @rule(server=SERVERS, back=st.integers(0, 6))
    def compact(self, server: int, back: int) -> None:
        self.read_watches()  # a watch that compaction overtakes is another test's matter
        self.runner.run(self.stores[server].compact(self.revision - back))
        self.oldest = max(self.oldest, self.revision - back)

    @precondition(lambda self: self.oldest > self.start)
    @rule(range_=RANGES)
    def ask_for_what_is_compacted(self, range_: Range) -> None:
        self.runner.run(
            eventually(lambda: all(store.oldest >= self.oldest for store in self.stores), "every server has compacted")
        )
        for store in self.stores:
            with pytest.raises(CompactedError):
                store.scan(range_, at=self.oldest - 1)
            with pytest.raises(CompactedError):
                store.watch(range_, self.oldest - 1)

    @rule(server=SERVERS, again=st.booleans())
    def restart(self, server: int, again: bool) -> None:
        """Restart a server with its replica, or without."""
        self.runner.run(self.stores[server].close())
        self.watches = [watch for watch in self.watches if watch[0] != server]
        name = f"s{server}"
        if again:
            for file in (self.backend.directory / name).glob("replica-*"):
                file.unlink()
        self.stores[server] = self.runner.run(self.backend.open_another(name))


def test_servers_and_their_model_agree_after_any_history(cluster: EtcdCluster) -> None:
    machine = type("MachineOfCluster", (Machine,), {"cluster": cluster})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=20, stateful_step_count=25, suppress_health_check=list(HealthCheck)),
    )
