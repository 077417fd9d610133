"""Real servers under mixed traffic, some killed meanwhile: the checker finds no violation."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from devtools.etcd import EtcdCluster
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.source import Source
from kcp.registry.verbs.watching import WatchStream
from kcp.server.requests import watches
from kcp.store.contract import Event, Record
from kcp.testing import Server
from tests.conftest import Report
from tests.distributed.conftest import StartServers, etcd, start_servers
from tests.histories import Fault, History, Recorder, check
from tests.histories.model import BOOKMARK, EXPIRED, Outcome, Selection
from tests.histories.recorder import Follower
from tests.support.waiting import PATIENCE, eventually

__all__ = ["etcd", "start_servers"]  # fixtures


async def recorded(
    servers: list[Server], *faults: Callable[[], None], clients: int = 8, patience: float = PATIENCE
) -> History:
    """Record traffic: at least a second and a hundred writes before, between and after the faults.

    The second is for what goes by time: watches that end, bookmarks, pauses of clients.
    """
    async with Recorder.of(*servers, patience=patience) as recorder:
        traffic = asyncio.create_task(recorder.traffic(2 * PATIENCE, clients, seed=1))
        for inject in (*faults, recorder.stop):
            before = recorder.acknowledged
            await asyncio.sleep(1)
            await eventually(partial(_has_more, recorder, before + 100, traffic), "100 more writes are acknowledged")
            await asyncio.to_thread(inject)
        await traffic
    return recorder.history


def _has_more(recorder: Recorder, writes: int, traffic: asyncio.Task[None]) -> bool:
    return recorder.acknowledged >= writes or traffic.done()


def verify(history: History, what: str, measured: Report) -> None:
    """Check that there are no violations, and that there were enough operations."""
    start = time.perf_counter()
    assert check(history) == []
    measured(f"histories: {what}: {history.summary()}; 0 violations, checked in {time.perf_counter() - start:.1f} s")
    outcomes = {write.outcome for write in history.writes}
    assert {Outcome.OK, Outcome.REFUSED} <= outcomes
    assert len(history.log) > 100
    assert sum(len(watch.responses) for watch in history.watches) > len(history.log)


def kill_and_start_again(server: Server) -> None:
    os.kill(server.process_id, signal.SIGKILL)
    server.stop()
    server.start()


async def test_a_server_on_sqlite_that_is_killed_twice(tmp_path: Path, measured: Report) -> None:
    with Server(root_directory=tmp_path, in_process=False) as server:
        faults = (lambda: kill_and_start_again(server),) * 2
        history = await recorded([server], *faults)
    verify(history, "SQLite, killed twice", measured)
    assert any(watch.end.startswith("broken") for watch in history.watches)


async def test_bookmarks_under_load(monkeypatch: pytest.MonkeyPatch, measured: Report) -> None:
    monkeypatch.setattr(watches, "BOOKMARK_INTERVAL", 0.05)
    with Server() as server:
        history = await recorded([server])
    verify(history, "bookmarks every 50 ms", measured)
    marks = [event for watch in history.watches for (event,) in watch.responses if event.kind == BOOKMARK]
    assert marks


async def test_compaction_under_load(measured: Report) -> None:
    with Server(arguments=("--history-retention", "1s")) as server:
        async with Recorder.of(server, compacted=True) as recorder:
            traffic = asyncio.create_task(recorder.traffic(2 * PATIENCE))

            async def expired() -> bool:
                late = Follower(recorder.client("late"), Selection("configmaps"), recorder.history.since, seconds=1)
                return await late.once() == EXPIRED

            await eventually(expired, "the revision from the start is compacted")
            await eventually(partial(_has_more, recorder, 100, traffic), "100 writes are acknowledged")
            recorder.stop()
            await traffic
    verify(recorder.history, "history of a second", measured)


async def faults_of() -> set[Fault]:
    """Return the faults that the checker finds with a server in this process."""
    with Server() as server:
        history = await recorded([server], patience=3)
    return {violation.fault for violation in check(history)}


async def test_dropped_events_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = WatchStream._filtered_frame

    def wrong(self: WatchStream, event: Event) -> bytes | None:
        return None if event.revision % 4 == 0 else right(self, event)

    monkeypatch.setattr(WatchStream, "_filtered_frame", wrong)
    assert Fault.RELIABLE in await faults_of()


async def test_stale_reads_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Source.get
    shown: dict[tuple[str, str, str], Record | None] = {}

    def wrong(
        self: Source, type_: ResourceType, cluster: LogicalClusterName, namespace: str, name: str
    ) -> Record | None:
        now = right(self, type_, cluster, namespace, name)
        before, shown[cluster, namespace, name] = shown.get((cluster, namespace, name), now), now
        return before

    monkeypatch.setattr(Source, "get", wrong)
    assert Fault.STALE_READ in await faults_of()


async def test_bookmarks_that_are_ahead_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "BOOKMARK_INTERVAL", 0.01)
    monkeypatch.setattr(WatchStream, "revision", property(lambda self: self._source.store.revision + 5))
    assert Fault.BOOKMARKABLE in await faults_of()


async def test_three_servers_on_etcd_of_which_some_are_killed(
    start_servers: StartServers, etcd: EtcdCluster, measured: Report
) -> None:
    servers = start_servers(3)

    def kill_member() -> None:
        etcd.members[0].kill()
        etcd.members[0].start()

    history = await recorded(servers, lambda: kill_and_start_again(servers[0]), kill_member, clients=9)
    verify(history, "three servers on etcd, one and an etcd member killed", measured)
