"""A cache of recently read values, including absent ones: every create reads its namespace.

It holds keys without pending writes. A write removes its key when it is accepted; until it is durable, the overlay answers.
"""

from __future__ import annotations

from typing import Final

from kcp.store.contract import Key, Record

_MAX_ENTRIES: Final = 1024
_LARGEST: Final = 8192
"""Bytes of a value; larger ones are not cached."""


class RecentReads:
    """A bounded map of committed values and their positions. The oldest entry is evicted first."""

    def __init__(self) -> None:
        self._found: dict[Key, tuple[Record | None, int]] = {}
        self.get = self._found.get
        self.forget = self._found.pop

    def remember(self, key: Key, found: tuple[Record | None, int]) -> None:
        """Add a key's committed value and position."""
        record = found[0]
        if record is None or len(record.value) <= _LARGEST:
            if len(self._found) >= _MAX_ENTRIES:
                del self._found[next(iter(self._found))]
            self._found[key] = found
