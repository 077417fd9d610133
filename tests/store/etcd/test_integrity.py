"""Checks of a real etcd: no violation beside running servers, and each kind of manual damage is found by its rule."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kcp.store.contract import Change, Key, Store, StoreUnavailableError
from kcp.store.etcd import integrity
from kcp.store.etcd.client import EtcdClient
from kcp.store.etcd.integrity import check_log
from kcp.store.etcd.layout import Layout
from kcp.store.findings import Finding
from tests.store.etcd.backends import EtcdBackend
from tests.support.damaging import execute
from tests.support.keys import make_key
from tests.support.waiting import PATIENCE, eventually


async def write_some(store: Store, dice: random.Random, count: int) -> None:
    for _ in range(count):
        key = make_key("w", dice.choice(("a", "b/c")), "", f"n{dice.randrange(20)}%")
        await store.write([Change(key, None if dice.random() < 0.3 else b"{}", tag="t")])


async def found(backend: EtcdBackend, folder: Path | None = None) -> dict[str, Finding]:
    def examine(_key: Key, value: bytes, _current: bool) -> str | None:
        return None if value == b"{}" else "not as promised"

    findings = await check_log(backend.options, folder or backend.directory, examine)
    return {finding.name: finding for finding in findings}


def broken(findings: dict[str, Finding]) -> dict[str, Finding]:
    return {name: finding for name, finding in findings.items() if finding.broken}


async def test_no_violation_is_found_beside_running_servers_or_after_they_stop(backend: EtcdBackend) -> None:
    one, two = await backend.open(), await backend.open_another("two")
    undo = await one.lead("something", _nothing, _nothing)  # type: ignore[attr-defined]
    dice = random.Random(1)
    await write_some(two, dice, 30)
    await one.compact(one.revision - 5)
    stop = asyncio.Event()

    async def go_on_writing() -> None:
        while not stop.is_set():
            await write_some(two, dice, 1)

    writing = asyncio.create_task(go_on_writing())
    for folder in (backend.directory, backend.directory / "two") * 2:
        before = two.revision
        findings = await found(backend, folder)
        assert broken(findings) == {}
        assert findings["replica"].examined > 0, findings["replica"]
        await eventually(partial(_is_beyond, two, before), "writes go on")
    stop.set()
    await writing
    findings = await found(backend)
    assert findings["leases"].examined >= 3
    assert findings["replica previous"].examined > 0
    await undo()
    await two.close()
    await one.close()
    findings = await found(backend)
    assert broken(findings) == {}
    assert findings["replica"].examined > 0
    assert findings["values"].examined > 5


def _is_beyond(store: Store, revision: int) -> bool:
    return store.revision > revision


async def _nothing() -> None:
    return


Put = Callable[[EtcdClient, Layout], Awaitable[Any]]


def putting(make: Callable[[Layout], bytes], value: bytes) -> Put:
    return lambda client, layout: client.repeatedly("Put", PATIENCE, key=make(layout), value=value)


BREAKS: list[tuple[str, str, Put]] = [
    ("keys", "not a key that kcp writes", putting(lambda layout: layout.start + b"strange", b"x")),
    ("keys", "not a key that kcp writes", putting(lambda layout: layout.metadata + b"strange", b"x")),
    ("keys", "not a key that kcp writes", putting(lambda layout: layout.servers, b"x")),
    ("stored", "is not the key of an object", putting(lambda layout: layout.objects + b"a/b/c", b"x")),
    ("stored", "not a message", putting(lambda layout: layout.object_key(make_key("w", "a", "", "x")), b"\xff\xff")),
    ("stored", "its key is", putting(lambda layout: layout.objects + b"w/a%zz//x", b"\x12\x02{}")),
    ("values", "not as promised", putting(lambda layout: layout.object_key(make_key("w", "a", "", "x")), b"\x12\x01{")),
    ("marker", "put none", putting(lambda layout: layout.object_key(make_key("w", "a", "", "x")), b"\x12\x02{}")),
    ("marker", "not a message", putting(lambda layout: layout.marker, b"\xff\xff")),
    ("metadata", "the offset is no number", putting(lambda layout: layout.offset, b"many")),
    ("metadata", "the compaction line is", putting(lambda layout: layout.compacted, b"99999999")),
    ("leases", "has no lease", putting(lambda layout: layout.server("gone"), b"1")),
    ("leases", "which is not a server", putting(lambda layout: layout.leader("compaction"), b"nobody")),
]


@pytest.mark.parametrize(("rule", "words", "put"), BREAKS, ids=[f"{rule}: {words}" for rule, words, _ in BREAKS])
async def test_each_manual_damage_is_found_by_its_rule(backend: EtcdBackend, rule: str, words: str, put: Put) -> None:
    store = await backend.open()
    await write_some(store, random.Random(2), 10)
    await store.close()
    client = EtcdClient(backend.options.connection)
    try:
        assert broken(await found(backend)) == {}
        await put(client, Layout(backend.prefix))
    finally:
        await client.close()
    finding = (await found(backend))[rule]
    assert finding.broken == 1
    assert words in finding.first[0].what


COPIES: list[tuple[str, str, str]] = [
    ("replica", "etcd has it, the replica has not", "DELETE FROM current WHERE name = 'n1'"),
    ("replica", "the replica has it, etcd has not", "UPDATE current SET name = 'n3' WHERE name = 'n1'"),
    ("replica", "another value", "UPDATE log SET value = CAST('[]' AS BLOB) WHERE name = 'n1'"),
    ("replica", "the replica has it at revision", "UPDATE current SET position = (SELECT min(position) FROM log)"),
    ("replica newest", "not in current", "DELETE FROM current WHERE name = 'n1'"),
    (
        "replica",
        "the replica is ahead",
        "INSERT INTO metadata VALUES ('revision', 9999999) ON CONFLICT DO UPDATE SET value = 9999999",
    ),
]


@pytest.mark.parametrize(("rule", "words", "sql"), COPIES, ids=[words for _, words, _ in COPIES])
async def test_a_replica_that_differs_is_found(backend: EtcdBackend, rule: str, words: str, sql: str) -> None:
    store = await backend.open()
    for name in ("n1", "n2"):
        await store.write([Change(make_key("w", "a", "", name), b"{}")])
    await store.close()
    assert broken(await found(backend)) == {}
    execute(backend.file, sql)
    finding = (await found(backend))[rule]
    assert any(words in violation.what for violation in finding.first), finding


async def test_a_replica_that_cannot_be_compared_is_no_violation(backend: EtcdBackend) -> None:
    store = await backend.open()
    await store.write([Change(make_key("w", "a", "", "n1"), b"{}")])
    await store.close()
    other = await backend.open_another("other")
    for _ in range(3):
        await other.write([Change(make_key("w", "a", "", "n1"), b"{}")])
    await other.compact(other.revision)
    findings = await found(backend)
    assert broken(findings) == {}
    assert "etcd has compacted revision" in findings["replica"].invariant
    await other.close()
    execute(backend.file, "UPDATE metadata SET value = 5 WHERE name = 'origin'")
    assert "of another log" in (await found(backend))["replica"].invariant
    execute(backend.file, "DELETE FROM metadata WHERE name = 'origin'")
    assert "is incomplete" in (await found(backend))["replica"].invariant
    backend.file.write_bytes(b"no database" * 1000)
    assert "is not a replica of a log" in (await found(backend))["replica"].invariant


async def test_a_prefix_without_a_log_is_reported(backend: EtcdBackend) -> None:
    findings = await found(backend)
    assert "no server has begun one" in broken(findings)["metadata"].first[0].what


async def test_an_unreachable_etcd_is_reported(backend: EtcdBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    from kcp.store.etcd.access import ConnectionOptions, LogOptions

    monkeypatch.setattr(integrity, "_CALL_SECONDS", 0.5)
    with pytest.raises(StoreUnavailableError):
        await check_log(LogOptions(ConnectionOptions(("http://127.0.0.1:1",))), backend.directory, lambda *_: None)
