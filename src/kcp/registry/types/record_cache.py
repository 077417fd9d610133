"""A bounded cache of what is computed from stored records, by key and revision."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from kcp.store.contract import Key, Record

_SIZE: Final = 8192

Computed = TypeVar("Computed")


class RecordCache(Generic[Computed]):
    """Computes a value from each record once. For the records of one store: a revision is unique there only."""

    def __init__(self, compute: Callable[[Record], Computed], size: int = _SIZE) -> None:
        self._compute = compute
        self._size = size
        self._values: OrderedDict[tuple[Key, int], Computed] = OrderedDict()

    def of(self, record: Record) -> Computed:
        """The value of a record."""
        identity = (record.key, record.revision)
        try:
            value = self._values[identity]
            self._values.move_to_end(identity)
        except KeyError:
            value = self._values[identity] = self._compute(record)
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        return value
