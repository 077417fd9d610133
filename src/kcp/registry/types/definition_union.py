"""The union of the definitions of all logical clusters, for requests and discovery in the logical cluster ``*``.

Logical clusters may define a resource in different ways. The union takes each resource from one established definition, its
example: the first that is found. It holds no more than that, so that its size is the number of different resources and not that
of definitions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.record_cache import RecordCache
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.types.surfaces import Definition
from kcp.store.contract import UNREADABLE, DamagedValueError, Event, Hint, Key, Page, Range, Record, Store

_CHUNK: Final = 256 * 1024
"""Bytes of definitions that one step of a search reads."""
_MAX_RESOURCES: Final = 4096
"""Maximum number of resources; further ones are left out."""
_MAX_SEARCHES: Final = 3
"""Maximum number of searches in one request: a definition that one finds may be deleted meanwhile."""


class DefinitionUnion:
    """An example of the definition of each resource. Empty until it is first asked for, and kept up to date from then on."""

    def __init__(self, store: Store, definitions: str, decoded: RecordCache[Definition]) -> None:
        """``definitions`` is the resource of the definitions."""
        self._store = store
        self._definitions = definitions
        self._decoded = decoded
        self._examples: dict[str, tuple[LogicalClusterName, Definition]] = {}
        self._complete = False
        self._searching: asyncio.Lock = asyncio.Lock()
        self._found: OrderedDict[tuple[str, str], Key] = OrderedDict()
        """Where `find` has found a name and version."""
        self.generation = 0
        """Grows with every change of the union."""

    def on_change(self, event: Event) -> None:
        """Follow the change of a definition."""
        if not self._complete and not self._examples:
            return
        name = event.key.name
        example = self._examples.get(name)
        is_example = example is not None and example[0] == event.key.cluster
        if is_example:
            del self._examples[name]
            self.generation += 1
        if event.record is not None and event.record.value is not UNREADABLE and name not in self._examples:
            self._add(event.record)
        if is_example and name not in self._examples:
            self._complete = False  # another logical cluster may have the resource

    async def complete(self) -> None:
        """Search for the examples that are missing."""
        async with self._searching:
            for _ in range(_MAX_SEARCHES):
                if self._complete:
                    break
                self._complete = True  # until a change meanwhile removes an example
                try:
                    await self._search()
                except BaseException:
                    self._complete = False
                    raise

    def definitions(self) -> Mapping[str, Definition]:
        """The examples by name, in the order of their names."""
        return {name: definition for name, (_, definition) in sorted(self._examples.items())}

    async def find(self, name: str, version: str) -> ResourceType | None:
        """A version of the resource whose definition has this name, from any logical cluster that serves it.

        The log is searched for the name, off the event loop, unless the definition that was found last still serves it.

        Raises DamagedValueError where none does and one of this name cannot be read.
        """
        found, after = self._found_last(name, version), None
        damaged: list[Key] = []
        while found is None:
            page = await self._store.select(Range(self._definitions), Hint(name), after=after, size=_CHUNK)
            found = self._find_in(page, name, version)
            damaged += [key for key in page.damaged if key.name == name]
            if not page.remaining:
                break
            after = page.records[-1].key
        if found is None and damaged:
            self._store.get(damaged[0])
        return found

    def find_at_once(self, name: str, version: str) -> ResourceType | None:
        """As `find`, on the event loop."""
        found, after = self._found_last(name, version), None
        while found is None:
            page = self._store.scan(Range(self._definitions), after=after, size=_CHUNK, count=False)
            found = self._find_in(page, name, version)
            if not page.remaining:
                break
            after = page.records[-1].key
        return found

    def _found_last(self, name: str, version: str) -> ResourceType | None:
        known = self._found.get((name, version))
        if known is None:
            return None
        with contextlib.suppress(DamagedValueError):
            record = self._store.get(known)
            return _version_of(self._decoded.of(record), version) if record is not None else None
        return None

    def _find_in(self, page: Page, name: str, version: str) -> ResourceType | None:
        for record in page.records:
            if record.key.name != name:
                continue
            definition = self._decoded.peek(record)
            if (type_ := _version_of(definition, version)) is not None:
                self._decoded.add(record, definition)
                self._found[name, version] = record.key
                if len(self._found) > _MAX_RESOURCES:
                    self._found.popitem(last=False)
                return type_
        return None

    async def _search(self) -> None:
        after: Key | None = None
        while True:
            page = self._store.scan(Range(self._definitions), after=after, size=_CHUNK, count=False)
            await self._add_all(page)
            if not page.remaining:
                return
            after = page.records[-1].key

    async def _add_all(self, page: Page) -> None:
        for record in page.records:
            if record.key.name not in self._examples:
                self._add(record)
                await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _add(self, record: Record) -> None:
        if len(self._examples) >= _MAX_RESOURCES:
            return
        definition = None
        with contextlib.suppress(LookupError, TypeError, ValueError):  # a definition that cannot be served anywhere
            definition = self._decoded.peek(record)
        if definition is not None and definition.types:
            self._examples[record.key.name] = (record.key.cluster, definition)
            self.generation += 1


def _version_of(definition: Definition, version: str) -> ResourceType | None:
    return next((type_ for type_ in definition.types if type_.version == version), None)
