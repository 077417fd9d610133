"""Round-robin scheduling of flows: one key of each flow at a time, so that no flow waits for all keys of another."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K")


class FairOrder(Generic[K]):
    """Queued keys by flow, first in, first out within a flow. Empty flows take no memory."""

    def __init__(self) -> None:
        self._flows: dict[Hashable, deque[K]] = {}
        self._turns: deque[Hashable] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, flow: Hashable, key: K) -> None:
        """Add a key. A flow that was empty is scheduled after the others."""
        self._length += 1
        waiting = self._flows.get(flow)
        if waiting is None:
            self._flows[flow] = deque((key,))
            self._turns.append(flow)
        else:
            waiting.append(key)

    def pop(self) -> K:
        """Remove and return the next key. Raises IndexError if there is none."""
        flow = self._turns.popleft()
        waiting = self._flows[flow]
        key = waiting.popleft()
        self._length -= 1
        if waiting:
            self._turns.append(flow)
        else:
            del self._flows[flow]
        return key
