"""The union of the definitions of all logical clusters, for discovery in the logical cluster ``*``.

Logical clusters may define a resource in different ways. The union takes each resource from one established definition, its
example: the first that is found. It holds no more than that, so that its size is the number of different resources and not that
of definitions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.resource_types import ResourceType
from kcp.store.contract import Event, Key, Range, Record, Store

_CHUNK: Final = 100
_MOST: Final = 4096
"""Different resources; further ones are left out."""
_TIMES: Final = 3
"""Searches in one request: definitions may be deleted meanwhile."""

TypesOf = Callable[[Record], Sequence[ResourceType] | None]


class DefinitionUnion:
    """An example of the definition of each resource. Empty until it is first asked for, and kept up to date from then on."""

    def __init__(self, store: Store, definitions: str, types_of: TypesOf) -> None:
        """``definitions`` is the resource of the definitions, ``types_of`` the types of one, or None if not established."""
        self._store = store
        self._definitions = definitions
        self._types_of = types_of
        self._examples: dict[str, tuple[LogicalClusterName, Sequence[ResourceType]]] = {}
        self._complete = False
        self._searching: asyncio.Lock = asyncio.Lock()
        self.generation = 0
        """Grows with every change of the union."""

    def on_change(self, event: Event) -> None:
        """Follow the change of a definition."""
        if not self._complete and not self._examples:
            return
        name = event.key.name
        example = self._examples.get(name)
        if example is not None and example[0] == event.key.cluster:
            del self._examples[name]
            self.generation += 1
            example = None
            self._complete = False  # another logical cluster may have the resource
        if example is None and event.record is not None:
            self._add(event.record)

    async def types(self) -> Iterable[Sequence[ResourceType]]:
        """The types of the examples, in the order of the definitions' names."""
        async with self._searching:
            for _ in range(_TIMES):
                if self._complete:
                    break
                self._complete = True
                await self._search()
        return [types for _, (_, types) in sorted(self._examples.items())]

    async def _search(self) -> None:
        after: Key | None = None
        while True:
            page = self._store.scan(Range(self._definitions), limit=_CHUNK, after=after, count=False)
            for record in page.records:
                if record.key.name not in self._examples:
                    self._add(record)
            if not page.remaining:
                return
            after = page.records[-1].key
            await asyncio.sleep(0)

    def _add(self, record: Record) -> None:
        if len(self._examples) >= _MOST:
            return
        types = None
        with contextlib.suppress(LookupError, TypeError, ValueError):  # a definition that cannot be served anywhere
            types = self._types_of(record)
        if types is not None:
            self._examples[record.key.name] = (record.key.cluster, types)
            self.generation += 1
