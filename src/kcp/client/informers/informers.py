"""Informers: caches of resources that call handlers with each change, shared between controllers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from kcp.client.client import ALL_NAMESPACES, Client
from kcp.client.informers.caches import Cache, Change, IndexFunction
from kcp.client.objects import Object, Selector, WatchEvent, selector_text
from kcp.client.reflectors import FollowOptions, Reflector
from kcp.client.resource_client import ResourceClient
from kcp.client.resources import APIResource
from kcp.logical_clusters import LogicalClusterName

Handler = Callable[[Change], None]
"""Called with each change, in order. It must return at once; usually it adds a key to a work queue."""

logger = logging.getLogger(__name__)


class Informer:
    """A cache that is kept current from `start` to `stop`. Created by `Informers.informer`."""

    def __init__(
        self,
        resource: ResourceClient,
        cluster: LogicalClusterName,
        *,
        indexes: Mapping[str, IndexFunction] | None = None,
        transform: Callable[[Object], Object] | None = None,
        options: FollowOptions | None = None,
    ) -> None:
        self.resource = resource
        is_reread = options is not None and options.reread > 0
        self.cache = Cache(cluster, indexes or {}, self._changed, transform, compares_contents=is_reread)
        self._handlers: dict[int, Handler] = {}
        self._numbers = 0
        self._synchronized = asyncio.Event()
        self._reflector = Reflector(resource, _Target(self.cache, self._synchronized), options)
        self._task: asyncio.Task[None] | None = None

    def add_handler(self, handler: Handler) -> Callable[[], None]:
        """Call a handler with the cached objects, as additions, and with every change. Returns a function that removes it."""
        self._numbers += 1
        number = self._numbers
        self._handlers[number] = handler
        for object_ in list(self.cache):
            self._notify(handler, Change(object_.key, None, object_))
        return lambda: self._handlers.pop(number, None) and None

    async def synchronized(self) -> None:
        """Wait until the first list is complete."""
        await self._synchronized.wait()

    @property
    def has_synchronized(self) -> bool:
        """Whether the first list is complete."""
        return self._synchronized.is_set()

    @property
    def resource_version(self) -> str:
        """The resource version up to which the cache is current."""
        return self._reflector.resource_version

    def start(self) -> None:
        """Start to list and watch. Does nothing if the informer runs."""
        if self._task is None:
            self._task = asyncio.create_task(self._reflector.run(), name=str(self._reflector))

    async def stop(self) -> None:
        """Stop the watch. The cache keeps its objects."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _changed(self, change: Change) -> None:
        for handler in list(self._handlers.values()):
            self._notify(handler, change)

    def _notify(self, handler: Handler, change: Change) -> None:
        try:
            handler(change)
        except Exception:
            logger.exception("a handler of %s failed on %s", self.resource.path(), change.key)


class _Target:
    """The target of the reflector: the cache, and an event that is set at the end of the first list."""

    def __init__(self, cache: Cache, synchronized: asyncio.Event) -> None:
        self.begin = cache.begin
        self.put: Callable[[Object], None] = cache.put
        self.apply: Callable[[WatchEvent], None] = cache.apply
        self._cache = cache
        self._synchronized = synchronized

    def end(self) -> None:
        self._cache.end()
        self._synchronized.set()


class Informers:
    """The informers of a client: one for each resource, namespace and selector, shared by all callers.

    Those of ``client.logical_cluster("*")`` watch a resource in all logical clusters with one request. ``async with`` starts all
    informers, also those that are created inside, and stops them at its end.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[tuple[Any, ...], Informer] = {}
        self._running = False

    def informer(
        self,
        resource: APIResource,
        namespace: str = ALL_NAMESPACES,
        *,
        label_selector: Selector = "",
        field_selector: Selector = "",
        metadata_only: bool = False,
        indexes: Mapping[str, IndexFunction] | None = None,
        transform: Callable[[Object], Object] | None = None,
    ) -> Informer:
        """Return the informer of a resource. Only the first call sets ``indexes`` and ``transform``.

        Raises ValueError for an index that the existing informer lacks: it cannot be added later, as objects are not kept
        decoded.
        """
        key = (resource, namespace, selector_text(label_selector), selector_text(field_selector), metadata_only)
        found = self._informers.get(key)
        if found is None:
            options = FollowOptions(
                label_selector=label_selector, field_selector=field_selector, metadata_only=metadata_only
            )
            verbs = self._client.resource(resource, namespace)
            cluster = self._client.cluster_of_objects
            found = Informer(verbs, cluster, indexes=indexes, transform=transform, options=options)
            self._informers[key] = found
            if self._running:
                found.start()
        missing = set(indexes or ()) - found.cache.index_names
        if missing:
            names = ", ".join(sorted(missing))
            raise ValueError(f"the informer of {resource} was made without the index {names}: ask for it first")
        return found

    async def synchronized(self) -> None:
        """Wait until the first list of each informer is complete."""
        await asyncio.gather(*(informer.synchronized() for informer in self._informers.values()))

    async def __aenter__(self) -> Self:
        self._running = True
        for informer in self._informers.values():
            informer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        await asyncio.gather(*(informer.stop() for informer in self._informers.values()))
