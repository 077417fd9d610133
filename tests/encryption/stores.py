"""Open stores with encryption, for tests without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from kcp.server.process.encryption_configuration import read
from kcp.store.encryption.opening import Encryption, KeyFile, open_encrypted
from kcp.store.encryption.options import Rule
from kcp.store.encryption.store import EncryptedStore
from kcp.store.sqlite.store import CAPABILITIES, open_store


class Keys:
    """A configuration file that tests change."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, path: Path) -> Sequence[Rule]:
        """Read it as a server does."""
        path.write_text(self.text)
        return read(path)


@asynccontextmanager
async def encrypted(
    path: Path, keys: Keys, *, shared: bool = False
) -> AsyncIterator[tuple[EncryptedStore, Encryption]]:
    """An open log in a file, with keys."""
    inner = open_store(path)
    try:
        file = KeyFile(path.with_name("keys.yaml"), keys.read)
        store, encryption = await open_encrypted(inner, file, CAPABILITIES.max_changes, shared=shared)
    except BaseException:
        await inner.close()
        raise
    assert encryption is not None
    try:
        yield cast(EncryptedStore, store), encryption
    finally:
        await store.close()
