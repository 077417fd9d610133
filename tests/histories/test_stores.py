"""The watches of a store itself, with batches and previous values, under writes of several keys at once."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from kcp.logical_clusters import WILDCARD
from kcp.store import contract
from kcp.store.contract import Change as StoredChange
from kcp.store.contract import Range, Store
from kcp.store.sqlite.store import open_store
from tests.histories.log import Log
from tests.histories.model import Change, Event, History, Key, Selection, Value, Version, Watch
from tests.histories.watching import check_watch
from tests.support.keys import make_key, make_range

WRITERS = 6
WRITES = 150
KEYS = [make_key("configmaps", cluster, "default", f"n{number}") for cluster in "ab" for number in range(4)]


def value_of(record: contract.Record) -> Version:
    step, uid = record.value.decode().split("/")
    return Version(record.revision, Value(step, "", "", uid))


def event_of(event: contract.Event) -> Event:
    """Convert a store's event to that of a history."""
    previous = None if event.previous is None else value_of(event.previous)
    key = Key(*event.key)
    if event.record is None:
        assert event.previous is not None
        return Event("DELETED", event.revision, key, value_of(event.previous).value, previous)
    kind = "ADDED" if previous is None else "MODIFIED"
    return Event(kind, event.revision, key, value_of(event.record).value, previous)


async def write(store: Store, number: int, log: dict[int, list[Change]]) -> None:
    """Write random changes of one to three keys on top of the newest state."""
    dice = random.Random(number)
    for turn in range(WRITES):
        changes = []
        for key in dice.sample(KEYS, dice.choice((1, 1, 2, 3))):
            there = store.latest(key)
            value = None if there is not None and dice.random() < 0.3 else f"{number}.{turn}/uid".encode()
            changes.append(StoredChange(key, value, there.revision if there is not None else contract.ABSENT))
        revision = await store.write(changes)
        log[revision] = [
            Change(revision, Key(*change.key), Value(f"{number}.{turn}", "", "", "uid") if change.value else None)
            for change in changes
        ]


async def watch(store: Store, where: Range, since: int, last: asyncio.Future[int], turns: int) -> list[Watch]:
    """Watch a range several times, each time from where the last watch ended; the last watch continues to the end."""
    selection = Selection(where.resource, None if where.cluster == WILDCARD else where.cluster, where.namespace)
    streams: list[Watch] = []
    while True:
        stream = Watch("watcher", "store", selection, since)
        streams.append(stream)
        subscription = store.watch(where, since)
        batches = 0
        while batches < 20 or len(streams) >= turns:
            events = await subscription.next(timeout=0.05)
            if events:
                stream.responses.append(tuple(event_of(event) for event in events))
                batches += 1
            since = subscription.revision
            if last.done() and since >= last.result():
                stream.complete_to = last.result()
                subscription.close()
                return streams
        stream.complete_to = since
        subscription.close()


async def history_of(store: Store) -> History:
    """Record the history of concurrent writers, and of watchers of every range."""
    history = History(since=store.revision)
    log: dict[int, list[Change]] = {}
    last: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    ranges = (
        Range("configmaps"),
        make_range("configmaps", "a"),
        make_range("configmaps", "b", "default"),
        Range("secrets"),
    )
    watching = [
        asyncio.create_task(watch(store, where, history.since, last, turns)) for where in ranges for turns in (1, 6)
    ]
    await asyncio.gather(*(write(store, number, log) for number in range(WRITERS)))
    last.set_result(max(log))
    history.watches = [stream for streams in await asyncio.gather(*watching) for stream in streams]
    history.log = [change for revision in sorted(log) for change in log[revision]]
    history.until = max(log)
    return history


async def test_the_watches_of_a_store(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db")
    try:
        history = await history_of(store)
    finally:
        await store.close()
    log = Log(history)
    assert list(log.problems()) == []
    assert [violation for stream in history.watches for violation in check_watch(stream, log)] == []
    several = [response for stream in history.watches for response in stream.responses if len(response) > 1]
    assert len(history.log) > WRITERS * WRITES
    assert several
    assert any(event.previous is not None for response in several for event in response)
