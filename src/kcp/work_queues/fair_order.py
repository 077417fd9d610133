"""Round-robin scheduling of flows: one key of each flow at a time, so that no flow waits for all keys of another."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable
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

    def has(self, flow: Hashable) -> bool:
        """Return whether a flow has keys."""
        return flow in self._flows

    def push(self, flow: Hashable, key: K) -> None:
        """Add a key. A flow that was empty is scheduled after the others."""
        self._length += 1
        waiting = self._flows.get(flow)
        if waiting is None:
            self._flows[flow] = deque((key,))
            self._turns.append(flow)
        else:
            waiting.append(key)

    def has_other(self, flows: Collection[Hashable]) -> bool:
        """Return whether a flow has keys that is not one of ``flows``."""
        return any(flow not in flows for flow in self._turns)

    def pop(self, passed: Collection[Hashable] = ()) -> K:
        """Remove and return the next key of a flow that is not one of ``passed``. Raises IndexError if there is none."""
        while self._turns[0] in passed:
            if not self.has_other(passed):
                raise IndexError("the other flows have no keys")
            self._turns.rotate(-1)
        flow = self._turns.popleft()
        waiting = self._flows[flow]
        key = waiting.popleft()
        self._length -= 1
        if waiting:
            self._turns.append(flow)
        else:
            del self._flows[flow]
        return key
