"""A resource that is synced: what is known of it on both sides, kept current by watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from kcp.api.kinds import GroupResource
from kcp.client import CachedObject, Client
from kcp.multicluster.placement import locator_of
from kcp.multicluster.syncer.choosing import Pair
from kcp.multicluster.syncer.downstream import Copies
from kcp.multicluster.syncer.kinds import KindRules, kinds
from kcp.multicluster.syncer.ownership import Identity, Key
from kcp.multicluster.syncer.sources import CopySource, ObjectSource, View

Changed = Callable[[Key, Mapping[str, Any] | None], None]
"""Called with the key of a changed object that is assigned to the cluster, and the object or None."""


class SyncedType:
    """The caches of one resource: the assigned objects, the metadata of those that follow others, and the copies."""

    def __init__(
        self,
        pair: Pair,
        identity: Identity,
        source: ObjectSource,
        downstream: Client,
        copies: CopySource,
        *,
        assigned: Changed,
        queue: Callable[[Key], None],
    ) -> None:
        """``assigned`` is called with changes of assigned objects, ``queue`` with every key that a change concerns."""
        self.pair = pair
        self.resource: GroupResource = pair.upstream.group_resource
        self.rules: KindRules = kinds().of(self.resource)
        self.copies = Copies(downstream, pair.downstream)
        self._identity = identity
        self._queue = queue
        self.early: set[Key] = set()
        """What was to be reconciled before all caches had their first lists."""
        self._assigned_changed = assigned
        self.assigned: View = source.assigned(pair.upstream, self._on_assigned)
        self.follows_others: bool = str(self.resource) in kinds().dependencies
        """Whether its objects are also synced because others name them."""
        self.sees_creations: bool = source.sees_everything
        self.dependencies: View | None = None
        if self.follows_others:
            self.dependencies = source.dependencies(pair.upstream, self._on_metadata)
        self.cache: View = copies.copies(pair.downstream, identity.cluster_uid, self._on_copy)

    @property
    def has_status(self) -> bool:
        """Whether the status of copies can be written upstream."""
        return "status" in self.pair.upstream.subresources

    @property
    def is_complete(self) -> bool:
        """Whether all caches have their first lists."""
        return all(view.has_synchronized for view in self._views())

    async def completed(self) -> None:
        """Wait until all caches have their first lists."""
        await asyncio.gather(*(view.synchronized() for view in self._views()))

    def take_early(self) -> set[Key]:
        """Return `early`, and empty it."""
        early, self.early = self.early, set()
        return early

    async def stop(self) -> None:
        """Stop the watches."""
        await asyncio.gather(*(view.stop() for view in self._views()))

    def _views(self) -> list[View]:
        return [view for view in (self.assigned, self.dependencies, self.cache) if view is not None]

    def place_of_copy(self, key: Key) -> tuple[str, str]:
        """Return the namespace and name of the copy of an object."""
        return self._identity.namespace(key.namespace), self.rules.copy_name(key.name)

    def key_of_copy(self, cached: CachedObject) -> Key | None:
        """Return the key of the source of an object downstream; None for an object that is not in the place of a copy."""
        locator = locator_of(cached.decode())
        if locator is None or not self._identity.owns(locator):
            return None
        key = Key(self.resource, locator.namespace, locator.name)
        return key if self.place_of_copy(key) == (cached.key.namespace, cached.key.name) else None

    def _on_assigned(self, old: CachedObject | None, new: CachedObject | None) -> None:
        changed = new or old
        assert changed is not None
        key = Key(self.resource, changed.key.namespace, changed.key.name)
        if self.rules.references:
            self._assigned_changed(key, None if new is None else new.decode())
        self._queue(key)

    def _on_metadata(self, old: CachedObject | None, new: CachedObject | None) -> None:
        changed = new or old
        assert changed is not None
        self._queue(Key(self.resource, changed.key.namespace, changed.key.name))

    def _on_copy(self, old: CachedObject | None, new: CachedObject | None) -> None:
        for cached in (old, new):
            key = None if cached is None else self.key_of_copy(cached)
            if key is not None:
                self._queue(key)
