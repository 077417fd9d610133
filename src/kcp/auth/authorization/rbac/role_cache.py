"""The compiled roles that decisions have needed lately, of all logical clusters together."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from kcp.auth.authorization.rbac.roles import CompiledRole
from kcp.logical_clusters import LogicalClusterName

MAX_BYTES: Final = 4 * 1024 * 1024
"""JSON of the rules that are kept. Compiled, they take up to sixteen times as much memory."""
_ENTRY: Final = 256
"""Bytes that an entry counts for beside its rules."""


class Absence:
    """In place of a role: why there is none."""

    __slots__ = ()


NOT_STORED: Final = Absence()
"""No object of the name is stored; there may be a default role."""
UNREADABLE_ROLE: Final = Absence()
"""The object is damaged, or cannot be decrypted."""

RoleKey = tuple[LogicalClusterName, str, str]
"""Logical cluster, namespace (empty: a ClusterRole) and name."""
Entry = CompiledRole | Absence


class RoleCache:
    """What the log has under the names of roles, bounded by the size of the rules; the least recently used goes first."""

    def __init__(self, max_bytes: int | None = None) -> None:
        self._entries: OrderedDict[RoleKey, Entry] = OrderedDict()
        self._max = MAX_BYTES if max_bytes is None else max_bytes
        self.size = 0
        """Bytes of the entries."""
        self._is_filling = False
        """Whether entries will have to go: from half of the size on, uses are noted."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: RoleKey) -> Entry | None:
        """Return what is kept under a key; None where nothing is."""
        found = self._entries.get(key)
        if found is not None and self._is_filling:
            self._entries.move_to_end(key)
        return found

    def put(self, key: RoleKey, entry: Entry) -> None:
        """Keep an entry, in place of the one before, and drop others where there are too many."""
        self.forget(key)
        self._entries[key] = entry
        self.size += _size_of(entry)
        self._is_filling = self.size > self._max // 2
        while self.size > self._max and len(self._entries) > 1:
            _, oldest = self._entries.popitem(last=False)
            self.size -= _size_of(oldest)

    def forget(self, key: RoleKey) -> None:
        """Drop an entry: it has changed in the log."""
        found = self._entries.pop(key, None)
        if found is not None:
            self.size -= _size_of(found)


def _size_of(entry: Entry) -> int:
    return _ENTRY + entry.size if isinstance(entry, CompiledRole) else _ENTRY
