"""Opening a log for a server: the keys are compared with those that its values need, before anything is served.

A log whose values need a key that the server does not have is refused, in one line. While the server runs, the file is read
again when it changes (`Encryption.reload`); a file that cannot be used leaves the keys as they were.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from kcp.logical_clusters import SERVER_OWNED, SERVER_RECORDS
from kcp.store.contract import (
    Change,
    DamagedValueError,
    Key,
    LogError,
    PreconditionFailedError,
    Range,
    Record,
    StoreClosedError,
    StoreUnavailableError,
)
from kcp.store.encryption import key_records
from kcp.store.encryption.key_records import KeyUse
from kcp.store.encryption.keyring import Keyring, keyring_of
from kcp.store.encryption.kms.envelope import EnvelopeTransformer, WriteKey
from kcp.store.encryption.options import FLAG, ReadRules
from kcp.store.encryption.providers import Counts
from kcp.store.encryption.store import EncryptedStore
from kcp.store.encryption.transformers import DecryptionError, context_of
from kcp.store.server_contract import ServerStore

logger: Final = logging.getLogger(__name__)

_KMS_SECONDS: Final = 15.0
"""Seconds that a start waits for the key management services of writes."""
_KMS_PAUSE: Final = 0.5
_SPREAD_SECONDS: Final = 10.0
"""Seconds between the announcement of a new seed and its first use, so that the other servers have fetched it."""


class KeyFile(NamedTuple):
    """The file with the rules and keys, and the function that reads it."""

    path: Path
    read: ReadRules


class ReloadFigures:
    """Counts of reloads, for kube-apiserver's metrics."""

    def __init__(self) -> None:
        self.successes = 0
        self.failures = 0
        self.last_success = 0.0
        self.last_failure = 0.0

    def succeeded(self) -> None:
        """Count a reload."""
        self.successes += 1
        self.last_success = time.time()

    def failed(self) -> None:
        """Count a reload that left the keys as they were."""
        self.failures += 1
        self.last_failure = time.time()


class Encryption:
    """The keys of a running server, and their changes."""

    def __init__(self, file: KeyFile, store: EncryptedStore, keyring: Keyring, counts: Counts, *, shared: bool) -> None:
        self._file = file
        self.counts = counts
        """Transformations, by type, prefix and status."""
        self.reloads = ReloadFigures()
        self._store = store
        self._keyring = keyring
        self._shared = shared
        self._reloading: asyncio.Task[None] | None = None
        store.on_close = self.stop
        if keyring.kms:
            store.extra_checks["kms-providers"] = self.problem

    @property
    def path(self) -> Path:
        """The file with the keys."""
        return self._file.path

    def problem(self) -> str | None:
        """Why a KMS provider does not answer; None if all do."""
        return self._keyring.problem()

    def follow(self) -> None:
        """Begin to follow the key IDs of the KMS providers."""
        for provider in self._keyring.kms:
            provider.follow(self._announce)

    async def _announce(self, transformer: EnvelopeTransformer, new: WriteKey) -> None:
        try:
            await self._store.announce(
                transformer, lambda value, context: transformer.encrypt_with(new, value, context)
            )
        except StoreUnavailableError as error:
            logger.warning("a new key is used without being announced to other servers: %s", error)
        if self._shared:
            await asyncio.sleep(_SPREAD_SECONDS)

    def reload(self) -> None:
        """Read the file again. Raises OptionError for a file that cannot be used.

        The new keys are compared with the values of the log before they replace the present ones, in a task.
        """
        try:
            keyring = keyring_of(self._file.read(self.path), self.counts)
        except LogError:
            self.reloads.failed()
            raise
        if self._reloading is not None:
            self._reloading.cancel()
        self._reloading = asyncio.get_running_loop().create_task(self._replace(keyring), name="encryption-reload")

    async def _replace(self, keyring: Keyring) -> None:
        try:
            await start_keys(self._store.inner, keyring, str(self.path))
        except Exception as error:
            self.reloads.failed()
            known = isinstance(error, LogError | StoreUnavailableError)
            text = "cannot use %s as it is now, the previous keys stay in force: %s"
            logger.error(text, self.path, error, exc_info=None if known else error)
            await keyring.stop()
            return
        before, self._keyring = self._keyring, keyring
        self._store.rules.replace(keyring.rules)
        keyring.rules = self._store.rules
        self._store.extra_checks.pop("kms-providers", None)
        if keyring.kms:
            self._store.extra_checks["kms-providers"] = self.problem
        await before.stop()
        self.follow()
        try:
            await renew_server_records(self._store)
        except (DamagedValueError, StoreUnavailableError, StoreClosedError) as error:
            logger.warning("the servers' own records keep their previous form: %s", error)
        self.reloads.succeeded()
        logger.info("the keys of %s are in force", self.path)

    async def settled(self) -> None:
        """Wait until the last reload has ended."""
        if self._reloading is not None:
            await asyncio.wait((self._reloading,))

    async def stop(self) -> None:
        """End reloading and the work of the KMS providers."""
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.wait((self._reloading,))
        await self._keyring.stop()


async def open_encrypted(
    inner: ServerStore, file: KeyFile | None, max_changes: int, *, shared: bool
) -> tuple[ServerStore, Encryption | None]:
    """Put encryption over an open store, as a file says; without a file, check that none is needed.

    ``shared`` says whether other servers use the log. Raises LogError, StoreUnavailableError; ``inner`` stays open.
    """
    counts: Counts = {}
    keyring = keyring_of(file.read(file.path) if file is not None else (), counts)
    try:
        recorded = await start_keys(inner, keyring, str(file.path) if file is not None else None)
    except BaseException:
        await keyring.stop()
        raise
    if file is None:
        return inner, None
    store = EncryptedStore(inner, keyring.rules, max_changes)
    store.recorded |= recorded
    encryption = Encryption(file, store, keyring, counts, shared=shared)
    encryption.follow()
    try:
        await renew_server_records(store)
    except BaseException:
        await encryption.stop()
        raise
    return store, encryption


async def start_keys(inner: ServerStore, keyring: Keyring, file: str | None) -> set[KeyUse]:
    """Make keys usable, and compare them with those that the log's values need. Drops records of keys that none needs.

    ``file`` is the configuration in messages. Returns the uses that are recorded. Raises LogError, StoreUnavailableError.
    """
    records = inner.scan(key_records.RECORDS).records
    await _wait_for_kms(keyring, records)
    recorded: set[KeyUse] = set()
    for record in records:
        use = key_records.use_of(record)
        problem = await _problem_with(record, use, keyring)
        if problem is None:
            recorded.add(use)
            continue
        example = await key_records.first_use(inner, use)
        if example is not None:
            raise LogError(_refusal(use, example, problem, file))
        await _drop(inner, record)
    await asyncio.gather(
        *[provider.start() for provider in keyring.kms]
    )  # with a seed of the log, if one has the key ID
    for provider in keyring.writers():
        if provider.problem is not None:
            raise LogError(f"{FLAG}: {provider.problem}")
    return recorded


async def _wait_for_kms(keyring: Keyring, records: Sequence[Record]) -> None:
    """Wait until the key management services answer that writes or key records need. Raises LogError."""
    needed = {provider.options.name: provider for provider in keyring.writers()}
    needed |= {found.options.name: found for record in records if (found := keyring.kms_of(record)) is not None}
    deadline = time.monotonic() + _KMS_SECONDS
    while True:
        await asyncio.gather(*[provider.ask() for provider in needed.values()])
        failing = [provider.problem for provider in needed.values() if provider.problem is not None]
        if not failing:
            return
        if time.monotonic() > deadline:
            raise LogError(f"{FLAG}: {failing[0]}")
        await asyncio.sleep(_KMS_PAUSE)


async def _problem_with(record: Record, use: KeyUse, keyring: Keyring) -> str | None:
    """Why a key record cannot be decrypted; None if it can."""
    providers = keyring.rules[use.resource]
    if providers is None or providers.transformer_of(record.value) is None:
        return "has no provider with this key for this resource"
    try:
        await keyring.fetch(record)
        providers.decrypt(record.value, context_of(record.key))
    except DecryptionError as error:
        return f"has another key of this name ({error})" if keyring.kms_of(record) is None else f"fails: {error}"
    return None


def _refusal(use: KeyUse, example: Key, problem: str, file: str | None) -> str:
    described = key_records.described(use, example)
    if file is None:
        return f"{described}: give {FLAG} with a file that has this key"
    return f"{described}, but {FLAG} {file} {problem}: keep a key until all objects are written again"


async def _drop(inner: ServerStore, record: Record) -> None:
    try:
        await inner.write([Change(record.key, None, expected=record.revision)])
    except PreconditionFailedError:
        return  # another server has dropped it, or uses the key again


async def renew_server_records(store: EncryptedStore) -> None:
    """Write the servers' own records again where they are stored in plain text or with an older key: no client can."""
    for record in store.scan(Range(SERVER_RECORDS, SERVER_OWNED, "")).records:
        if store.is_stale(record):
            change = Change(record.key, record.value, expected=record.revision, tag=record.tag)
            try:
                await store.write([change])
            except PreconditionFailedError:
                continue  # another server has written it
