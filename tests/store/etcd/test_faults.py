"""Faults between a server and etcd."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devtools.etcd import EtcdCluster, binary, version
from kcp.store.contract import (
    ABSENT,
    Change,
    CompactedError,
    Event,
    PreconditionFailedError,
    SlowConsumerError,
    Store,
    StoreUnavailableError,
)
from kcp.store.etcd import messages
from kcp.store.etcd.client import EtcdClient
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.opening import open_store
from kcp.store.etcd.store import EtcdStore
from kcp.store.etcd.writes import ATTEMPT_SECONDS
from tests.store.conformance.backends import WIDGETS, delete, key, opened, put, received, shown, with_store
from tests.store.etcd.backends import EtcdBackend
from tests.store.etcd.silent_member import silent_member
from tests.support.etcd import own_etcd
from tests.support.keys import make_range
from tests.support.waiting import PATIENCE, eventually


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EtcdBackend]:
    """A log in a cluster of one member in which the test injects faults."""
    with own_etcd(tmp_path) as cluster:
        yield EtcdBackend(cluster, tmp_path)


async def until_caught_up(store: Store) -> None:
    """Return when the store answers again."""

    async def has_caught_up() -> bool:
        try:
            await store.catch_up()
        except StoreUnavailableError:
            return False
        return True

    await eventually(has_caught_up, "the store answers")


async def test_the_outcome_of_a_write_without_a_response_is_determined(own: EtcdBackend) -> None:
    """etcd is paused while it has the transaction; when it continues, the write has happened once, or never."""
    member = own.cluster.members[0]
    async with opened(own) as store:
        revision = await put(store, "counter", b"0")
        for number in range(3):
            member.signal(signal.SIGSTOP)
            loop = asyncio.get_running_loop()
            loop.call_later(ATTEMPT_SECONDS + 0.2 * (number + 1), member.signal, signal.SIGCONT)
            value = str(number + 1).encode()
            revision = await store.write([Change(key("counter"), value, expected=revision)])
            found = store.get(key("counter"))
            assert found is not None
            assert (found.revision, found.value) == (revision, value)
        events = await received(store.watch(WIDGETS, store.oldest), revision)
        assert [event.record.value for event in events if event.record] == [b"0", b"1", b"2", b"3"]


async def test_a_member_whose_watch_falls_silent_is_left(own: EtcdBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers pings and calls, so that only the missing events show the fault."""
    monkeypatch.setattr("kcp.store.etcd.client.random.shuffle", lambda _: None)  # the silent member is tried first
    url = own.cluster.urls[0]
    async with silent_member(url) as (silent, silent_url):
        options = replace(own.options, connection=replace(own.options.connection, endpoints=(silent_url, url)))
        store = await open_store(options, own.directory)
        try:
            await put(store, "a")
            silent.silent = True
            await put(store, "b")
            assert silent.lost, "the store did not follow the silent member"
            assert store.statistics()["reconnections"] == 1
            await put(store, "c")
        finally:
            await store.close()


async def test_a_write_with_an_unknown_outcome_is_reported(own: EtcdBackend) -> None:
    member = own.cluster.members[0]
    async with opened(own) as store:
        await put(store, "a")
        member.kill()
        outcomes = await asyncio.gather(put(store, "b"), store.catch_up(), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailableError] * 2
        assert isinstance(store, EtcdStore)
        assert "the replica has been behind etcd" in (store.problem() or "")
        assert store.get(key("a")) is not None
        member.start()
        await until_caught_up(store)
        assert store.problem() is None
        assert await put(store, "b", expected=ABSENT)


async def test_watchers_miss_nothing_and_get_nothing_twice_when_etcd_restarts(own: EtcdBackend) -> None:
    member = own.cluster.members[0]
    async with opened(own) as store:
        other = await own.open_another("other")
        try:
            start = store.revision
            await other.catch_up()
            live = [store.watch(WIDGETS, start), other.watch(WIDGETS, start)]
            written = []
            for number in range(3):
                written += [await put(store, f"a{index}") for index in range(50)]
                (member.kill if number else member.stop)()
                member.start()
                own.cluster.wait()
                written += [await put(other, f"b{index}") for index in range(50)]
            await until_caught_up(store)
            await until_caught_up(other)
            for subscription in live:
                assert [event.revision for event in await received(subscription, written[-1])] == written
        finally:
            await other.close()


async def compact_everything(backend: EtcdBackend) -> int:
    """Compact etcd up to its newest revision, without the servers."""
    client = EtcdClient(backend.options.connection)
    try:
        answer = await client.repeatedly("Range", PATIENCE, key=b"x")
        revision: int = answer.header.revision
        await client.repeatedly("Compact", PATIENCE, revision=revision)
        return revision
    finally:
        await client.close()


async def test_a_replica_that_missed_compacted_changes_is_repaired(own: EtcdBackend) -> None:
    """Its followers get the difference as changes; its watchers must list again."""
    async with opened(own) as store:
        lagging = await own.open_another("lagging")
        assert isinstance(lagging, EtcdStore)
        try:
            for name in "abcd":
                await put(store, name, b"1")
            await lagging.catch_up()
            start = lagging.revision
            live, seen = lagging.watch(WIDGETS, start), list[Event]()
            undo = lagging.follow("widgets", seen.extend)
            feed = lagging._background[0]
            feed.cancel()  # as if the network between this server and etcd were cut
            await asyncio.wait((feed,))
            await put(store, "a", b"2")
            await put(store, "a", b"3")
            await delete(store, "b")
            await put(store, "e", b"1")
            await compact_everything(own)
            lagging._background[0] = asyncio.create_task(lagging._feed.run())
            await until_caught_up(lagging)
            await eventually(lambda: lagging._feed.rebuilds, "the local copy is rebuilt")
            assert lagging.scan(WIDGETS).records == store.scan(WIDGETS).records
            assert {event[:2] for event in shown(seen)} == {("modified", "a"), ("deleted", "b"), ("added", "e")}
            with pytest.raises(SlowConsumerError):
                await live.next(timeout=1)
            with pytest.raises(CompactedError):
                lagging.watch(WIDGETS, start)
            now = lagging.revision
            resumed = lagging.watch(WIDGETS, now)
            written = await put(store, "f")
            await lagging.catch_up()
            assert [event.revision for event in await received(resumed, written)] == [written]
            undo()
        finally:
            await lagging.close()


async def test_a_server_that_was_stopped_during_compaction_starts_with_the_current_state(backend: EtcdBackend) -> None:
    async def fill(store: Store) -> None:
        for name in "abc":
            await put(store, name, b"1")

    await with_store(backend, fill)

    async def elsewhere() -> int:
        other = await backend.open_another("other")
        try:
            await delete(other, "a")
            revision = await put(other, "b", b"2")
            await other.compact(revision)
            return revision
        finally:
            await other.close()

    revision = await elsewhere()

    async def look(store: Store) -> None:
        assert [(record.key.name, record.value) for record in store.scan(WIDGETS).records] == [("b", b"2"), ("c", b"1")]
        assert store.oldest >= revision
        await put(store, "a", b"3", expected=ABSENT)

    await with_store(backend, look)


async def test_a_replica_of_another_log_is_discarded(own: EtcdBackend) -> None:
    async with opened(own) as store:
        for number in range(20):
            await put(store, f"n{number}")
    member = own.cluster.members[0]
    member.kill()
    folder = Path(own.directory / "etcd" / "m0")
    folder.rename(folder.with_name("lost"))
    member.start()
    own.cluster.wait()
    async with opened(own) as store:
        assert store.scan(WIDGETS).records == []
        assert await put(store, "new") == store.revision


async def test_a_server_notices_that_etcd_was_restored_from_its_own_snapshot(own: EtcdBackend) -> None:
    """A change and a deletion are undone, and revisions continue: neither a running server nor a replica may show them."""
    client, tool, member = binary("etcdctl"), binary("etcdutl"), own.cluster.members[0]
    if client is None or tool is None or version(tool) < (3, 6):
        pytest.skip("etcdutl 3.6 is not there (KCP_TEST_ETCD may name a folder with it)")
    data, saved = own.directory / "etcd" / "m0", str(own.directory / "saved.db")
    options = ("--bump-revision", "1000000", "--mark-compacted", "--data-dir", str(data))

    async def run(*words: str) -> None:
        await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True)

    async with opened(own) as store:
        assert isinstance(store, EtcdStore)
        first = await put(store, "changed", b"1")
        second = await put(store, "deleted", b"1")
        await run(client, "--endpoints", member.url, "snapshot", "save", saved)
        await put(store, "changed", b"2", expected=first)
        await delete(store, "deleted", expected=second)
        member.kill()
        data.rename(data.with_name("undone"))
        await run(tool, "snapshot", "restore", saved, *options)
        member.start()
        problem = store.problem
        await eventually(lambda: "restart this server" in (problem() or ""), "the server notices")
        with pytest.raises(StoreUnavailableError, match="restart this server"):
            await store.catch_up()
        with pytest.raises(StoreUnavailableError, match="restart this server"):
            await put(store, "changed", b"3")
    async with opened(own) as store:
        found = {record.key.name: (record.value, record.revision) for record in store.scan(WIDGETS).records}
        assert {name: value for name, (value, _) in found.items()} == {"changed": b"1", "deleted": b"1"}
        assert store.oldest > 1000000
        assert await put(store, "changed", b"4", expected=found["changed"][1]) > 1000000


async def test_an_expired_lease_is_replaced(store: Store) -> None:
    """A server that was silent for too long has lost its lease; its next write gets a new one."""
    assert isinstance(store, EtcdStore)
    await put(store, "a")
    session = store._session
    await store._client.once("LeaseRevoke", messages.make("LeaseRevokeRequest", ID=session.lease), PATIENCE)
    written = await asyncio.gather(*(put(store, f"n{number}") for number in range(10)))
    assert len(set(written)) == 10
    # a renewal in flight may have found the lease expired too: then the next one gets a new lease
    await eventually(lambda: session.lease, "the server has a lease")


async def test_keys_with_a_lifetime_expire_on_every_server(backend: EtcdBackend) -> None:
    async with opened(backend) as store:
        other = await backend.open_another("other")
        try:
            await store.write([Change(key("kept"), b"1", lifetime=2)])
            await store.write([Change(key("kept"), b"2")])
            began = time.monotonic()
            start = await store.write([Change(key("brief"), b"1", lifetime=2)])
            await other.catch_up()
            watching = other.watch(WIDGETS, start)
            await eventually(lambda: [each.get(key("brief")) for each in (store, other)] == [None] * 2, "the end of it")
            assert time.monotonic() - began > 1.5
            events = await received(watching, other.revision)
            assert shown(events)[-1][:2] == ("deleted", "brief")
            assert events[-1].previous is not None
            assert events[-1].previous.value == b"1"
            assert store.get(key("kept")) is not None
        finally:
            await other.close()


async def test_servers_of_other_prefixes_are_not_disturbed(cluster: EtcdCluster, tmp_path: Path) -> None:
    stores = []
    for index, prefix in enumerate(("/kcp", "/kcp2", "kcp/inner", "")):
        folder = tmp_path / str(index)
        folder.mkdir()
        stores.append(await open_store(cluster.options(prefix), folder))
    try:
        for index, store in enumerate(stores):
            await put(store, f"n{index}")
        for index, store in enumerate(stores):
            await store.catch_up()
            assert [record.key.name for record in store.scan(WIDGETS).records] == [f"n{index}"]
    finally:
        for store in stores:
            await store.close()


async def test_keys_of_different_resources_never_collide(store: Store) -> None:
    layout = Layout("/kcp")
    places = {layout.object_key(key(name, "a", "b", "c")) for name in ("x", "%2F", "/", "%", "x/", "")}
    assert len(places) == 6
    for name in ("x", "%2F", "/", "%25", "x/", "", "ü\0"):
        assert layout.key_of(layout.object_key(key(name, "a/b", "%"))) == key(name, "a/b", "%")
    await put(store, key("b", "c", "a"))
    with pytest.raises(PreconditionFailedError):
        await put(store, key("b", "c", "a"), expected=ABSENT)
    assert store.count(make_range("widgets", "a/c")) == 0
