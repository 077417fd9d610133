"""Key records: which keys have encrypted which resources of a log.

The first write of a resource with a key also writes a record, under the same key: a start finds out from these few records
whether it has the right keys, without reading the values. A record whose key is missing or wrong is compared with the values of
its resource: if one of them still needs the key, the log is refused; if none does, rotation is complete and the record is
dropped. A record of a KMS carries the encrypted seed that its values carry, so that a start has it decrypted before it serves.

Example of a record in the log: key ``servers.kcp.io``, ``""``, ``encryption``, ``secrets/k8s:enc:aesgcm:v1:key1:``, value
``k8s:enc:aesgcm:v1:key1:`` and the encrypted word ``secrets``.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from kcp.logical_clusters import SERVER_OWNED, SERVER_RECORDS
from kcp.store.contract import Change, Hint, Key, Needle, Range, Record, Store, key_text
from kcp.store.encryption.transformers import ENCRYPTED, Transformer, context_of

NAMESPACE: Final = "encryption"
RECORDS: Final = Range(SERVER_RECORDS, SERVER_OWNED, NAMESPACE)
_KMS: Final = ENCRYPTED + b"kms:v2:"
_KMS_PREFIX_PARTS: Final = 5
_PAGE: Final = 50


class KeyUse(NamedTuple):
    """A key that has encrypted values of a resource: the prefix of the values, and bytes that each of them contains."""

    resource: str
    prefix: bytes
    source: bytes

    @property
    def record_key(self) -> Key:
        """The key of the record."""
        seed = "" if self.source == self.prefix else hashlib.sha256(self.source).hexdigest()[:16]
        return Key(SERVER_RECORDS, SERVER_OWNED, NAMESPACE, f"{self.resource}/{self.prefix.decode()}{seed}")


def is_key_record(key: Key) -> bool:
    """Whether a key is that of a record."""
    return key.resource == SERVER_RECORDS and key.namespace == NAMESPACE


def use_of(record: Record) -> KeyUse:
    """Return what a record says, which does not need its key."""
    resource, _, prefix = record.key.name.partition("/")
    if not record.value.startswith(_KMS):
        return KeyUse(resource, prefix.encode(), prefix.encode())
    from kcp.store.encryption.kms import messages

    kms_prefix = b":".join(record.value.split(b":", _KMS_PREFIX_PARTS)[:_KMS_PREFIX_PARTS]) + b":"
    content = messages.parse("EncryptedObject", record.value[len(kms_prefix) :])
    return KeyUse(resource, kms_prefix, content.encryptedDEKSource)


def use_in(stored: bytes, resource: str, transformer: Transformer) -> KeyUse:
    """Return the use that a stored value of a resource makes of its transformer."""
    return KeyUse(resource, transformer.prefix, transformer.source_of(stored))


def change_for(use: KeyUse, encrypted_word: bytes) -> Change:
    """The change that writes a record; ``encrypted_word`` is its `word_of`, encrypted for its key."""
    return Change(use.record_key, encrypted_word)


def word_of(use: KeyUse) -> tuple[bytes, bytes]:
    """The content of a record and the context to encrypt it for."""
    return use.resource.encode(), context_of(use.record_key)


async def first_use(store: Store, use: KeyUse) -> Key | None:
    """Search a resource for a current value that needs a key; None if there is none. ``store`` does not decrypt."""
    range_, hint = Range(use.resource), Hint(needles=(Needle((use.source,)),))
    after: Key | None = None
    while True:
        page = await store.select(range_, hint, limit=_PAGE, after=after)
        for record in page.records:
            if record.value.startswith(use.prefix) and use.source in record.value and not is_key_record(record.key):
                return record.key
        if not page.remaining or not page.records:
            return None
        after = page.records[-1].key


def described(use: KeyUse, example: Key) -> str:
    """Describe values that need a key, for the message that refuses a log."""
    return f"values of {use.resource} are encrypted with {use.prefix.decode()} (the first is {key_text(example)})"
