"""The values of a file that are known to be damaged, and whether reads have to check for others.

From the opening of a file until all of it has been verified (`kcp.store.sqlite.scrubbing`), every read compares values with
their checksums. After that, only reads of single keys do: a check of each value would be a large part of a list's cost. Once a
damaged value has been found, all reads check again until the file has been verified without finding any.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from kcp.store.contract import Key, key_text

logger: Final = logging.getLogger(__name__)

_REMEMBERED: Final = 1000
"""Damaged keys that are remembered, and logged."""
_NAMED: Final = 3


class DamagedValues:
    """The damage of one file, as known so far. ``check_all`` says whether every read checks its values."""

    def __init__(self, *, check_all: bool = True) -> None:
        self.check_all = check_all
        self.on_found: Callable[[], object] = lambda: None
        """Called on the event loop with each damaged value that is found, once."""
        self._keys: dict[Key, int] = {}
        self._superseded: set[tuple[Key, int]] = set()
        self._reported = 0

    def __len__(self) -> int:
        return len(self._keys)

    def report(self, key: Key, revision: int, *, current: bool = True) -> None:
        """Record, and log once, that the value of a key is damaged; ``current`` is False for a superseded value."""
        self.check_all = True
        self._reported += 1
        known = self._keys.get(key) == revision or (key, revision) in self._superseded
        if known or len(self._keys) + len(self._superseded) >= _REMEMBERED:
            return
        if current:
            self._keys[key] = revision
        else:
            self._superseded.add((key, revision))
        logger.error(
            "the %svalue of %s at revision %d is damaged: run kcp store check",
            *("" if current else "superseded ", key_text(key), revision),
        )
        self.on_found()

    def replaced(self, key: Key) -> None:
        """Forget the damage of a key whose value has been replaced or deleted."""
        self._keys.pop(key, None)

    @property
    def reported(self) -> int:
        """The number of reports so far; to be passed to `verified`."""
        return self._reported

    def verified(self, reported: int) -> None:
        """Note that the whole file has been verified since there were so many reports."""
        if self._reported == reported:
            self.check_all = False
            self._keys.clear()
            self._superseded.clear()

    def summary(self) -> str | None:
        """Describe the damaged values that are current, naming the first; None if there are none."""
        if not self._keys:
            return None
        return f"{damage_text([*self._keys])}; run kcp store check"


def damage_text(keys: Sequence[Key]) -> str:
    """Say how many values are damaged, and name the first."""
    counted = "1 value is" if len(keys) == 1 else f"{len(keys)} values are"
    named = ", ".join(map(key_text, keys[:_NAMED]))
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return f"{counted} damaged ({named}{more})"
