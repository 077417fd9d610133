"""Deletes every object in a range of keys, through the registry, so that finalizers are respected."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from kcp.api import documents
from kcp.controllers.following import CHUNK, CHUNK_BYTES, present
from kcp.controllers.system import ignore_not_found
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import DeleteOptions, Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.registry import Registry
from kcp.store.contract import Key, Range, Record

_IN_FLIGHT: Final = 100
"""Deletes at once: they share commits."""


class Remaining(NamedTuple):
    """The objects that deletion left: their number, and by finalizer the number that have it."""

    objects: int
    finalizers: dict[str, int]


async def delete_everything(
    registry: Registry, context: RequestContext, type_: ResourceType, range_: Range
) -> Remaining:
    """Delete each object in a range that is not terminating yet; return the objects that finalizers keep."""
    async for records in present(registry.store, range_):
        pending = [record.key for record in records if not _is_terminating(record)]
        for start in range(0, len(pending), _IN_FLIGHT):
            batch = pending[start : start + _IN_FLIGHT]
            await asyncio.gather(*(_delete(registry, context, type_, key) for key in batch))
    return _remaining(registry.store.scan(range_, limit=CHUNK, size=CHUNK_BYTES).records)


async def _delete(registry: Registry, context: RequestContext, type_: ResourceType, key: Key) -> None:
    target = Target(type_, key.namespace, key.name)
    await ignore_not_found(registry.delete(context, target, DeleteOptions(propagation_policy="Background")))


def _is_terminating(record: Record) -> bool:
    return b'"deletionTimestamp"' in record.value and bool(
        documents.decode(record.value)["metadata"].get("deletionTimestamp")
    )


def _remaining(records: Sequence[Record]) -> Remaining:
    finalizers: dict[str, int] = {}
    for record in records:
        for name in documents.decode(record.value)["metadata"].get("finalizers") or ():
            finalizers[name] = finalizers.get(name, 0) + 1
    return Remaining(len(records), finalizers)
