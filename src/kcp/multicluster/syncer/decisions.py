"""What is to be done with an object: one decision at a time, from what is known of it on both sides. Pure functions.

A copy is deleted only with three proofs: its mark, its locator with both UIDs, and a read of the source that was made for this
decision. A cache is no proof, and an error is not an absence.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from kcp.multicluster.placement import Locator
from kcp.multicluster.syncer.ownership import Identity


class Step(Enum):
    """The next step. After a read and after `HOLD` there is another decision; the other steps end a reconciliation."""

    NOTHING = auto()
    READ_SOURCE = auto()
    READ_COPY = auto()
    HOLD = auto()
    """Add the label and finalizer upstream, by which the copy is found again whatever happens."""
    RELEASE = auto()
    """Remove what the syncer has written upstream."""
    APPLY = auto()
    DELETE = auto()
    CONFLICT = auto()
    """An object that is not the syncer's has the place of the copy."""


class Source(NamedTuple):
    """An object upstream. ``wanted``: it is assigned to the cluster, or named by one that is.

    ``held``: it has what the syncer writes before it makes a copy; if it is not wanted, something of that.
    """

    uid: str
    wanted: bool
    deleting: bool = False
    held: bool = False


class Copy(NamedTuple):
    """An object downstream in the place of the copy."""

    uid: str
    marked: bool
    locator: Locator | None
    deleting: bool = False


class State(NamedTuple):
    """What is known of an object. ``source_read`` and ``copy_read``: it is the result of a read for this decision.

    ``complete``: the caches of both sides have their first lists. ``at_place``: the source's namespace and name.
    """

    identity: Identity
    at_place: tuple[str, str]
    complete: bool
    source: Source | None
    source_read: bool
    copy: Copy | None
    copy_read: bool


def decide(state: State) -> Step:
    """Return the next step for an object."""
    source, copy = state.source, state.copy
    if source is not None and source.wanted and not source.deleting:
        return _place(state, source, copy)
    return _remove(state, source, copy)


def is_located(state: State, copy: Copy) -> bool:
    """Return whether the locator of a copy is that of this object."""
    locator = copy.locator
    return (
        locator is not None
        and state.identity.owns(locator)
        and (locator.namespace, locator.name) == state.at_place
        and bool(locator.uid)
    )


def _place(state: State, source: Source, copy: Copy | None) -> Step:
    if copy is None:
        if not state.copy_read:
            return Step.READ_COPY
        return Step.APPLY if source.held else Step.HOLD
    if not is_located(state, copy):
        return _conflict(state)
    if copy.deleting:
        return Step.NOTHING  # the copy is made again when it is gone
    assert copy.locator is not None
    if copy.locator.uid != source.uid:
        return _delete(state, copy)
    return Step.APPLY if source.held else Step.HOLD


def _conflict(state: State) -> Step:
    return Step.CONFLICT if state.copy_read else Step.READ_COPY


def _remove(state: State, source: Source | None, copy: Copy | None) -> Step:
    if copy is not None and copy.marked and is_located(state, copy):
        return Step.NOTHING if copy.deleting else _delete(state, copy)
    if source is None:
        return Step.NOTHING if state.source_read else Step.READ_SOURCE
    if not source.held:
        return Step.NOTHING
    if not state.copy_read:
        return Step.READ_COPY  # the cache has only what is marked
    return Step.RELEASE


def _delete(state: State, copy: Copy) -> Step:
    """Delete a copy if all proofs are there; else get them."""
    if not copy.marked or not is_located(state, copy):
        return _conflict(state)
    if not state.complete:
        return Step.NOTHING  # the end of the first lists queues the object again
    return Step.DELETE if state.source_read else Step.READ_SOURCE
