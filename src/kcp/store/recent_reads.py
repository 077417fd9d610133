"""The values that were read last: what is read once is often read again, at 0.3 us instead of 8 us from SQLite.

Kept for keys whose newest value is durable; a write takes its key out when it is accepted, and until it is durable the overlay
answers for it. "Nothing is there" is kept too: every create asks for its namespace.
"""

from __future__ import annotations

from typing import Final

from kcp.store.contract import Key, Record

_MOST: Final = 1024
_LARGEST: Final = 8192
"""Bytes; larger values are read anew."""


class RecentReads:
    """A bounded memory of committed values and their positions, the oldest entry leaving first."""

    def __init__(self) -> None:
        self._found: dict[Key, tuple[Record | None, int]] = {}
        self.get = self._found.get
        self.forget = self._found.pop

    def remember(self, key: Key, found: tuple[Record | None, int]) -> None:
        """Keep what was read of a key."""
        record = found[0]
        if record is None or len(record.value) <= _LARGEST:
            if len(self._found) >= _MOST:
                del self._found[next(iter(self._found))]
            self._found[key] = found
