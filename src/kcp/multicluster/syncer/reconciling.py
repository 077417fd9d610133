"""Reconciliation of one object: reads what is known, decides, and applies the decision on one of the two sides.

What is known of a copy is what the cache has. The cache can be wrong, and stay so: an event may be missing, or may have said what
is not true. So the copy itself is read before a conflict is reported, after a write that the cluster refuses because the object
is another one, where a copy should have gone and has not for a while, and again while the cache does not have a copy that a read
found: nothing else would show its end.
"""

from __future__ import annotations

from typing import Final

from kcp.client import RetryError
from kcp.multicluster.placement import cluster_of
from kcp.multicluster.syncer.copying import apply_copy
from kcp.multicluster.syncer.decisions import Step, decide
from kcp.multicluster.syncer.downstream import AnotherObjectError, ProblemError
from kcp.multicluster.syncer.ownership import Key
from kcp.multicluster.syncer.reporting import annotations_for, report
from kcp.multicluster.syncer.shared_state import Shared, now
from kcp.multicluster.syncer.sides import Sides
from kcp.multicluster.syncer.statuses import Problem
from kcp.multicluster.syncer.synced_types import SyncedType

_LEAVING: Final = 60.0
"""Seconds between two reads of a copy that is being deleted and does not go."""


class Reconciliation:
    """One reconciliation of an object."""

    def __init__(self, shared: Shared, synced: SyncedType, key: Key) -> None:
        self._shared = shared
        self._key = key
        self._sides = Sides(shared, synced, key)

    async def run(self) -> None:
        """Bring copy and source to where they should be. Raises RetryError, IdentityError, StatusError, ClientError."""
        try:
            await self._run()
        except AnotherObjectError:
            self._shared.doubts.add(self._key)
            raise

    async def _run(self) -> None:
        sides = self._sides
        if sides.is_unknown_dependency and not self._shared.references.are_to(self._key):
            self._gone()
            return
        steps = {
            Step.READ_SOURCE: sides.read_source,
            Step.READ_COPY: sides.read_copy,
            Step.HOLD: self._hold,
        }
        if self._shared.doubts.take(self._key):
            await sides.read_copy()
        self._await_copy()
        while (step := decide(sides.state())) in steps:
            await steps[step]()
        await self._take(step)

    async def _take(self, step: Step) -> None:
        sides = self._sides
        if step is Step.APPLY:
            await self._apply()
        elif step is Step.CONFLICT:
            await report(sides, None, self._not_managed())
        elif step is Step.DELETE:
            await self._delete()
        elif step is Step.RELEASE:
            await self._release()
        elif sides.copy is not None:
            self._shared.doubts.add_later(self._key, _LEAVING if sides.copy_read else self._shared.lag)
        else:
            self._gone()
            if not sides.synced.sees_creations and self._shared.references.are_to(self._key):
                raise RetryError("it is named, does not exist, and may be created without a sign")

    def _await_copy(self) -> None:
        """Wait until the cache has a copy that was created just now. Raises RetryError."""
        due = self._shared.created.get(self._key)
        if due is None:
            return
        if self._sides.copy is None and now() < due:
            raise RetryError("the copy was created, and the cache does not have it yet")
        del self._shared.created[self._key]

    def _gone(self) -> None:
        self._shared.forget(self._key)
        self._shared.emptied(self._key.namespace)

    async def _hold(self) -> None:
        await self._sides.patch_source(held=True, annotations={})

    async def _apply(self) -> None:
        sides = self._sides
        try:
            live = await apply_copy(sides)
        except ProblemError as error:
            await report(sides, sides.copy, error.problem)
        else:
            await report(sides, live, None)
            if not sides.is_cached and self._key not in self._shared.created:
                # the cache was not told of the copy, or was told that it is gone, which is not true
                self._shared.doubts.add_later(self._key, self._shared.lag)

    def _not_managed(self) -> Problem:
        (namespace, name), plural = self._sides.place, self._sides.synced.pair.downstream.plural
        return Problem(
            "NotManaged",
            f"the cluster has {plural} {namespace}/{name}, which is not a copy that the syncer made "
            "of this object; it is left as it is",
        )

    async def _delete(self) -> None:
        sides = self._sides
        assert sides.copy is not None
        await sides.synced.copies.delete(sides.copy)
        self._shared.doubts.add_later(
            self._key, self._shared.lag
        )  # the event of its end releases the source, if it comes
        self._shared.metrics.deletions.inc()
        if not sides.is_assigned:
            self._shared.refer(self._key, None)

    async def _release(self) -> None:
        sides = self._sides
        annotations: dict[str, str | None] = {}
        if cluster_of(sides.present_source) in ("", sides.cluster):  # else they are of the other cluster
            annotations = annotations_for(sides, {}, None)
        await sides.patch_source(held=False, annotations=annotations)
        self._gone()
