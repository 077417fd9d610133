"""Deleting everything in a range of keys, through the registry, so that finalizers hold what they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from kcp.api import documents, errors
from kcp.controllers.following import CHUNK
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import DeleteOptions, Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.registry import Registry
from kcp.store.contract import Key, Range, Record

_NOT_FOUND: Final = 404
_TOGETHER: Final = 100
"""Deletes in flight: they share commits."""


class Remaining(NamedTuple):
    """What deletion left over: how many objects, and which finalizers hold them."""

    objects: int
    finalizers: dict[str, int]


async def delete_everything(
    registry: Registry, context: RequestContext, type_: ResourceType, range_: Range
) -> Remaining:
    """Ask for the deletion of each object in a range; what is left is held by finalizers."""
    store = registry.store
    after: Key | None = None
    while True:
        page = store.scan(range_, limit=CHUNK, after=after, count=False)
        asked = [record for record in page.records if not _is_going(record)]
        for start in range(0, len(asked), _TOGETHER):
            await asyncio.gather(
                *(_delete(registry, context, type_, record.key) for record in asked[start : start + _TOGETHER])
            )
        if not page.remaining:
            break
        after = page.records[-1].key
    return _remaining(store.scan(range_, limit=CHUNK).records)


async def _delete(registry: Registry, context: RequestContext, type_: ResourceType, key: Key) -> None:
    try:
        target = Target(type_, key.namespace, key.name)
        await registry.delete(context, target, DeleteOptions(propagation_policy="Background"))
    except errors.StatusError as error:
        if error.code != _NOT_FOUND:
            raise


def _is_going(record: Record) -> bool:
    return b'"deletionTimestamp"' in record.value and bool(
        documents.decode(record.value)["metadata"].get("deletionTimestamp")
    )


def _remaining(records: Sequence[Record]) -> Remaining:
    finalizers: dict[str, int] = {}
    for record in records:
        for name in documents.decode(record.value)["metadata"].get("finalizers") or ():
            finalizers[name] = finalizers.get(name, 0) + 1
    return Remaining(len(records), finalizers)
