"""Deletes every object in a range of keys, through the registry, so that finalizers are respected."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final, NamedTuple

from kcp.api import documents, errors
from kcp.controllers.following import present
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import DeleteOptions, Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.registry import Registry
from kcp.store.contract import Key, Range, Record
from kcp.work_queues.pacing import Pacer

_IN_FLIGHT: Final = 100
"""Deletes at once: they share commits."""
_NOT_FOUND: Final = 404


class Remaining(NamedTuple):
    """The objects that deletion left: their number, damaged ones included, and by finalizer the number that have it."""

    objects: int
    finalizers: dict[str, int]


async def delete_everything(
    registry: Registry, context: RequestContext, type_: ResourceType, range_: Range
) -> Remaining:
    """Delete each object in a range that is not terminating yet; return the objects that finalizers or damage keep."""
    pacer, objects, finalizers = Pacer(), 0, Counter[str]()
    damaged: set[Key] = set()

    async def delete(record: Record) -> dict[str, Any] | None:
        await pacer.pause()
        return await _remaining_metadata(registry, context, type_, record)

    async for records in present(registry.store, range_, damaged.update):
        for start in range(0, len(records), _IN_FLIGHT):
            for metadata in await asyncio.gather(*map(delete, records[start : start + _IN_FLIGHT])):
                if metadata is not None:
                    objects += 1
                    finalizers.update(metadata.get("finalizers") or ())
    return Remaining(objects + len(damaged), finalizers)


async def _remaining_metadata(
    registry: Registry, context: RequestContext, type_: ResourceType, record: Record
) -> dict[str, Any] | None:
    """Delete an object that is not terminating yet. Return its metadata if it is still there afterwards."""
    if b'"deletionTimestamp"' in record.value:
        metadata: dict[str, Any] = documents.decode_stored(record.value)["metadata"]
        if metadata.get("deletionTimestamp"):
            return metadata
    target = Target(type_, record.key.namespace, record.key.name)
    try:
        written = await registry.delete(context, target, DeleteOptions(propagation_policy="Background"))
    except errors.StatusError as error:
        if error.code != _NOT_FOUND:
            raise
        return None
    return None if written.gone else written.object["metadata"]
