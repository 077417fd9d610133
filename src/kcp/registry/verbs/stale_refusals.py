"""Refusals hold for the newest state that any server has acknowledged, not for one that this server still shows.

A write starts from what is known here, without asking whether that is current: mostly it is, and a write over an old state
fails and is tried again. A refusal has no such check, so it is given only when it also holds for the current, durable state.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from kcp.api import errors
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import Target
from kcp.registry.verbs.source import Source

T = TypeVar("T")

_OF_A_STATE: Final = frozenset({404, 409})


async def retry_if_stale(
    source: Source, context: RequestContext, target: Target, attempt: Callable[[], Awaitable[T]]
) -> T:
    """What an attempt to write gives, made once more where its refusal may rest on an old state. Raises as the attempt."""
    place = target.type, context.cluster, target.namespace, target.name
    known = source.latest(*place)
    try:
        return await attempt()
    except errors.StatusError as refusal:
        of_a_state = refusal.code in _OF_A_STATE
        if of_a_state:
            await source.store.catch_up()
        await source.settled(*place)
        if not of_a_state or source.latest(*place) == known:
            raise
    try:
        return await attempt()
    except errors.StatusError:
        await source.settled(*place)
        raise
