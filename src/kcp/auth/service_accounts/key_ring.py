"""The keys of service account tokens that are in force: those in the log, or those of files.

The first server of a log generates a key and stores it in the log, where all servers of the log find it; it is no part of
exports. A rotation puts a new key before the others: it signs from then on, and what the older ones signed is
accepted for a while. With ``--service-account-signing-key-file`` the keys of files replace those of the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from kcp.auth.service_accounts import keys
from kcp.auth.service_accounts.keys import KeyFormatError, SigningKey, VerifyingKey
from kcp.logical_clusters import SERVER_OWNED, SERVER_RECORDS
from kcp.store.contract import ABSENT, Change, Event, Key, PreconditionFailedError, Record, Store

RECORD: Final = Key(SERVER_RECORDS, SERVER_OWNED, "", "service-account-keys")
_MOST_KEYS: Final = 16
"""Keys in the log; a rotation ends the oldest beyond that."""

T = TypeVar("T")


class KeyFiles(NamedTuple):
    """The files of ``--service-account-signing-key-file`` (None: the log's key signs) and ``--service-account-key-file``."""

    signing: Path | None = None
    verifying: Sequence[Path] = ()


_NO_FILES: Final = KeyFiles()


class KeyFileError(Exception):
    """A key file cannot be used; the message names the flag and the file."""


class RotationError(Exception):
    """The keys cannot be rotated; the message says why."""


async def ensure(store: Store) -> None:
    """Generate the key of a log that has none. Raises StoreUnavailableError."""
    if store.get(RECORD) is None:
        try:
            await store.write([Change(RECORD, _content([_private_entry(keys.generate())]), expected=ABSENT)])
        except PreconditionFailedError:
            await store.catch_up()  # another server was first


class KeyRing:
    """The keys in force. Calls the functions in ``on_change`` when they change."""

    def __init__(self, store: Store, files: KeyFiles = _NO_FILES) -> None:
        """Read the key files. Raises KeyFileError."""
        self._store = store
        self._files = files
        self.on_change: list[Callable[[], None]] = []
        self._log_keys: tuple[SigningKey | None, tuple[VerifyingKey, ...]] | None = None
        self.reload()
        store.follow(SERVER_RECORDS, self._on_log_change)

    @property
    def rotates(self) -> bool:
        """Whether the keys are in the log, where they can be rotated."""
        return self._files.signing is None

    def reload(self) -> None:
        """Read the key files again. Raises KeyFileError, and then keeps what was read last."""
        signing = self._files.signing
        pair = _read(signing, "--service-account-signing-key-file", keys.read_signing_key) if signing else None
        found = [key for path in self._files.verifying for key in _verifying_keys(path)]
        if signing is not None:
            found[:0] = _read(signing, "--service-account-signing-key-file", keys.read_verifying_keys)
        self._file_signing, self._file_keys = pair, tuple(found)
        self._changed()

    def signing_key(self) -> SigningKey:
        """Return the key that signs tokens."""
        found = self._file_signing or self._of_log()[0]
        assert found is not None, "the log has a key from the first start on"
        return found

    def verifying_keys(self, key_id: str = "") -> Sequence[VerifyingKey]:
        """Return the keys that may have signed a token with this key ID; without one, all keys that are in force."""
        now = time.time()
        found = [*self._file_keys, *(self._of_log()[1] if self.rotates else ())]
        distinct = {key.id: key for key in found if key.until is None or key.until > now}
        if not key_id:
            return list(distinct.values())
        return [distinct[key_id]] if key_id in distinct else []

    async def rotate(self, overlap: float) -> SigningKey:
        """Store a new key, which signs from now on; tokens of the older ones end after ``overlap`` seconds at the latest.

        Raises RotationError where the keys are those of files, StoreUnavailableError.
        """
        if not self.rotates:
            raise RotationError("--service-account-signing-key-file is set: replace the key in that file")
        pem = keys.generate()
        while True:
            await self._store.catch_up()
            record = self._store.get(RECORD)
            assert record is not None
            content = _content([_private_entry(pem), *_retired(_entries(record), time.time() + overlap)])
            try:
                await self._store.write([Change(RECORD, content, expected=record.revision)])
            except PreconditionFailedError:
                continue  # another server has rotated
            return keys.read_signing_key(pem)

    def _of_log(self) -> tuple[SigningKey | None, tuple[VerifyingKey, ...]]:
        found = self._log_keys
        if found is None:
            record = self._store.get(RECORD)
            entries = _entries(record) if record is not None else []
            signing = keys.read_signing_key(entries[0]["key"].encode()) if entries else None
            verifying = tuple(keys.verifying_key(entry["key"].encode(), entry.get("until")) for entry in entries)
            found = self._log_keys = signing, verifying
        return found

    def _on_log_change(self, events: Sequence[Event]) -> None:
        if any(event.key == RECORD for event in events):
            self._log_keys = None
            self._changed()

    def _changed(self) -> None:
        for callback in self.on_change:
            callback()


def _entries(record: Record) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads(record.value)["keys"]
    return found


def _content(entries: Iterable[dict[str, Any]]) -> bytes:
    return orjson.dumps({"keys": list(entries)})


def _private_entry(pem: bytes) -> dict[str, Any]:
    return {"key": pem.decode()}


def _retired(entries: Sequence[dict[str, Any]], until: float) -> list[dict[str, Any]]:
    """The keys that have signed until now, without their private halves and without those that have ended."""
    now, found = time.time(), []
    for entry in entries[: _MOST_KEYS - 1]:
        end = min(entry.get("until") or until, until)
        if end > now:
            pem = entry["key"].encode()
            public = keys.public_pem(keys.read_signing_key(pem)) if b" PRIVATE KEY-----" in pem else pem
            found.append({"key": public.decode(), "until": end})
    return found


def _verifying_keys(path: Path) -> list[VerifyingKey]:
    return _read(path, "--service-account-key-file", keys.read_verifying_keys)


def _read(path: Path, flag: str, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise KeyFileError(f"{flag}: cannot read {path}: {error.strerror}") from error
    except KeyFormatError as error:
        raise KeyFileError(f"{flag}: {path} has {error}") from error
