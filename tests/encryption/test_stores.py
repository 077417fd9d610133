"""A store with encryption: what the conformance suite does not ask of it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from kcp.store.contract import (
    ABSENT,
    UNREADABLE,
    Change,
    CompactedError,
    Event,
    Hint,
    Key,
    LogError,
    Needle,
    PreconditionFailedError,
    Range,
    SlowConsumerError,
    UndecryptableValueError,
)
from kcp.store.encryption.ciphers import AESGCMTransformer
from kcp.store.encryption.transformers import context_of
from kcp.store.sqlite.store import open_store
from tests.encryption.files import IDENTITY, configuration, keys, secrets_with
from tests.encryption.stores import Keys, encrypted
from tests.support.keys import make_key
from tests.support.waiting import PATIENCE

VALUE = b'{"data":"xylophone"}'
SECRETS = Range("secrets")
KEY = secrets_with(keys("aesgcm", "key1"), IDENTITY)


def secret(name: str) -> Key:
    return make_key("secrets", "root", "default", name)


def foreign(name: str) -> bytes:
    """A value under a key that no test configures."""
    return AESGCMTransformer("key9", bytes(32)).encrypt(VALUE, context_of(secret(name)))


async def test_the_first_write_with_a_key_records_its_use(tmp_path: Path) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(KEY)) as (store, _):
        first = await store.write([Change(secret("a"), VALUE)])
        second = await store.write([Change(secret("b"), VALUE)])
        records = store.inner.scan(Range("servers.kcp.io", namespace="encryption")).records
        assert [(record.key.name, record.revision) for record in records] == [
            ("secrets/k8s:enc:aesgcm:v1:key1:", first)
        ]
        assert second == first + 1


async def test_a_refused_first_write_leaves_the_record_to_the_next_one(tmp_path: Path) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(KEY)) as (store, _):
        with pytest.raises(PreconditionFailedError):
            await store.write([Change(secret("a"), VALUE, expected=7)])
        revision = await store.write([Change(secret("a"), VALUE, expected=ABSENT)])
        (record,) = store.inner.scan(Range("servers.kcp.io", namespace="encryption")).records
        assert record.revision == revision


async def test_a_full_write_is_encrypted_and_leaves_the_record_to_the_next_one(tmp_path: Path) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(KEY)) as (store, _):
        await store.write([Change(secret(f"{number:04}"), VALUE) for number in range(1024)])
        await store.write([Change(secret("a"), VALUE)])
        assert len(store.inner.scan(Range("servers.kcp.io", namespace="encryption")).records) == 1
        assert all(record.value == VALUE for record in store.scan(SECRETS).records)


async def test_a_key_that_no_value_needs_may_be_removed(tmp_path: Path) -> None:
    file = Keys(KEY)
    async with encrypted(tmp_path / "kcp.db", file) as (store, _):
        await store.write([Change(secret("a"), VALUE)])
        await store.write([Change(secret("a"), None)])
    file.text = secrets_with(IDENTITY)
    async with encrypted(tmp_path / "kcp.db", file) as (store, _):
        assert store.inner.scan(Range("servers.kcp.io", namespace="encryption")).records == []


async def test_a_text_like_a_prefix_in_a_plain_value_needs_no_key(tmp_path: Path) -> None:
    file = Keys(configuration((["secrets", "configmaps"], [keys("aesgcm", "key1"), IDENTITY])))
    note = make_key("configmaps", "root", "default", "note")
    async with encrypted(tmp_path / "kcp.db", file) as (store, _):
        await store.write([Change(note, b"{}")])
        await store.inner.write([Change(note, b'{"note":"k8s:enc:aesgcm:v1:key1:"}')])
    file.text = secrets_with(IDENTITY)
    async with encrypted(tmp_path / "kcp.db", file) as (store, _):
        assert store.get(note) is not None


async def test_removing_a_resource_from_the_rules_is_refused_while_values_are_encrypted(tmp_path: Path) -> None:
    file = Keys(configuration((["secrets", "configmaps"], [keys("aesgcm", "key1"), IDENTITY])))
    async with encrypted(tmp_path / "kcp.db", file) as (store, _):
        await store.write([Change(make_key("configmaps", "root", "default", "note"), b"{}")])
    file.text = KEY
    with pytest.raises(LogError, match="values of configmaps are encrypted with k8s:enc:aesgcm:v1:key1:"):
        async with encrypted(tmp_path / "kcp.db", file):
            pass


async def test_without_identity_a_plain_value_is_not_read(tmp_path: Path) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(secrets_with(keys("aesgcm", "key1")))) as (store, _):
        await store.inner.write([Change(secret("a"), VALUE)])
        with pytest.raises(UndecryptableValueError, match="identity is not among the providers"):
            store.get(secret("a"))


async def test_a_page_goes_on_after_values_that_cannot_be_decrypted(tmp_path: Path) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(KEY)) as (store, _):
        for name in "abcd":
            await store.inner.write([Change(secret(name), foreign(name))])
        await store.write([Change(secret("e"), VALUE)])
        await store.write([Change(secret("f"), VALUE)])
        page = store.scan(SECRETS, limit=2)
        assert [record.key.name for record in page.records] == ["e", "f"]
        assert [key.name for key in page.damaged] == ["a", "b", "c", "d"]


async def test_a_watch_does_not_pass_a_value_that_cannot_be_decrypted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(KEY)) as (store, _):
        seen: list[Event] = []
        store.follow("secrets", seen.extend)
        before = await store.write([Change(secret("a"), VALUE)])
        watch = store.watch(SECRETS, before)
        others = store.watch(Range("configmaps"), before)
        with caplog.at_level(logging.ERROR):
            await store.inner.write([Change(secret("a"), foreign("a"))])
        with pytest.raises(SlowConsumerError):
            await watch.next(timeout=PATIENCE)
        resumed = store.watch(SECRETS, before)
        with pytest.raises(CompactedError):
            await resumed.next(timeout=PATIENCE)
        assert await others.next(timeout=0) == ()
        assert "no provider has the key of its prefix k8s:enc:aesgcm:v1:key9:" in caplog.text
        record = seen[-1].record
        assert record is not None
        assert record.value is UNREADABLE

        # once it is replaced, the state before it is what a watcher sees as damaged
        present = await store.write([Change(secret("a"), VALUE)])
        assert seen[-1].previous is not None
        assert seen[-1].previous.value is UNREADABLE
        assert store.watch(SECRETS, present).revision == present


async def test_watchers_and_followers_get_plain_values_of_history_and_now(tmp_path: Path) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(KEY)) as (store, _):
        before = store.revision
        await store.write([Change(secret("a"), VALUE)])
        watch = store.watch(SECRETS, before)
        events = list(await watch.next(timeout=PATIENCE))
        await store.write([Change(secret("a"), b"{}")])
        events += await watch.next(timeout=PATIENCE)
        values = [(event.record and event.record.value, event.previous and event.previous.value) for event in events]
        assert values == [(VALUE, None), (b"{}", VALUE)]


async def test_a_function_that_decodes_events_gets_plain_values(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def decode(event: Event) -> Event:
        assert event.record is not None
        seen.append(event.record.value)
        return event

    async with encrypted(tmp_path / "kcp.db", Keys(KEY)) as (store, _):
        store.decode_events(decode)
        watch = store.watch(SECRETS, store.revision)
        await store.write([Change(secret("a"), VALUE)])
        (event,) = await watch.next(timeout=PATIENCE)
        assert event.record is not None
        assert event.record.value == VALUE
        assert VALUE in seen


async def test_a_search_decrypts_in_slices_between_which_others_run(tmp_path: Path) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(KEY)) as (store, _):
        for start in range(0, 3000, 1000):
            await store.write([Change(secret(f"{number:04}"), VALUE) for number in range(start, start + 1000)])
        await store.write([Change(secret("2999"), b'{"data":"marimba"}')])
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(count())
        page = await store.select(SECRETS, Hint(needles=(Needle((b"marimba",)),)))
        other.cancel()
        assert [record.key.name for record in page.records] == ["2999"]
        assert turns >= 3000 // 200


async def test_a_log_that_was_encrypted_opens_without_keys_when_nothing_is(tmp_path: Path) -> None:
    from kcp.store.encryption.backend import EncryptedBackend
    from kcp.store.sqlite.backend import SQLiteBackend

    path = tmp_path / "kcp.db"
    async with encrypted(path, Keys(KEY)) as (store, _):
        await store.write([Change(secret("a"), VALUE)])
    plain = EncryptedBackend(SQLiteBackend(path), None, Keys(KEY).read)
    with pytest.raises(LogError, match="give --encryption-provider-config with a file that has this key"):
        await plain.open()
    inner = open_store(path)
    await inner.write([Change(secret("a"), VALUE)])
    await inner.close()
    opened = await plain.open()
    assert plain.encryption is None
    assert opened.get(secret("a")) is not None
    await opened.close()
