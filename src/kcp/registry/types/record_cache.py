"""A bounded cache of what is computed from stored records, by key and revision."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from kcp.store.contract import Key, Record

_SIZE: Final = 8192
_PREPARED: Final = 32
"""Values that are computed and not yet stored. A write that fails leaves one behind, until others take its place."""

Computed = TypeVar("Computed")


class RecordCache(Generic[Computed]):
    """Computes a result from the value of each record once. For the records of one store: a revision is unique there only."""

    def __init__(self, compute: Callable[[bytes], Computed], size: int = _SIZE) -> None:
        self._compute = compute
        self._size = size
        self._results: OrderedDict[tuple[Key, int], Computed] = OrderedDict()
        self._prepared: OrderedDict[Key, tuple[bytes, Computed]] = OrderedDict()

    def prepare(self, key: Key, value: bytes, result: Computed) -> None:
        """Keep the result of a value that is about to be stored, which `of` uses for the record. Thread-safe."""
        self._prepared[key] = value, result
        while len(self._prepared) > _PREPARED:
            with contextlib.suppress(KeyError):  # another thread was first
                self._prepared.popitem(last=False)

    def of(self, record: Record) -> Computed:
        """The result of a record."""
        identity = (record.key, record.revision)
        try:
            result = self._results[identity]
            self._results.move_to_end(identity)
        except KeyError:
            result = self._new(record)
            self.add(record, result)
        return result

    def add(self, record: Record, result: Computed) -> None:
        """Remember the result of a record, which was computed elsewhere."""
        self._results[record.key, record.revision] = result
        if len(self._results) > self._size:
            self._results.popitem(last=False)

    def forget(self, record: Record) -> None:
        """Drop the result of a record that has been replaced."""
        self._results.pop((record.key, record.revision), None)

    def knows(self, record: Record) -> bool:
        """Whether the result of a record is known."""
        return (record.key, record.revision) in self._results

    def peek(self, record: Record) -> Computed:
        """As `of`, but without caching the result: for walks over more records than the cache has room for."""
        return self.of(record) if self.knows(record) else self._compute(record.value)

    def _new(self, record: Record) -> Computed:
        value, result = self._prepared.pop(record.key, _NONE)
        return result if value == record.value else self._compute(record.value)


_NONE: Final[tuple[None, Any]] = None, None
