"""What one reconciliation knows of an object on both sides: at first from the caches, then from reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcp.client import ConflictError, NotFoundError, RetryError
from kcp.client.objects import Object
from kcp.multicluster.syncer import upstream
from kcp.multicluster.syncer.decisions import Source, State
from kcp.multicluster.syncer.downstream import copy_state
from kcp.multicluster.syncer.needs import is_needed
from kcp.multicluster.syncer.ownership import Key, metadata_of
from kcp.multicluster.syncer.shared_state import Shared
from kcp.multicluster.syncer.synced_types import SyncedType


class Sides:
    """The source and the copy of an object."""

    def __init__(self, shared: Shared, synced: SyncedType, key: Key) -> None:
        self.shared = shared
        self.synced = synced
        self.key = key
        self.place = synced.place_of_copy(key)
        """The namespace and name of the copy."""
        self._is_whole = True
        """Whether the source is known with all its fields, not only its metadata."""
        self._is_needed: bool | None = None
        self.source = self._cached_source()
        self._source_read = False
        cached = synced.cache.get(*self.place)
        self.is_cached = cached is not None
        """Whether the cache has the copy."""
        self.copy = None if cached is None else cached.decode()
        self.copy_read = False
        """Whether the copy is as the cluster has answered, not as the cache has it."""

    def _cached_source(self) -> Object | None:
        key, dependencies = self.key, self.synced.dependencies
        cached = self.synced.assigned.get(key.namespace, key.name)
        if cached is None and dependencies is not None:
            cached = dependencies.get(key.namespace, key.name)
            self._is_whole = cached is None
        return None if cached is None else cached.decode()

    @property
    def present_source(self) -> Object:
        """The source, of which it is known that there is one."""
        assert self.source is not None
        return self.source

    @property
    def cluster(self) -> str:
        """The name of the Cluster."""
        return self.shared.identity.cluster

    @property
    def is_assigned(self) -> bool:
        """Whether the source is assigned to the cluster."""
        return self.source is not None and upstream.is_assigned(self.source, self.cluster)

    @property
    def is_unknown_dependency(self) -> bool:
        """Whether nothing is known of an object that is not synced for its own sake."""
        return self.synced.follows_others and self.source is None and self.copy is None

    def state(self) -> State:
        """Return what the next decision depends on."""
        copy = None if self.copy is None else copy_state(self.copy)
        return State(
            self.shared.identity,
            (self.key.namespace, self.key.name),
            self.synced.is_complete,
            self._source_state(),
            self._source_read,
            copy,
            self.copy_read,
        )

    def _source_state(self) -> Source | None:
        source = self.source
        if source is None:
            return None
        meta = metadata_of(source)
        needed = self.shared.references.are_to(self.key) if self._is_needed is None else self._is_needed
        deleting = bool(meta.get("deletionTimestamp"))
        wanted = self.is_assigned or needed
        held = upstream.is_wholly_held if wanted and not deleting else upstream.is_held
        return Source(str(meta["uid"]), wanted=wanted, deleting=deleting, held=held(source, self.cluster))

    async def read_source(self) -> None:
        """Read the source, then whether the server is still the one that the syncer belongs to. Raises as `upstream`."""
        shared, key = self.shared, self.key
        self.source = await upstream.read_source(
            shared.client, self.synced.pair.upstream, self.cluster, key.namespace, key.name
        )
        self._is_whole = True
        if self.source is not None and not self.is_assigned and self.synced.follows_others:
            self._is_needed = await is_needed(shared.client, self.cluster, shared.types, key)
        await upstream.check_identity(shared.client, shared.identity)
        self._source_read = True

    async def whole_source(self) -> Object:
        """Return the source with all fields, and follow what a dependency names. Raises RetryError if it is gone."""
        if not self._is_whole:
            key = self.key
            found = await upstream.read_object(self.shared.client, self.synced.pair.upstream, key.namespace, key.name)
            if found is None:
                raise RetryError(f"{key} has just been deleted")
            self.source, self._is_whole = found, True
        if self.synced.rules.references and not self.is_assigned:
            self.shared.refer(self.key, self.source)
        return self.present_source

    async def read_copy(self) -> None:
        """Read the copy. Raises StatusError, TransportError."""
        self.copy = await self.synced.copies.read(*self.place)
        self.copy_read = True

    async def patch_source(self, *, held: bool, annotations: Mapping[str, str | None]) -> None:
        """Hold or release the source and set annotations, where something differs. Raises RetryError if it has changed."""
        patch: dict[str, Any] | None = upstream.metadata_patch(
            self.present_source, self.cluster, held=held, annotations=annotations
        )
        if patch is None:
            return
        shared = self.shared
        try:
            self.source = await upstream.patch_metadata(
                shared.client, self.key, self.synced.pair.upstream, patch, shared.manager
            )
        except (ConflictError, NotFoundError) as error:
            raise RetryError(str(error)) from error
