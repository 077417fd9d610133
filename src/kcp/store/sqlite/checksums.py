"""The checksum of a value: CRC-32, kept beside the value in the log.

It starts from the value's position, so that a value in the row of another one does not match either. A value without a
checksum was written by a version of kcp that kept none.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import UNREADABLE, Key

CHECKED: Final = (
    "CASE typeof(log.value) WHEN 'blob' THEN log.value END, CAST(log.tag AS BLOB), CAST(log.checksum AS INTEGER)"
)
"""The columns of a value and what `readable` needs, for reads of files that may be damaged: any bytes can be fetched."""
CHECKED_BY_KEY: Final = CHECKED.replace(
    "CASE typeof(log.value) WHEN 'blob'",
    "CASE WHEN typeof(log.value) = 'blob' AND (log.resource, log.cluster, log.namespace, log.name) = ({}, {}, {}, {})",
)
"""As `CHECKED`, with expressions of the key that the row must have: the position that led to it may be damaged."""
CHECKED_BY_CURRENT: Final = CHECKED_BY_KEY.format(
    "current.resource", "current.cluster", "current.namespace", "current.name"
)
CHECKED_ROWS: Final = (
    "SELECT CAST(current.resource AS BLOB), CAST(current.cluster AS BLOB), CAST(current.namespace AS BLOB), "
    f"CAST(current.name AS BLOB), log.position, {CHECKED_BY_CURRENT} "
    "FROM current CROSS JOIN log ON log.position = current.position WHERE "
)
"""Selects rows for `checked_row`; a condition on ``current`` follows."""
KEY_BYTES: Final = "CAST(resource AS BLOB), CAST(cluster AS BLOB), CAST(namespace AS BLOB), CAST(name AS BLOB)"
"""The columns of a key, for the same reads."""


def checksum(value: bytes | None, position: int) -> int | None:
    """Compute the checksum of a value at a position; None for a delete without a value."""
    return None if value is None else zlib.crc32(value, position)


def readable(position: int, value: bytes | None, tag: bytes | None, expected: int | None) -> tuple[bytes, str]:
    """Return a value and its tag, from the columns `CHECKED`; `UNREADABLE` and an empty tag if the value is damaged."""
    if value is None or tag is None or (expected is not None and zlib.crc32(value, position) != expected):
        return UNREADABLE, ""
    try:
        return value, tag.decode()
    except UnicodeDecodeError:
        return UNREADABLE, ""


def key_of(columns: Sequence[bytes | None]) -> Key:
    """Make the key of the columns `KEY_BYTES`, with what is not UTF-8 escaped."""
    resource, cluster, namespace, name = map(text, columns)
    return Key(resource, LogicalClusterName(cluster), namespace, name)


def checked_row(row: Sequence[Any]) -> tuple[Key, int, bytes, str]:
    """Return the key, position, value and tag of a row of `CHECKED_ROWS`; `UNREADABLE` if the value or the key is damaged."""
    *parts, position, value, tag, expected = row
    try:
        key = Key(*[part.decode() for part in parts])
    except UnicodeDecodeError:
        key, value = key_of(parts), None
    return key, position, *readable(position, value, tag, expected)


def text(column: bytes | None) -> str:
    """Decode a column, with what is not UTF-8 escaped."""
    return "" if column is None else column.decode(errors="backslashreplace")


def is_text(column: bytes | None) -> bool:
    """Whether a column is UTF-8."""
    try:
        (column or b"").decode()
    except UnicodeDecodeError:
        return False
    return True
