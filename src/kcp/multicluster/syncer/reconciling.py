"""Reconciliation of one object: reads what is known, decides, and applies the decision on one of the two sides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from kcp.api.kinds import GroupResource
from kcp.client import Client, ConflictError, EventRecorder, NotFoundError, RetryError, StatusError
from kcp.client.errors import described
from kcp.client.objects import Object
from kcp.multicluster.placement import SYNC_ERROR_ANNOTATION, cluster_of
from kcp.multicluster.syncer import upstream
from kcp.multicluster.syncer.comparisons import contains, content_digest, digest
from kcp.multicluster.syncer.decisions import Source, State, Step, decide
from kcp.multicluster.syncer.downstream import Namespaces, ProblemError, copy_state
from kcp.multicluster.syncer.metrics import SyncerMetrics
from kcp.multicluster.syncer.needs import is_needed
from kcp.multicluster.syncer.ownership import Identity, Key, annotations_of, metadata_of
from kcp.multicluster.syncer.references import References
from kcp.multicluster.syncer.statuses import Problem, Written, status_for_source, with_problem, without_problem_time
from kcp.multicluster.syncer.synced_types import SyncedType
from kcp.multicluster.syncer.transforms import (
    FIELD_PREFIX,
    applied_digest,
    copy_of,
    exclusion_of,
    field_annotations,
    references_of,
)

_REFUSED: Final = (413, 422)
"""The codes of responses that refuse a status: what the cluster says is too large, or no status of this type."""
_LAG: Final = 3.0
"""Seconds for which a cache may not show what was written. Until it does, further requests would repeat the last ones."""


class Settled(NamedTuple):
    """What the last comparison of a copy found right: the version of the source, and the digest of the copy's content."""

    source_version: str
    content: str


@dataclass
class Shared:
    """What the reconciliations of a syncer share. ``types`` changes while it runs."""

    identity: Identity
    client: Client
    namespaces: Namespaces
    recorder: EventRecorder
    metrics: SyncerMetrics
    queue: Callable[[Key], None]
    emptied: Callable[[str], None]
    """Called with the namespace of an object whose copy is gone."""
    types: dict[GroupResource, SyncedType] = field(default_factory=dict)
    references: References = field(default_factory=References)
    settled: dict[Key, Settled] = field(default_factory=dict)
    statuses: dict[Key, Written] = field(default_factory=dict)
    """The last status that was written."""
    created: dict[Key, float] = field(default_factory=dict)
    """When the cache must have the copies that were created and that it has not shown yet."""

    @property
    def manager(self) -> str:
        """The field manager upstream."""
        return f"kcp-syncer-{self.identity.cluster}"

    def refer(self, referrer: Key, source: Mapping[str, Any] | None) -> None:
        """Follow what an object names, and queue what is named now, or was before."""
        synced = self.types.get(referrer.resource)
        named = []
        if source is not None and synced is not None:
            for name, target in references_of(source, synced.rules):
                plural, _, group = name.partition(".")
                named.append(Key(GroupResource(group, plural), referrer.namespace, target))
        for key in self.references.set(referrer, named):
            self.queue(key)

    def forget(self, key: Key) -> None:
        """Forget what was found of a copy that is gone."""
        self.settled.pop(key, None)
        self.statuses.pop(key, None)
        self.created.pop(key, None)


class Reconciliation:
    """One reconciliation of an object."""

    def __init__(self, shared: Shared, synced: SyncedType, key: Key) -> None:
        self._shared = shared
        self._synced = synced
        self._key = key
        self._identity = shared.identity
        self._place = synced.place_of_copy(key)
        self._is_whole = True
        """Whether the source is known with all its fields, not only its metadata."""
        self._is_needed: bool | None = None
        self._source = self._cached_source()
        self._source_read = False
        cached = synced.cache.get(*self._place)
        self._copy = None if cached is None else cached.decode()
        self._copy_read = False

    def _cached_source(self) -> Object | None:
        key, dependencies = self._key, self._synced.dependencies
        cached = self._synced.assigned.get(key.namespace, key.name)
        if cached is None and dependencies is not None:
            cached = dependencies.get(key.namespace, key.name)
            self._is_whole = cached is None
        return None if cached is None else cached.decode()

    async def run(self) -> None:
        """Bring copy and source to where they should be. Raises RetryError, IdentityError, StatusError, ClientError."""
        if self._is_unknown_dependency() and not self._shared.references.are_to(self._key):
            self._gone()
            return
        steps = {
            Step.READ_SOURCE: self._read_source,
            Step.READ_COPY: self._read_copy,
            Step.HOLD: self._hold,
        }
        self._await_copy()
        while (step := decide(self._state())) in steps:
            await steps[step]()
        if step is Step.APPLY:
            await self._apply()
        elif step is Step.CONFLICT:
            await self._report(None, self._not_managed())
        elif step is Step.DELETE:
            await self._delete()
        elif step is Step.RELEASE:
            await self._release()
        elif self._copy is None:
            self._gone()
            if not self._synced.sees_creations and self._shared.references.are_to(self._key):
                raise RetryError("it is named, does not exist, and may be created without a sign")

    def _await_copy(self) -> None:
        """Wait until the cache has a copy that was created just now. Raises RetryError."""
        due = self._shared.created.get(self._key)
        if due is None:
            return
        if self._copy is None and _time() < due:
            raise RetryError("the copy was created, and the cache does not have it yet")
        del self._shared.created[self._key]

    def _gone(self) -> None:
        self._shared.forget(self._key)
        self._shared.emptied(self._key.namespace)

    def _is_unknown_dependency(self) -> bool:
        """Whether nothing is known of an object that is not synced for its own sake."""
        return self._synced.follows_others and self._source is None and self._copy is None

    def _state(self) -> State:
        copy = None if self._copy is None else copy_state(self._copy)
        key = self._key
        return State(
            self._identity,
            (key.namespace, key.name),
            self._synced.is_complete,
            self._source_state(),
            self._source_read,
            copy,
            self._copy_read,
        )

    def _source_state(self) -> Source | None:
        source = self._source
        if source is None:
            return None
        meta, cluster = metadata_of(source), self._identity.cluster
        assigned = self._is_assigned()
        needed = self._shared.references.are_to(self._key) if self._is_needed is None else self._is_needed
        deleting = bool(meta.get("deletionTimestamp"))
        wanted = assigned or needed
        held = upstream.is_wholly_held if wanted and not deleting else upstream.is_held
        return Source(
            str(meta["uid"]),
            wanted=wanted,
            deleting=deleting,
            held=held(source, cluster),
        )

    def _is_assigned(self) -> bool:
        return self._source is not None and upstream.is_assigned(self._source, self._identity.cluster)

    async def _read_source(self) -> None:
        """Read the source, then whether the server is still the one that the syncer belongs to."""
        shared, key = self._shared, self._key
        self._source = await upstream.read_source(
            shared.client, self._synced.pair.upstream, self._identity.cluster, key.namespace, key.name
        )
        self._is_whole = True
        if self._source is not None and not self._is_assigned() and self._synced.follows_others:
            self._is_needed = await is_needed(shared.client, self._identity.cluster, shared.types, key)
        await upstream.check_identity(shared.client, self._identity)
        self._source_read = True

    async def _read_copy(self) -> None:
        self._copy = await self._synced.copies.read(*self._place)
        self._copy_read = True

    async def _hold(self) -> None:
        assert self._source is not None
        patch = upstream.metadata_patch(self._source, self._identity.cluster, held=True, annotations={})
        if patch is not None:
            await self._patch_source(patch)

    async def _patch_source(self, patch: Object) -> None:
        resource = self._synced.pair.upstream
        try:
            self._source = await upstream.patch_metadata(
                self._shared.client, self._key, resource, patch, self._shared.manager
            )
        except (ConflictError, NotFoundError) as error:
            raise RetryError(str(error)) from error

    async def _apply(self) -> None:
        try:
            live: Object | None = await self._apply_copy()
        except ProblemError as error:
            await self._report(self._copy, error.problem)
        else:
            await self._report(live, None)

    async def _apply_copy(self) -> Object:
        """Apply the copy if it differs from what it should be. Returns it."""
        shared, synced, present = self._shared, self._synced, self._copy
        assert self._source is not None
        settled, version = shared.settled.get(self._key), str(metadata_of(self._source).get("resourceVersion"))
        content = None if present is None else content_digest(present)
        if present is not None and settled == Settled(version, content or ""):
            return present
        source = await self._whole_source()
        if excluded := exclusion_of(source, synced.rules):
            raise ProblemError(Problem("NotCopied", excluded))
        wanted = copy_of(source, self._identity, synced.rules, synced.pair.downstream)
        await shared.namespaces.ensure(self._key.namespace)
        live = present
        if live is None or not self._is_in_sync(live, wanted, content or ""):
            live = await synced.copies.apply(wanted, present)
            if present is None:
                shared.created[self._key] = _time() + _LAG
        shared.settled[self._key] = Settled(str(metadata_of(source)["resourceVersion"]), content_digest(live))
        return live

    def _is_in_sync(self, present: Object, wanted: Object, content: str) -> bool:
        if applied_digest(present) != applied_digest(wanted):
            return False
        settled = self._shared.settled.get(self._key)
        return (settled is not None and settled.content == content) or contains(present, wanted)

    async def _whole_source(self) -> Object:
        """Return the source with all fields, and follow what a dependency names."""
        if not self._is_whole:
            key = self._key
            found = await upstream.read_object(self._shared.client, self._synced.pair.upstream, key.namespace, key.name)
            if found is None:
                raise RetryError(f"{key} has just been deleted")
            self._source, self._is_whole = found, True
        assert self._source is not None
        if self._synced.rules.references and not self._is_assigned():
            self._shared.refer(self._key, self._source)
        return self._source

    def _not_managed(self) -> Problem:
        namespace, name = self._place
        return Problem(
            "NotManaged",
            f"the cluster has {self._synced.pair.downstream.plural} {namespace}/{name}, which is not a copy that the syncer made "
            "of this object; it is left as it is",
        )

    async def _delete(self) -> None:
        assert self._copy is not None
        await self._synced.copies.delete(self._copy)
        self._shared.metrics.deletions.inc()
        if not self._is_assigned():
            self._shared.refer(self._key, None)

    async def _release(self) -> None:
        source = self._source
        assert source is not None
        annotations: dict[str, str | None] = {}
        if cluster_of(source) in ("", self._identity.cluster):  # else they are of the other cluster
            annotations = self._annotations({}, None)
        patch = upstream.metadata_patch(source, self._identity.cluster, held=False, annotations=annotations)
        if patch is not None:
            await self._patch_source(patch)
        self._gone()

    async def _report(self, live: Object | None, problem: Problem | None) -> None:
        """Write upstream what the cluster says of the object. Raises RetryError if there is a problem."""
        assert self._source is not None
        if problem is not None:
            self._shared.metrics.problems.inc()
            self._record(problem)
        if self._is_assigned():
            annotations = self._annotations(live or {}, problem)
            patch = upstream.metadata_patch(self._source, self._identity.cluster, held=True, annotations=annotations)
            if patch is not None:
                await self._patch_source(patch)
            if self._synced.has_status:
                await self._write_status(live, problem)
        if problem is not None:
            raise RetryError(str(problem))

    def _record(self, problem: Problem) -> None:
        assert self._source is not None
        resource = self._synced.pair.upstream
        regarding = {**self._source, "apiVersion": resource.api_version, "kind": resource.kind}
        self._shared.recorder.event(regarding, "Warning", problem.reason, problem.message)

    def _annotations(self, live: Mapping[str, Any], problem: Problem | None) -> dict[str, str | None]:
        """The annotations upstream: what the cluster decided, and the problem; None for those to remove."""
        assert self._source is not None
        found: dict[str, str | None] = {
            key: None
            for key in annotations_of(self._source)
            if key.startswith(FIELD_PREFIX) or key == SYNC_ERROR_ANNOTATION
        }
        found |= field_annotations(live, self._synced.rules)
        if problem is not None:
            found[SYNC_ERROR_ANNOTATION] = str(problem)
        return found

    async def _write_status(self, live: Object | None, problem: Problem | None) -> None:
        assert self._source is not None
        before = self._source.get("status") or {}
        wanted = with_problem(before, before, problem)
        if live is not None:
            wanted = status_for_source(live, before, problem)
        comparable = digest(without_problem_time(wanted))
        if wanted == before or self._is_written(comparable):
            return
        uid = str(metadata_of(self._source)["uid"])
        try:
            written = await upstream.write_status(
                self._shared.client, self._key, self._synced.pair.upstream, uid, wanted, self._shared.manager
            )
        except NotFoundError as error:
            raise RetryError(str(error)) from error
        except StatusError as error:
            if error.code not in _REFUSED:
                raise
            if error.code == 413 or (error.details or {}).get("name"):  # else another object has the name by now
                self._record(Problem("StatusNotWritten", described(error)))
            raise RetryError(str(error)) from error
        self._shared.statuses[self._key] = Written.of(comparable, self._source, written, _time() + _LAG)

    def _is_written(self, wanted: str) -> bool:
        """Return whether a status was written. Raises RetryError if the cache does not show that yet."""
        assert self._source is not None
        last = self._shared.statuses.get(self._key)
        if last is None or last.wanted != wanted:
            return False
        if last.is_missed_by(self._source, _time()):
            raise RetryError("the status was written, and the cache does not show it yet")
        return last.is_shown_by(self._source)


def _time() -> float:
    return asyncio.get_running_loop().time()
