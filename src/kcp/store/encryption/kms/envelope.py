"""Values under a data encryption key that a KMS has encrypted; the encrypted key is stored with each value.

Follows k8s.io/apiserver, ``envelope/kmsv2``: the service encrypts a random seed, of which HKDF (SHA-256, expand only) derives an
AES-GCM key for each value. What is encrypted and what is derived never leave the process; the service sees the seed alone. The
stored form, behind the prefix ``k8s:enc:kms:v2:<provider>:``, is the message EncryptedObject; in its data are the random
information of the derivation (32 bytes), nonce, ciphertext and tag.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from kcp.store.encryption.ciphers import open_gcm
from kcp.store.encryption.kms import messages
from kcp.store.encryption.kms.client import EncryptedSource, source_problem
from kcp.store.encryption.transformers import ENCRYPTED, DecryptionError, EncryptionError

SEED_BYTES: Final = 32
_INFO_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_MAX_SEEDS: Final = 4096
"""Decrypted key sources that are kept. There is one for each ID of the service's key, and more after an import."""


@dataclass(frozen=True, slots=True)
class WriteKey:
    """What writes are encrypted with: a seed, and its encrypted form."""

    seed: bytes
    source: EncryptedSource


class EnvelopeTransformer:
    """Encrypts and decrypts with seeds that are in memory. It calls no service.

    ``fetch`` gets each key source that a read needs and that is not in memory: it returns the decrypted source, or raises
    DecryptionError.
    """

    def __init__(self, name: str, fetch: Callable[[EncryptedSource], bytes]) -> None:
        self.prefix = b"%bkms:v2:%b:" % (ENCRYPTED, name.encode())
        self.label = f'kms provider "{name}"'
        self.write_key: WriteKey | None = None
        self.usable_until = 0.0
        """Time of the monotonic clock until which the write key may be used without news from the service."""
        self.problem = "the key management service has not answered yet"
        """Why there is no usable write key."""
        self._fetch = fetch
        self._skip = len(self.prefix)
        self._seeds: OrderedDict[EncryptedSource, bytes] = OrderedDict()

    def add(self, source: EncryptedSource, seed: bytes) -> None:
        """Keep a decrypted key source."""
        self._seeds[source] = seed
        if len(self._seeds) > _MAX_SEEDS:
            self._seeds.popitem(last=False)

    def write_keys(self) -> list[WriteKey]:
        """The seeds in memory, the latest last."""
        return [WriteKey(seed, source) for source, seed in self._seeds.items() if source.type == messages.SEED]

    def knows(self, source: EncryptedSource) -> bool:
        """Whether a key source is in memory."""
        return source in self._seeds

    def encrypt(self, value: bytes, context: bytes) -> bytes:
        """Return the stored form of a value. Raises EncryptionError without a usable write key."""
        key = self.write_key
        if key is None or time.monotonic() > self.usable_until:
            raise EncryptionError(self.problem)
        return self.encrypt_with(key, value, context)

    def encrypt_with(self, key: WriteKey, value: bytes, context: bytes) -> bytes:
        """Return the stored form of a value under a given key."""
        info, nonce = os.urandom(_INFO_BYTES), os.urandom(_NONCE_BYTES)
        sealed = info + nonce + AESGCM(_derived(key.seed, info)).encrypt(nonce, value, context)
        source = key.source
        content = messages.make(
            "EncryptedObject",
            encryptedData=sealed,
            keyID=source.key_id,
            encryptedDEKSource=source.ciphertext,
            annotations=[messages.make("Annotation", key=name, value=text) for name, text in source.annotations],
            encryptedDEKSourceType=source.type,
        )
        return self.prefix + content.SerializeToString()  # type: ignore[no-any-return]

    def decrypt(self, stored: bytes, context: bytes) -> bytes:
        """Return the value of a stored form. Raises DecryptionError, KeyPendingError."""
        source, sealed = self._parsed(stored)
        seed = self._seeds.get(source)
        if seed is None:
            if problem := source_problem(source):
                raise DecryptionError(f"the value is not a valid EncryptedObject: {problem}")
            seed = self._fetch(source)
            self.add(source, seed)
        if source.type == messages.KEY:
            return open_gcm(_cipher(seed), sealed, context)
        return open_gcm(AESGCM(_derived(seed, sealed[:_INFO_BYTES])), sealed[_INFO_BYTES:], context)

    def is_stale(self, stored: bytes) -> bool:
        """Whether the service encrypts with another key by now than the one of this value."""
        key = self.write_key
        if key is None:
            return False
        source = self.encrypted_source(stored)
        return (source.key_id, source.type) != (key.source.key_id, key.source.type)

    def source_of(self, stored: bytes) -> bytes:
        """Return the encrypted key source of a value."""
        return self.encrypted_source(stored).ciphertext

    def encrypted_source(self, stored: bytes) -> EncryptedSource:
        """Return the encrypted key source of a value. Raises DecryptionError."""
        source, _ = self._parsed(stored)
        if problem := source_problem(source):
            raise DecryptionError(f"the value is not a valid EncryptedObject: {problem}")
        return source

    def _parsed(self, stored: bytes) -> tuple[EncryptedSource, bytes]:
        try:
            content = messages.parse("EncryptedObject", stored[self._skip :])
        except ValueError as error:
            raise DecryptionError("the value is not an EncryptedObject") from error
        annotations = content.annotations
        source = EncryptedSource(
            content.encryptedDEKSourceType,
            content.encryptedDEKSource,
            content.keyID,
            tuple(sorted((each.key, each.value) for each in annotations)) if annotations else (),
        )
        return source, content.encryptedData


def _derived(seed: bytes, info: bytes) -> bytes:
    return HKDFExpand(SHA256(), SEED_BYTES, info).derive(seed)


def _cipher(key: bytes) -> AESGCM:
    try:
        return AESGCM(key)
    except ValueError as error:
        raise DecryptionError("the key that the key management service decrypted has not the length of one") from error
