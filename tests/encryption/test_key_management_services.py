"""Keys of a key management service, by a plugin over a Unix socket (KEP-3299)."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kcp.store.contract import Change, Key, LogError, Range, StoreUnavailableError, UndecryptableValueError
from kcp.store.encryption import opening
from kcp.store.encryption.kms.client import KMSClient
from kcp.store.encryption.kms.provider import KMSProvider
from kcp.store.sqlite.store import open_store
from tests.encryption.files import IDENTITY, configuration, keys, secrets_with
from tests.encryption.kms_plugin import Plugin, plugin_at
from tests.encryption.stores import Keys, encrypted
from tests.support.kcp_process import run
from tests.support.keys import make_key
from tests.support.waiting import eventually

VALUE = b'{"data":"xylophone"}'


def kms(plugin: Plugin, name: str = "vault", timeout: str = "30s") -> dict[str, object]:
    options = {"apiVersion": "v2", "name": name, "endpoint": plugin.endpoint, "timeout": timeout}
    return {"kms": options}


def secret(name: str) -> Key:
    return make_key("secrets", "root", "default", name)


def provider_of(encryption: opening.Encryption) -> KMSProvider:
    (provider,) = encryption._keyring.kms
    return provider


def give_up_after(seconds: float, encryption: opening.Encryption) -> None:
    """Set the timeout of later calls. Those of a start are made once, and a busy machine may need long for their answers."""
    provider = provider_of(encryption)
    provider.close()
    provider._client = KMSClient(replace(provider.options, timeout=seconds))


async def poll(encryption: opening.Encryption) -> None:
    await provider_of(encryption).poll(encryption._announce)


async def test_values_are_encrypted_with_a_seed_that_the_service_encrypted(tmp_path: Path, plugin: Plugin) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(secrets_with(kms(plugin)))) as (store, _):
        for name in "ab":
            await store.write([Change(secret(name), VALUE)])
        stored = store.inner.get(secret("a"))
        assert stored is not None
        assert stored.value.startswith(b"k8s:enc:kms:v2:vault:")
        assert b"xylophone" not in stored.value
        assert [record.value for record in store.scan(Range("secrets")).records] == [VALUE, VALUE]
    assert plugin.calls.count("Encrypt") == 1
    assert "Decrypt" not in plugin.calls


async def test_a_restart_continues_with_the_seed_of_the_log(tmp_path: Path, plugin: Plugin) -> None:
    file = Keys(secrets_with(kms(plugin)))
    async with encrypted(tmp_path / "kcp.db", file) as (store, _):
        await store.write([Change(secret("a"), VALUE)])
    plugin.calls.clear()
    async with encrypted(tmp_path / "kcp.db", file) as (store, _):
        record = store.get(secret("a"))
        assert record is not None
        assert record.value == VALUE
        await store.write([Change(secret("b"), VALUE)])
    assert plugin.calls.count("Decrypt") == 1
    assert "Encrypt" not in plugin.calls


async def test_another_key_id_makes_a_new_seed_and_older_values_stale(tmp_path: Path, plugin: Plugin) -> None:
    file = Keys(secrets_with(kms(plugin)))
    async with encrypted(tmp_path / "kcp.db", file) as (store, encryption):
        await store.write([Change(secret("a"), VALUE)])
        record = store.get(secret("a"))
        assert record is not None
        assert not store.is_stale(record)
        plugin.rotate("key-2")
        await poll(encryption)
        assert store.is_stale(record)
        await store.write([Change(secret("a"), VALUE)])
        record = store.get(secret("a"))
        assert record is not None
        assert record.value == VALUE
        assert not store.is_stale(record)
    async with encrypted(tmp_path / "kcp.db", file) as (store, _):
        assert store.get(secret("a")) is not None


async def test_a_key_that_the_service_has_dropped_is_not_needed_after_all_values_are_rewritten(
    tmp_path: Path, plugin: Plugin
) -> None:
    file = Keys(secrets_with(kms(plugin)))
    async with encrypted(tmp_path / "kcp.db", file) as (store, encryption):
        for name in "ab":
            await store.write([Change(secret(name), VALUE)])
        plugin.rotate("key-2")
        await poll(encryption)
        await store.write([Change(secret("a"), VALUE)])
    del plugin.keys["key-1"]
    with pytest.raises(LogError, match=r'the first is secrets default/b of .*kms provider "vault".*cannot decrypt'):
        async with encrypted(tmp_path / "kcp.db", file):
            pass
    inner = open_store(tmp_path / "kcp.db")
    await inner.write([Change(secret("b"), None)])
    await inner.close()
    async with encrypted(tmp_path / "kcp.db", file) as (store, _):
        assert store.get(secret("a")) is not None
        assert len(store.inner.scan(Range("servers.kcp.io", namespace="encryption")).records) == 1


async def test_a_service_that_fails_shows_in_readiness_and_stops_writes_after_a_while(
    tmp_path: Path, plugin: Plugin
) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(secrets_with(kms(plugin)))) as (store, encryption):
        check = store.readiness_checks()["kms-providers"]
        assert check() is None
        plugin.healthz = "the vault is sealed"
        await poll(encryption)
        assert "the vault is sealed" in (check() or "")
        await store.write([Change(secret("a"), VALUE)])
        provider_of(encryption).transformer.usable_until = time.monotonic() - 1
        with pytest.raises(StoreUnavailableError, match=r"secrets cannot be encrypted: .*the vault is sealed"):
            await store.write([Change(secret("b"), VALUE)])
        assert store.get(secret("a")) is not None
        plugin.healthz = "ok"
        await poll(encryption)
        assert check() is None
        await store.write([Change(secret("b"), VALUE)])


async def test_a_call_without_an_answer_ends_at_the_timeout(tmp_path: Path, plugin: Plugin) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(secrets_with(kms(plugin)))) as (store, encryption):
        plugin.hanging.set()
        give_up_after(0.1, encryption)
        await poll(encryption)
        assert "no answer to Status within 0.1 s" in (store.readiness_checks()["kms-providers"]() or "")


async def test_a_plugin_that_restarts_is_reached_again(tmp_path: Path, plugin: Plugin) -> None:
    async with encrypted(tmp_path / "kcp.db", Keys(secrets_with(kms(plugin)))) as (store, encryption):
        give_up_after(3, encryption)
        plugin.stop()
        await poll(encryption)
        check = store.readiness_checks()["kms-providers"]
        assert check() is not None
        plugin.start()

        async def answers() -> bool:
            await poll(encryption)
            return check() is None

        await eventually(answers, "the plugin is reached again")


async def test_a_start_without_the_service_is_refused(
    tmp_path: Path, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_KMS_SECONDS", 0.1)
    plugin.stop()
    with pytest.raises(LogError, match=r'^--encryption-provider-config: kms provider "vault" at .*no answer to Status'):
        async with encrypted(tmp_path / "kcp.db", Keys(secrets_with(kms(plugin, timeout="100ms")))):
            pass


async def test_another_version_of_the_plugin_api_is_refused(
    tmp_path: Path, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_KMS_SECONDS", 0.1)
    plugin.version = "v7"
    with pytest.raises(LogError, match="it implements version v7 of the plugin API, not v2"):
        async with encrypted(tmp_path / "kcp.db", Keys(secrets_with(kms(plugin)))):
            pass


async def test_a_seed_that_another_server_made_is_fetched_when_its_record_arrives(
    tmp_path: Path, plugin: Plugin
) -> None:
    file = Keys(secrets_with(kms(plugin)))
    async with (
        encrypted(tmp_path / "a.db", file) as (store, _),
        encrypted(tmp_path / "b.db", file) as (other, _),
    ):
        await other.write([Change(secret("a"), VALUE)])
        records = other.inner.scan(Range("servers.kcp.io", namespace="encryption")).records
        await store.inner.write([Change(record.key, record.value) for record in records])
        await eventually(lambda: plugin.calls.count("Decrypt") == 1, "the seed has been fetched")
        stored = other.inner.get(secret("a"))
        assert stored is not None
        await store.inner.write([Change(secret("a"), stored.value)])

        def is_readable() -> bool:
            try:
                return store.get(secret("a")) is not None
            except UndecryptableValueError:
                return False

        await eventually(is_readable, "the value can be read")


async def test_moving_from_a_local_key_to_a_service_and_back_needs_no_restart(tmp_path: Path, plugin: Plugin) -> None:
    local = keys("aesgcm", "key1")
    file = Keys(secrets_with(local, IDENTITY))
    async with encrypted(tmp_path / "kcp.db", file) as (store, encryption):
        await store.write([Change(secret("a"), VALUE)])
        for providers, prefix in (
            ((kms(plugin), local), b"k8s:enc:kms:v2:vault:"),
            ((local, kms(plugin)), b"k8s:enc:aesgcm:v1:key1:"),
        ):
            file.text = secrets_with(*providers)
            encryption.reload()
            await encryption.settled()
            record = store.get(secret("a"))
            assert record is not None
            assert store.is_stale(record)
            await store.write([Change(secret("a"), record.value, record.revision)])
            stored = store.inner.get(secret("a"))
            assert stored is not None
            assert stored.value.startswith(prefix)
        assert (encryption.reloads.successes, encryption.reloads.failures) == (2, 0)


async def test_a_reload_that_would_lose_values_leaves_the_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = Keys(secrets_with(keys("aesgcm", "key1")))
    async with encrypted(tmp_path / "kcp.db", file) as (store, encryption):
        await store.write([Change(secret("a"), VALUE)])
        file.text = secrets_with(keys("aesgcm", "key2"))
        with caplog.at_level(logging.ERROR):
            encryption.reload()
            await encryption.settled()
        assert (
            "the previous keys stay in force: values of secrets are encrypted with k8s:enc:aesgcm:v1:key1:"
            in caplog.text
        )
        file.text = "kind: Secret"
        with pytest.raises(LogError, match="must have kind EncryptionConfiguration"):
            encryption.reload()
        assert (encryption.reloads.successes, encryption.reloads.failures) == (0, 2)
        record = store.get(secret("a"))
        assert record is not None
        assert record.value == VALUE


async def test_two_plugins_serve_two_rules(tmp_path: Path, plugin: Plugin) -> None:
    with plugin_at(plugin.socket.with_name("second.sock")) as second:
        text = configuration((["secrets"], [kms(plugin)]), (["configmaps"], [kms(second, "other")]))
        async with encrypted(tmp_path / "kcp.db", Keys(text)) as (store, _):
            for resource in ("secrets", "configmaps"):
                await store.write([Change(make_key(resource, "root", "default", "a"), VALUE)])
            stored = store.inner.get(make_key("configmaps", "root", "default", "a"))
            assert stored is not None
            assert stored.value.startswith(b"k8s:enc:kms:v2:other:")
        assert second.calls.count("Encrypt") == plugin.calls.count("Encrypt") == 1


def test_a_check_asks_the_service_once_for_each_seed(tmp_path: Path, plugin: Plugin) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(secrets_with(kms(plugin, timeout="30s")))
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)

    async def fill() -> None:
        async with encrypted(root / "data" / "kcp.db", Keys(file.read_text())) as (store, _):
            await store.write([Change(secret(f"{number:03}"), VALUE) for number in range(100)])

    asyncio.run(fill())
    check = ("store", "check", "--root-directory", str(root), "--encryption-provider-config", str(file))
    plugin.calls.clear()
    assert "encrypted values, decrypted" in run(*check).stdout
    assert plugin.calls == ["Decrypt"]
    plugin.keys.clear()
    plugin.calls.clear()
    failed = run(*check)
    assert failed.returncode == 1
    assert "it cannot be decrypted: kms provider" in failed.stdout
    assert plugin.calls == ["Decrypt"]
