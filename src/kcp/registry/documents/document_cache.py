"""A bounded cache of encoded documents and their parts.

Discovery and OpenAPI are derived from sets of types, and there may be as many sets as there are logical clusters. So the process
keeps the documents in a few such caches, one for discovery and one for each form of OpenAPI, and builds them again
after an eviction.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class Sized(Protocol):
    """A value with a size in bytes."""

    @property
    def size(self) -> int:
        """The size in bytes."""


T = TypeVar("T", bound=Sized)

_LIMIT: Final = 32 * 1024 * 1024


class DocumentCache:
    """A least-recently-used cache of at most ``limit`` bytes. Thread-safe."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()

    @property
    def size(self) -> int:
        """The current size in bytes."""
        return self._size

    def get(self, key: Hashable, build: Callable[[], T]) -> T:
        """The value of a key, built on a miss. Two threads may build the same value; one of them is kept."""
        with self._lock:
            found: T | None = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
                return found
        value = build()
        with self._lock:
            kept: T = self._values.setdefault(key, value)
            if kept is value:
                self._size += value.size
                while self._size > self._limit and len(self._values) > 1:
                    _, dropped = self._values.popitem(last=False)
                    self._size -= dropped.size
        return kept
