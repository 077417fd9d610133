"""A KMS provider: asks its plugin which key it encrypts with, makes a seed for each ID, and fetches those that reads need.

As kube-apiserver, a server asks every minute (every ten seconds after a failure), makes a new seed when the ID of the key
changes, and may write for three minutes after the last answer. Where kube-apiserver makes a seed at each start, a server here
continues with one of the log that has the ID (`kcp.store.encryption.key_records`): a log has a few of them, and each start
decrypts them before it serves.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Final

from kcp.store.encryption.kms import messages
from kcp.store.encryption.kms.client import EncryptedSource, KMSClient, KMSError
from kcp.store.encryption.kms.envelope import SEED_BYTES, EnvelopeTransformer, WriteKey
from kcp.store.encryption.options import KMSOptions
from kcp.store.encryption.transformers import DecryptionError, KeyPendingError

logger: Final = logging.getLogger(__name__)

_POLL_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 10.0
_USABLE_SECONDS: Final = 180.0
"""Seconds after an answer of the service for which its write key is used."""
_MAX_FAILED: Final = 1024

Announce = Callable[[EnvelopeTransformer, WriteKey], Awaitable[None]]
"""Tells the other servers of a new write key, before this one uses it."""


class KMSProvider:
    """One plugin, with the transformer that uses its keys.

    In a server (`start`), calls are made in threads, and a read whose key is missing fails until it has been fetched; in a
    command, calls block.
    """

    def __init__(self, options: KMSOptions) -> None:
        self.options = options
        self.transformer = EnvelopeTransformer(options.name, self._fetch)
        self.problem: str | None = None
        """Why the last call of Status failed; None if it did not."""
        self._client = KMSClient(options)
        self._tasks: set[asyncio.Task[None]] = set()
        self._polling: asyncio.Task[None] | None = None
        self._fetching: set[EncryptedSource] = set()
        self._failed: dict[EncryptedSource, tuple[float, str]] = {}
        self._in_server = False

    # for commands: calls block

    def prepare(self) -> None:
        """Get a write key. Raises KMSError."""
        new = self._refresh()
        if new is not None:
            self._adopt(new)

    def decrypt_source(self, source: EncryptedSource) -> bytes:
        """Decrypt a key source and keep it. Raises KMSError."""
        seed = self._client.decrypt(source)
        if source.type == messages.SEED and len(seed) < SEED_BYTES:
            raise KMSError(f'kms provider "{self.options.name}": Decrypt returned {len(seed)} bytes, which are no seed')
        self.transformer.add(source, seed)
        return seed

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    # for servers

    async def fetch(self, stored: bytes) -> None:
        """Fetch the key of a stored value, if it is not in memory. Raises KMSError, DecryptionError."""
        source = self.transformer.encrypted_source(stored)
        if not self.transformer.knows(source):
            await asyncio.to_thread(self.decrypt_source, source)

    async def ask(self) -> None:
        """Ask the service how it is. `problem` says whether it answered."""
        await self._attempt(self._client.status)

    async def start(self) -> None:
        """Get a write key, if the service answers. `problem` says whether it did."""
        self._in_server = True
        await self._attempt(self.prepare)

    async def _attempt(self, call: Callable[[], object]) -> None:
        try:
            await asyncio.to_thread(call)
        except KMSError as error:
            self._note(str(error))
        else:
            self._note(None)

    def follow(self, announce: Announce) -> None:
        """Begin to ask for the ID of the key, again and again."""
        self._polling = asyncio.get_running_loop().create_task(self._poll(announce), name="kms-status")

    async def stop(self) -> None:
        """End all that `start` and `follow` began."""
        tasks = [*self._tasks, *([self._polling] if self._polling is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self.close()

    async def _poll(self, announce: Announce) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS if self.problem is None else _RETRY_SECONDS)
            await self.poll(announce)

    async def poll(self, announce: Announce) -> None:
        """Ask the service for the ID of its key once, and change to a new key."""
        try:
            new = await asyncio.to_thread(self._refresh)
        except KMSError as error:
            self._note(str(error))
            return
        self._note(None)
        if new is None:
            return
        self.transformer.add(new.source, new.seed)
        if self.transformer.write_key is not None:
            await announce(self.transformer, new)
        self._adopt(new)
        logger.info('kms provider "%s" encrypts with a new key', self.options.name)

    def _note(self, problem: str | None) -> None:
        before, self.problem = self.problem, problem
        if problem is not None:
            self.transformer.problem = problem
            if before is None:
                logger.warning("%s", problem)
        elif before is not None:
            logger.info('kms provider "%s" answers again', self.options.name)

    def _refresh(self) -> WriteKey | None:
        """Return the write key for a key ID that is new; None if it is the present one. Raises KMSError."""
        key_id = self._client.status()
        present = self.transformer.write_key
        if present is not None:
            self.transformer.usable_until = time.monotonic() + _USABLE_SECONDS
            if present.source.key_id == key_id:
                return None
        for known in reversed(self.transformer.write_keys()):
            if known.source.key_id == key_id:
                return known
        seed = os.urandom(SEED_BYTES)
        source = self._client.encrypt(seed)
        if source.key_id != key_id:
            raise KMSError(
                f'kms provider "{self.options.name}": Status names the key {key_id[:64]}, but Encrypt used {source.key_id[:64]}'
            )
        return WriteKey(seed, source)

    def _adopt(self, new: WriteKey) -> None:
        transformer = self.transformer
        transformer.add(new.source, new.seed)
        transformer.write_key = new
        transformer.usable_until = time.monotonic() + _USABLE_SECONDS

    def _fetch(self, source: EncryptedSource) -> bytes:
        """Get the key source that a read lacks. Raises DecryptionError."""
        until, problem = self._failed.get(source, (0.0, ""))
        if time.monotonic() < until:
            raise DecryptionError(problem)
        if not self._in_server:
            try:
                return self.decrypt_source(source)
            except KMSError as error:
                self._failed[source] = (float("inf"), str(error))  # many values may need it: the command asks once
                raise DecryptionError(str(error)) from error
        if source not in self._fetching:
            self._fetching.add(source)
            task = asyncio.get_running_loop().create_task(self._fetch_later(source), name="kms-decrypt")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        raise KeyPendingError(f'kms provider "{self.options.name}" has been asked for its key: try again')

    async def _fetch_later(self, source: EncryptedSource) -> None:
        try:
            await asyncio.to_thread(self.decrypt_source, source)
        except KMSError as error:
            logger.warning("a key cannot be decrypted: %s", error)
            if len(self._failed) >= _MAX_FAILED:
                self._failed.clear()
            self._failed[source] = (time.monotonic() + _RETRY_SECONDS, str(error))
        finally:
            self._fetching.discard(source)
