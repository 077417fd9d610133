"""When which part of the log last changed: what lets a quiet range be read and watched without looking back."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from kcp.logical_clusters import WILDCARD
from kcp.store.contract import Range

_REMEMBERED: Final = 2048


class RecentChanges:
    """The newest revision of a resource, and of a logical cluster in it, for as many as are worth remembering.

    What is not remembered changed last at ``floor`` or before: wrong only in the direction of looking back needlessly.
    """

    __slots__ = ("_floor", "_known")

    def __init__(self, floor: int) -> None:
        self._floor = floor
        self._known: OrderedDict[tuple[str, str], int] = OrderedDict()

    def note(self, resource: str, cluster: str, revision: int) -> None:
        """A key of this resource and logical cluster changed."""
        known = self._known
        for part in ((resource, cluster), (resource, WILDCARD)):
            known[part] = revision
            known.move_to_end(part)
        if len(known) > _REMEMBERED:
            for _ in range(len(known) - _REMEMBERED):
                self._floor = max(self._floor, known.popitem(last=False)[1])

    def newest(self, range_: Range) -> int:
        """No key of the range has changed after this revision."""
        return self._known.get((range_.resource, range_.cluster), self._floor)
