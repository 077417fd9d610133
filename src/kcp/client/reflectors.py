"""The reflector: lists a resource, then watches it, across failures of server and network.

Follows client-go's Reflector. The objects are streamed (WatchList, KEP-3157) or, from servers that do not support that, listed
in pages. A watch that ends is opened again at the last observed resource version. If that version is expired (410), the objects
are listed again. Failures are retried with backoff and jitter. Only a watch with events resets the backoff, so a server that
answers 410 to every watch gets few list requests.

A watch that goes on never corrects an event that was not sent, or was wrong. Where the server is not trusted, the objects are
listed again from time to time (`FollowOptions.reread`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from kcp.client.errors import ClientError, ExpiredError, StatusError, TransportError
from kcp.client.objects import BOOKMARK, INITIAL_EVENTS_END, Object, Selector, WatchEvent
from kcp.client.resource_client import PAGE_SIZE, ListArguments, ResourceClient
from kcp.client.transport.retrying import backoff
from kcp.client.versions import is_older
from kcp.client.watching import WatchOptions, has_metadata

_NO_STREAMING: Final = (400, 405, 406, 415, 422)
"""The codes of servers that do not support ``sendInitialEvents``."""
_STALE_LISTS: Final = 5
"""How many lists older than an observed version are rejected, before the server counts as restored from a backup."""
_INVALID: Final = (400, 422)
"""The codes with which servers refuse a watch at a resource version that they did not give."""
_HEALTHY_SECONDS: Final = 5.0
_SHORT_WATCH: Final = 1.0
"""Seconds. A watch without events that ends sooner is a failure."""
_SLICE: Final = 200
"""Number of objects between yields to the event loop."""

logger = logging.getLogger(__name__)


class ReflectorTarget(Protocol):
    """The consumer of a reflector. All methods return at once."""

    def begin(self) -> None:
        """Begin a list."""

    def put(self, object_: Object) -> None:
        """Add an object of the list."""

    def end(self) -> None:
        """End the list: objects that were not put are deleted."""

    def apply(self, event: WatchEvent) -> None:
        """Apply an event (``ADDED``, ``MODIFIED`` or ``DELETED``). The same event may be delivered twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOptions:
    """The selectors and the timing of a reflector.

    ``streaming``: whether to request the initial objects as a stream. ``first_delay`` and ``last_delay`` bound the backoff.
    After ``silence`` seconds without an initial event, the objects are listed instead. After about ``reread`` seconds they are
    listed again, though the watch goes on; 0: they are not.
    """

    label_selector: Selector = ""
    field_selector: Selector = ""
    metadata_only: bool = False
    streaming: bool = True
    page_size: int = PAGE_SIZE
    watch_seconds: int = 300
    first_delay: float = 0.8
    last_delay: float = 30.0
    silence: float = 30.0
    reread: float = 0.0


class Reflector:
    """Delivers the objects of a resource and their changes to a target, until `run` is cancelled."""

    def __init__(self, resource: ResourceClient, target: ReflectorTarget, options: FollowOptions | None = None) -> None:
        self._resource = resource
        self._target = target
        self._options = options or FollowOptions()
        self._streaming = self._options.streaming
        self._version = ""
        """The resource version up to which the target is current; empty if the objects must be listed."""
        self._newest = ""
        """The newest observed resource version."""
        self._stale = 0
        self._failures = 0
        self._reread_at: float | None = None
        """When the objects are listed again, by the event loop's clock."""

    @property
    def resource_version(self) -> str:
        """The resource version up to which the target is current; empty before the first list."""
        return self._version

    async def run(self) -> None:
        """List and watch forever."""
        while True:
            started, version = time.monotonic(), self._version
            delay = 0.0
            try:
                await self._step()
            except (StatusError, ClientError) as error:
                delay = self._failed(error)
            except Exception:
                self._version = ""
                delay = self._next_delay()
                logger.exception("%s: an unexpected error; the objects are read again in %.1f s", self, delay)
            went_on = version and self._version not in ("", version)  # reading the objects again is not going on
            if went_on or time.monotonic() - started >= _HEALTHY_SECONDS:
                self._failures = 0
            await asyncio.sleep(delay)

    async def _step(self) -> None:
        if self._version:
            started, version = time.monotonic(), self._version
            try:
                async with asyncio.timeout_at(self._reread_at) as reread:
                    await self._watch(self._watch_options(version))
            except TimeoutError:
                if not reread.expired():
                    raise
                self._version = ""  # it is time to read the objects again
                return
            if self._version == version and time.monotonic() - started < _SHORT_WATCH:
                raise TransportError("the server ended the watch at once")
        elif self._streaming:
            await self._stream()
        else:
            await self._list()

    async def _list(self) -> None:
        """List in pages; without pages, if the continue token expires, as client-go does."""
        self._target.begin()
        version, whole = "", False
        try:
            async with aclosing(self._resource.pages(limit=self._options.page_size, **self._list_options())) as pages:
                async for page in pages:
                    version = version or self._accepted(page.resource_version)
                    await self._put(page.items)
        except ExpiredError:
            if not version:
                raise
            whole = True
        if whole:
            self._target.begin()
            complete = await self._resource.list(**self._list_options())
            version = self._accepted(complete.resource_version)
            await self._put(complete.items)
        self._synchronized(version)

    async def _put(self, items: list[Object]) -> None:
        for number, item in enumerate(items, 1):
            if not has_metadata(item):
                raise TransportError("the list has an item that is no object")
            self._target.put(item)
            if not number % _SLICE:
                await asyncio.sleep(0)

    def _accepted(self, version: str) -> str:
        """Check the resource version of a list. Raises TransportError where it is older than an observed version."""
        if not version:
            raise TransportError("the list has no resource version")
        if is_older(version, self._newest) and self._stale < _STALE_LISTS:
            self._stale += 1
            raise TransportError(
                f"the list is stale: version {version} is older than {self._newest}, which was observed"
            )
        if is_older(version, self._newest):
            logger.warning("%s: the resource version went back to %s: the server's data were restored", self, version)
        self._stale = 0
        return version

    def _synchronized(self, version: str) -> None:
        self._target.end()
        self._version = self._newest = version
        reread = self._options.reread * random.uniform(0.75, 1.25)  # noqa: S311 - spreads the load
        self._reread_at = asyncio.get_running_loop().time() + reread if reread else None

    async def _stream(self) -> None:
        """List and watch with one request. Switches to lists if the server does not support that."""
        self._target.begin()
        try:
            async with asyncio.timeout(self._options.silence) as limit:
                await self._watch(self._watch_options(), limit)
        except StatusError as error:
            if self._version or error.code not in _NO_STREAMING:
                raise
            logger.debug("%s: the server refuses initial events: %s", self, error)
        except TimeoutError:
            if self._version:
                self._version = ""  # it is time to read the objects again
                return
            logger.warning("%s: the initial events did not end: reading a list instead", self)
        if not self._version:
            self._streaming = False

    async def _watch(self, options: WatchOptions, limit: asyncio.Timeout | None = None) -> None:
        """Apply the events of one watch. Each initial event postpones ``limit``; after them it is the time of the next list."""
        loop = asyncio.get_running_loop()
        async with aclosing(self._resource.watch_batches(options)) as batches:
            async for events in batches:
                for number, event in enumerate(events, 1):
                    self._take(event)
                    if not number % _SLICE:
                        await asyncio.sleep(0)
                if limit is not None:
                    limit.reschedule(self._reread_at if self._version else loop.time() + self._options.silence)

    def _take(self, event: WatchEvent) -> None:
        meta = event.object["metadata"]
        version = meta.get("resourceVersion")
        version = version if isinstance(version, str) else ""
        if self._version:
            if is_older(version, self._version):
                return  # delivered before, and the object may be deleted since
            if event.type != BOOKMARK:
                self._target.apply(event)
            self._version = self._newest = version or self._version
        elif event.type != BOOKMARK:
            self._target.put(event.object)
        elif (meta.get("annotations") or {}).get(INITIAL_EVENTS_END) == "true":
            self._synchronized(self._accepted(version))

    def _failed(self, error: StatusError | ClientError) -> float:
        """Record a failure. Returns the seconds to wait."""
        if isinstance(error, ExpiredError) or _too_large(error) or _is_invalid(error):
            self._version = ""
        delay = self._next_delay()
        if isinstance(error, StatusError) and error.retry_after is not None:
            delay = max(delay, min(error.retry_after, self._options.last_delay))
        expected = isinstance(error, ExpiredError) or self._failures == 1
        level = logging.DEBUG if expected else logging.WARNING
        logger.log(level, "%s: %s; attempt %d in %.1f s", self, error, self._failures + 1, delay)
        return delay

    def _next_delay(self) -> float:
        self._failures += 1
        return backoff(self._failures - 1, self._options.first_delay, self._options.last_delay)

    def _watch_options(self, version: str = "") -> WatchOptions:
        chosen = self._options
        return WatchOptions(
            resource_version=version,
            initial_events=not version,
            label_selector=chosen.label_selector,
            field_selector=chosen.field_selector,
            metadata_only=chosen.metadata_only,
            seconds=random.randint(chosen.watch_seconds, 2 * chosen.watch_seconds),  # noqa: S311 - spreads the load
        )

    def _list_options(self) -> ListArguments:
        chosen = self._options
        return ListArguments(
            label_selector=chosen.label_selector,
            field_selector=chosen.field_selector,
            metadata_only=chosen.metadata_only,
            retries=False,
        )

    def __str__(self) -> str:
        return f"following {self._resource.path()}"


def _is_invalid(error: Exception) -> bool:
    """Whether a watch began at a version that the server has not given: an earlier answer was wrong."""
    return isinstance(error, StatusError) and error.code in _INVALID


def _too_large(error: Exception) -> bool:
    """Whether a watch began at a version that the server has not reached: it was restored from a backup."""
    causes = (error.details or {}).get("causes") if isinstance(error, StatusError) else None
    return isinstance(causes, list) and any(
        isinstance(cause, dict) and cause.get("reason") == "ResourceVersionTooLarge" for cause in causes
    )
