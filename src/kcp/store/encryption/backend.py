"""Encryption for the commands and servers of any backend: what is encrypted stays encrypted in snapshots and exports.

A server opens the log through here, with or without keys: without, the log must not need any. Saving, restoring, exporting and
importing a log as a whole need no key, since they move stored values as they are. Two operations need the keys, if there are
encrypted values: an import of one logical cluster, whose values are encrypted for their new place, and the part of a check that
looks into values.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Capabilities, Key
from kcp.store.encryption.transformers import ENCRYPTED
from kcp.store.findings import Examine, Finding, Progress
from kcp.store.server_contract import Backend, ServerStore

if TYPE_CHECKING:
    from kcp.store.encryption.keyring import Keyring
    from kcp.store.encryption.opening import Encryption
    from kcp.store.encryption.options import ReadRules
    from kcp.store.exports import Summary
    from kcp.store.transfers import Imported, Restored, Selection

_RULE: Final = "encryption"


class EncryptedBackend:
    """A backend with the keys of the file ``path``, which ``read`` reads, or without keys."""

    def __init__(self, inner: Backend, path: Path | None, read: ReadRules) -> None:
        self._inner = inner
        self._path = path
        self._read = read
        self.encryption: Encryption | None = None
        """The keys of the server that has opened the log."""

    @property
    def capabilities(self) -> Capabilities:
        """Those of the inner backend."""
        return self._inner.capabilities

    def is_missing(self) -> bool:
        """Whether `open` would create the log here."""
        return self._inner.is_missing()

    async def open(self) -> ServerStore:
        """Open the log for a server. Raises LogError, also where values need a key that is not there."""
        inner = await self._inner.open()
        try:
            from kcp.store.encryption import key_records

            if self._path is None and not inner.scan(key_records.RECORDS, limit=1, count=False).records:
                return inner
            from kcp.store.encryption.opening import KeyFile, open_encrypted

            capabilities = self._inner.capabilities
            store, self.encryption = await open_encrypted(
                inner,
                None if self._path is None else KeyFile(self._path, self._read),
                capabilities.max_changes,
                shared=capabilities.shared,
            )
        except BaseException:
            await inner.close()
            raise
        return store

    def save(self, file: Path) -> None:
        """Write a snapshot."""
        self._inner.save(file)

    def restore(self, file: Path, *, replace: bool) -> Restored:
        """Replace the log with a snapshot."""
        return self._inner.restore(file, replace=replace)

    def export_log(self, file: Path, logical_cluster: LogicalClusterName = WILDCARD) -> Summary:
        """Write an export file."""
        return self._inner.export_log(file, logical_cluster)

    def import_log(self, file: Path, selection: Selection) -> Imported:
        """Write entries of an export file into the log. Those of one logical cluster are encrypted again."""
        if selection.source == WILDCARD:
            return self._inner.import_log(file, selection)
        from kcp.store.encryption.importing import Reencryption

        keyring = self._keyring()
        try:
            return self._inner.import_log(file, selection._replace(rewrite=Reencryption(keyring)))
        finally:
            if keyring is not None:
                keyring.close()

    def check(self, examine: Examine, *, first: int, progress: Progress | None) -> Iterable[Finding]:
        """Check the log's invariants, and with the keys also that its encrypted values can be decrypted."""
        keyring = self._keyring()
        encrypted = _Examination(examine, keyring)
        try:
            yield from self._inner.check(encrypted, first=first, progress=progress)
            if encrypted.examined:
                yield encrypted.finding()
        finally:
            if keyring is not None:
                keyring.close()

    def _keyring(self) -> Keyring | None:
        if self._path is None:
            return None
        from kcp.store.encryption.keyring import keyring_of

        return keyring_of(self._read(self._path))


class _Examination:
    """Examines values, decrypted where they are encrypted and there are keys."""

    def __init__(self, examine: Examine, keyring: Keyring | None) -> None:
        self._examine = examine
        self._keyring = keyring
        self.examined = 0
        self.skipped = 0

    def __call__(self, key: Key, value: bytes, current: bool) -> str | None:
        if not value.startswith(ENCRYPTED):
            return self._examine(key, value, current)
        from kcp.store.encryption import key_records
        from kcp.store.encryption.options import FLAG
        from kcp.store.encryption.transformers import DecryptionError, context_of

        self.examined += 1
        if self._keyring is None:
            return None
        is_record = key_records.is_key_record(key)
        providers = self._keyring.rules[key.name.partition("/")[0] if is_record else key.resource]
        if providers is None or providers.transformer_of(value) is None:
            if not current or is_record:  # of a key that rotation has ended; the next start drops its record
                self.skipped += 1
                return None
            return f"it is encrypted, and {FLAG} has no provider with its key for this resource"
        try:
            plain = providers.decrypt(value, context_of(key))
        except DecryptionError as error:
            return f"it cannot be decrypted: {error}"
        return None if is_record else self._examine(key, plain, current)

    def finding(self) -> Finding:
        """Say how many encrypted values there are, and whether they were decrypted."""
        from kcp.store.encryption.options import FLAG

        if self._keyring is None:
            text = f"encrypted values, whose content is not checked without {FLAG}"
        else:
            text = "encrypted values, decrypted for the rule above"
            if self.skipped:
                text += f", except {self.skipped} superseded ones or key records whose key is not there"
        return Finding(_RULE, text, self.examined, 0, [])
