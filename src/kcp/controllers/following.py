"""Reading the log: the present records of a range, and the changes from then on."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from kcp.controllers import tasks
from kcp.store.contract import Event, Key, Range, Record, Store
from kcp.work_queues.pacing import Pacer

_CHUNK: Final = 500
_CHUNK_BYTES: Final = 512 * 1024
"""Records of one scan, and about the bytes of their values, at most."""

logger = logging.getLogger(__name__)


async def present(
    store: Store, range_: Range, on_damaged: Callable[[Sequence[Key]], object] | None = None
) -> AsyncIterator[list[Record]]:
    """The records of a range, in chunks; yields to the event loop between them.

    ``on_damaged`` is called with the keys whose values are damaged; one may be passed to it twice.
    """
    after: Key | None = None
    while True:
        page = store.scan(range_, limit=_CHUNK, after=after, count=False, size=_CHUNK_BYTES)
        if page.damaged and on_damaged is not None:
            on_damaged(page.damaged)
        if page.records:
            yield page.records
        if not page.remaining:
            return
        after = page.records[-1].key
        await asyncio.sleep(0)


class Transition(NamedTuple):
    """A key and its records before and after a change. A record that is present at start has no record before it."""

    key: Key
    before: Record | None
    after: Record | None


IsRelevant = Callable[[Key, Record | None, Record | None], bool]
"""Whether a transition matters, by its key and its records before and after."""


class TransitionQueue:
    """Applies present records and changes in the order in which they are added, in time slices.

    ``is_relevant`` is called for each when it is added, which every write waits for: it must be fast.
    """

    def __init__(self, name: str, is_relevant: IsRelevant, apply: Callable[[Transition], Awaitable[None]]) -> None:
        self._name = name
        self._is_relevant = is_relevant
        self._apply = apply
        self._waiting: deque[Transition] = deque()
        self._added = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to apply."""
        self._task = tasks.start(self._run, self._name)

    async def stop(self) -> None:
        """Stop applying."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    def add_events(self, events: Sequence[Event]) -> None:
        """Add changes: the callback of `Store.follow`."""
        for event in events:
            if self._is_relevant(event.key, event.previous, event.record):
                self._add(Transition(event.key, event.previous, event.record))

    def add_present(self, records: Sequence[Record]) -> None:
        """Add records that are present."""
        for record in records:
            if self._is_relevant(record.key, None, record):
                self._add(Transition(record.key, None, record))

    @property
    def is_idle(self) -> bool:
        """Whether everything that was added is applied."""
        return self._empty.is_set()

    async def applied(self) -> None:
        """Wait until everything that was added is applied."""
        await self._empty.wait()

    def _add(self, transition: Transition) -> None:
        self._waiting.append(transition)
        self._empty.clear()
        self._added.set()

    async def _run(self) -> None:
        pacer = Pacer()
        while True:
            await self._added.wait()
            self._added.clear()
            while self._waiting:
                await pacer.pause()
                transition = self._waiting.popleft()
                try:
                    await self._apply(transition)
                except Exception:
                    logger.exception("a change of %s is ignored", transition.key)
            self._empty.set()
