"""The contract of transformers: how one key encrypts values, in the form in which kube-apiserver stores them.

An encrypted value begins with a prefix that names the provider and the key, ``k8s:enc:aesgcm:v1:key1:``.
"""

from __future__ import annotations

from typing import Final, Protocol

from kcp.store.contract import Key

ENCRYPTED: Final = b"k8s:enc:"
"""Begins every encrypted value. No plain value begins so: plain values are JSON."""
_LONGEST_PREFIX: Final = 300
_PREFIX_PARTS: Final = 5
_SEPARATORS: Final = 3


class DecryptionError(Exception):
    """A value cannot be decrypted; the message is the reason, without anything of the value."""


class KeyPendingError(DecryptionError):
    """The key of a value is being fetched from its key management service; a later read may succeed."""


class EncryptionError(Exception):
    """A value cannot be encrypted now; the message is the reason."""


class Transformer(Protocol):
    """Encrypts with one key. ``context`` is what a value is bound to, where the transformer can: see `context_of`."""

    prefix: bytes
    """Begins each value of this transformer."""
    label: str
    """The transformer in messages."""

    def encrypt(self, value: bytes, context: bytes) -> bytes:
        """Return the stored form of a value, with the prefix. Raises EncryptionError."""

    def decrypt(self, stored: bytes, context: bytes) -> bytes:
        """Return the value of a stored form. Raises DecryptionError."""

    def is_stale(self, stored: bytes) -> bool:
        """Whether a new write would use another key than the one that encrypted this value."""

    def source_of(self, stored: bytes) -> bytes:
        """What identifies the key in a stored value: the bytes occur in each value that the key encrypted."""


def context_of(key: Key) -> bytes:
    """Return the authenticated data of a key's value: the parts of the key, which never run into one another.

    It names no backend and no prefix of one, so that a value can be moved between logs.
    """
    text = "/".join(key)
    if text.count("/") == _SEPARATORS and "%" not in text:  # as nearly always
        return text.encode()
    return "/".join([part.replace("%", "%25").replace("/", "%2F") for part in key]).encode()


class IdentityTransformer:
    """No encryption. As the first provider it writes plain values, as a later one it reads them."""

    prefix = b""
    label = "identity"

    def encrypt(self, value: bytes, context: bytes) -> bytes:  # noqa: ARG002 - no encryption
        """Return the value."""
        return value

    def decrypt(self, stored: bytes, context: bytes) -> bytes:  # noqa: ARG002 - no encryption
        """Return the value. Raises DecryptionError for an encrypted one: it is never served as an object."""
        if stored.startswith(ENCRYPTED):
            raise DecryptionError(f"no provider has the key of its prefix {prefix_text(stored)}")
        return stored

    def is_stale(self, stored: bytes) -> bool:  # noqa: ARG002 - one form
        """Return False."""
        return False

    def source_of(self, stored: bytes) -> bytes:  # noqa: ARG002 - no key
        """Return nothing."""
        return b""


def prefix_text(stored: bytes) -> str:
    """Return the prefix of an encrypted value for messages: ``k8s:enc:aesgcm:v1:key1:``."""
    parts = stored[:_LONGEST_PREFIX].split(b":")[:_PREFIX_PARTS]
    return ":".join(part.decode(errors="backslashreplace") for part in parts) + ":"
