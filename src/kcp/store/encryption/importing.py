"""The import of one logical cluster: its encrypted values are bound to their keys, which change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kcp.store.contract import Key, LogError, key_text
from kcp.store.encryption import key_records
from kcp.store.encryption.key_records import KeyUse
from kcp.store.encryption.kms.client import KMSError
from kcp.store.encryption.options import FLAG
from kcp.store.encryption.transformers import ENCRYPTED, DecryptionError, EncryptionError, context_of
from kcp.store.exports import Entry

if TYPE_CHECKING:
    from kcp.store.encryption.keyring import Keyring


class Reencryption:
    """Decrypts the entries of an import, and encrypts them for their keys in the target, with the first provider.

    An import may read its file more than once: each reading yields the key records again.
    """

    def __init__(self, keyring: Keyring | None) -> None:
        self._keyring = keyring
        self._prepared = False

    def __call__(self, entries: Iterator[tuple[Entry, Key]]) -> Iterator[Entry]:
        """Yield the entries, each under its new key, and the key records that they need. Raises LogError."""
        uses: set[KeyUse] = set()
        for entry, key in entries:
            value = self._rewritten(entry, key)
            yield entry._replace(key=key, value=value)
            record = self._record_of(key, value, uses)
            if record is not None:
                yield record

    def _rewritten(self, entry: Entry, key: Key) -> bytes:
        providers = self._keyring.rules[key.resource] if self._keyring is not None else None
        if providers is None:
            if entry.value.startswith(ENCRYPTED):
                raise _missing_keys(entry)
            return entry.value
        self._prepare()
        value = entry.value
        try:
            if value.startswith(ENCRYPTED):
                value = providers.decrypt(value, context_of(entry.key))
            return providers.encrypt(value, context_of(key))
        except (DecryptionError, EncryptionError) as error:
            raise LogError(f"{key_text(entry.key)} cannot be encrypted again: {error}") from error

    def _prepare(self) -> None:
        if self._prepared or self._keyring is None:
            return
        for provider in self._keyring.writers():
            try:
                provider.prepare()
            except KMSError as error:
                raise LogError(str(error)) from error
        self._prepared = True

    def _record_of(self, key: Key, value: bytes, uses: set[KeyUse]) -> Entry | None:
        providers = self._keyring.rules[key.resource] if self._keyring is not None else None
        if providers is None or not providers.encrypts:
            return None
        use = key_records.use_in(value, key.resource, providers.first)
        if use in uses:
            return None
        uses.add(use)
        return Entry(use.record_key, 0, providers.encrypt(*key_records.word_of(use)))


def _missing_keys(entry: Entry) -> LogError:
    """The error of an import that lacks the keys."""
    return LogError(
        f"{key_text(entry.key)} is encrypted, and must be encrypted again for another log or logical cluster: give "
        f"{FLAG} with its key and the one to encrypt with"
    )
