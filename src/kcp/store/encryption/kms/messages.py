"""The messages of the KMS plugin API v2 (``k8s.io/kms/apis/v2``), and the one that Kubernetes stores.

A map is a repeated message of its keys and values, as on the wire.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from kcp.store import message_tables

_TABLE: Final[dict[str, str]] = {
    "Annotation": "key 1 string, value 2 bytes",
    "StatusRequest": "",
    "StatusResponse": "version 1 string, healthz 2 string, key_id 3 string",
    "DecryptRequest": "ciphertext 1 bytes, uid 2 string, key_id 3 string, annotations 4 repeated Annotation",
    "DecryptResponse": "plaintext 1 bytes",
    "EncryptRequest": "plaintext 1 bytes, uid 2 string",
    "EncryptResponse": "ciphertext 1 bytes, key_id 2 string, annotations 3 repeated Annotation",
    # stored as a value, behind its prefix
    "EncryptedObject": (
        "encryptedData 1 bytes, keyID 2 string, encryptedDEKSource 3 bytes, annotations 4 repeated Annotation, "
        "encryptedDEKSourceType 5 int32"
    ),
}
SERVICE: Final = "v2.KeyManagementService"
KEY: Final = 0
"""Type of an encrypted key source: the key of AES-GCM itself."""
SEED: Final = 1
"""Type of an encrypted key source: the seed of which HKDF derives a key for each value."""


@cache
def classes() -> dict[str, Any]:
    """Return the message classes by name. They are built once."""
    return message_tables.build("v2", _TABLE)


def make(name: str, /, **fields: Any) -> Any:
    """Make a message."""
    return classes()[name](**fields)


def parse(name: str, content: bytes) -> Any:
    """Decode a message. Raises ValueError."""
    return message_tables.parse(classes()[name], content)
