"""The transformers whose keys are in the configuration.

Behind its prefix, a value is stored as

===========  =============================================================================
aesgcm       nonce (12 bytes), ciphertext, tag (16 bytes); the key of the value is authenticated
aescbc       initialization vector (16 bytes), ciphertext with PKCS #7 padding
secretbox    nonce (24 bytes), tag (16 bytes), ciphertext: NaCl's secretbox
===========  =============================================================================

(k8s.io/apiserver, ``pkg/storage/value/encrypt``.) Of these, aesgcm alone ties a value to its place: one that was copied to
another key does not decrypt. `kms.envelope` does so too, aescbc and secretbox do not.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from kcp.store.encryption.transformers import ENCRYPTED, DecryptionError

_NONCE_BYTES: Final = 12
_BLOCK_BYTES: Final = 16


class AESGCMTransformer:
    """AES-GCM with random nonces: at most 2^32 values for one key, then it must be rotated (NIST SP 800-38D)."""

    def __init__(self, name: str, key: bytes) -> None:
        self.prefix = b"%baesgcm:v1:%b:" % (ENCRYPTED, name.encode())
        self.label = f'key "{name}" of aesgcm'
        self._skip = len(self.prefix)
        self._cipher = AESGCM(key)

    def encrypt(self, value: bytes, context: bytes) -> bytes:
        """Return the stored form of a value."""
        nonce = os.urandom(_NONCE_BYTES)
        return self.prefix + nonce + self._cipher.encrypt(nonce, value, context)

    def decrypt(self, stored: bytes, context: bytes) -> bytes:
        """Return the value of a stored form. Raises DecryptionError."""
        return open_gcm(self._cipher, stored[self._skip :], context)

    def is_stale(self, stored: bytes) -> bool:  # noqa: ARG002 - one key
        """Return False."""
        return False

    def source_of(self, stored: bytes) -> bytes:  # noqa: ARG002 - one key
        """Return the prefix."""
        return self.prefix


def open_gcm(cipher: AESGCM, sealed: bytes, context: bytes) -> bytes:
    """Decrypt nonce, ciphertext and tag. Raises DecryptionError."""
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as error:  # ValueError: too short for a nonce
        raise DecryptionError("the value is not what this key encrypted for this object") from error


class AESCBCTransformer:
    """AES-CBC. It does not authenticate: Kubernetes keeps it for clusters that use it, and advises against it."""

    def __init__(self, name: str, key: bytes) -> None:
        self.prefix = b"%baescbc:v1:%b:" % (ENCRYPTED, name.encode())
        self.label = f'key "{name}" of aescbc'
        self._skip = len(self.prefix)
        self._key = AES(key)

    def encrypt(self, value: bytes, context: bytes) -> bytes:  # noqa: ARG002 - CBC authenticates nothing
        """Return the stored form of a value."""
        vector = os.urandom(_BLOCK_BYTES)
        padder = PKCS7(8 * _BLOCK_BYTES).padder()
        encryptor = Cipher(self._key, CBC(vector)).encryptor()
        padded = padder.update(value) + padder.finalize()
        return self.prefix + vector + encryptor.update(padded) + encryptor.finalize()

    def decrypt(self, stored: bytes, context: bytes) -> bytes:  # noqa: ARG002 - CBC authenticates nothing
        """Return the value of a stored form. Raises DecryptionError."""
        sealed = stored[self._skip :]
        unpadder = PKCS7(8 * _BLOCK_BYTES).unpadder()
        try:
            decryptor = Cipher(self._key, CBC(sealed[:_BLOCK_BYTES])).decryptor()
            padded = decryptor.update(sealed[_BLOCK_BYTES:]) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError as error:
            raise DecryptionError("the value is not what this key encrypted") from error

    def is_stale(self, stored: bytes) -> bool:  # noqa: ARG002 - one key
        """Return False."""
        return False

    def source_of(self, stored: bytes) -> bytes:  # noqa: ARG002 - one key
        """Return the prefix."""
        return self.prefix


class SecretboxTransformer:
    """XSalsa20 and Poly1305, by PyNaCl."""

    def __init__(self, name: str, key: bytes) -> None:
        """Raises ImportError without PyNaCl."""
        from nacl.secret import SecretBox

        self.prefix = b"%bsecretbox:v1:%b:" % (ENCRYPTED, name.encode())
        self.label = f'key "{name}" of secretbox'
        self._skip = len(self.prefix)
        self._box = SecretBox(key)

    def encrypt(self, value: bytes, context: bytes) -> bytes:  # noqa: ARG002 - secretbox has no authenticated data
        """Return the stored form of a value."""
        return self.prefix + bytes(self._box.encrypt(value))

    def decrypt(self, stored: bytes, context: bytes) -> bytes:  # noqa: ARG002 - secretbox has no authenticated data
        """Return the value of a stored form. Raises DecryptionError."""
        from nacl.exceptions import CryptoError

        try:
            return bytes(self._box.decrypt(stored[self._skip :]))
        except (CryptoError, ValueError) as error:
            raise DecryptionError("the value is not what this key encrypted") from error

    def is_stale(self, stored: bytes) -> bool:  # noqa: ARG002 - one key
        """Return False."""
        return False

    def source_of(self, stored: bytes) -> bytes:  # noqa: ARG002 - one key
        """Return the prefix."""
        return self.prefix
