"""Revisions of the latest changes, so that reads and watches of an unchanged range need not search the log."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Range

_MAX_ENTRIES: Final = 2048


class RecentChanges:
    """The revision of the latest change of each resource, and of each logical cluster in it, in a bounded map.

    A pair that is not in the map last changed at ``floor`` or earlier. The error is on the safe side: a needless search.
    """

    __slots__ = ("_floor", "_known")

    def __init__(self, floor: int) -> None:
        self._floor = floor
        self._known: OrderedDict[tuple[str, str], int] = OrderedDict()

    def record(self, resource: str, cluster: LogicalClusterName, revision: int) -> None:
        """Record a change of a key of this resource and logical cluster."""
        known = self._known
        for part in ((resource, cluster), (resource, WILDCARD)):
            known[part] = revision
            known.move_to_end(part)
        if len(known) > _MAX_ENTRIES:
            for _ in range(len(known) - _MAX_ENTRIES):
                self._floor = max(self._floor, known.popitem(last=False)[1])

    def newest(self, range_: Range) -> int:
        """Return a revision after which no key of the range has changed."""
        return self._known.get((range_.resource, range_.cluster), self._floor)
