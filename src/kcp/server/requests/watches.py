"""Watch requests: the events of a registry's watch as a stream over HTTP, or as messages over WebSocket.

Follows the API concepts page "Efficient detection of changes". All events that are ready are sent together. A stream ends when
its timeout expires, when its revision has been compacted (an ``ERROR`` event), when the client disconnects, or when the
server stops. The first and the last are a normal end, after which the client resumes by resource version. The watches of a
custom resource also end when its definition is deleted or changed, as in kube-apiserver.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from typing import Final

from kcp.api import errors
from kcp.logical_clusters import WILDCARD
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import ListOptions, Target
from kcp.registry.types.catalog import definition_name
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.representation import Representation
from kcp.registry.verbs.watching import WatchStream
from kcp.server.audit.stages import RESPONSE_STARTED
from kcp.server.observability.metrics import Metrics, type_labels
from kcp.server.requests import queries
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.watch_sessions import WatchSession
from kcp.store.contract import Event, StoreClosedError

BOOKMARK_INTERVAL: Final = 60.0
WATCH_STALLED_AFTER: Final = 30.0
"""Seconds that a client may take to accept what was sent."""
_MOST_STALLED: Final = 64
_MANY_WATCHES_STALLED_AFTER: Final = 5.0
"""How many watches may have stalled for so many seconds: what is queued for each takes some megabytes."""
_GONE: Final = 410
_LOOP_SHARE: Final = 0.004
"""Seconds after which a watch with pending events yields to the event loop."""


class Watches:
    """The running watches."""

    def __init__(self, registry: Registry, metrics: Metrics, min_request_timeout: float) -> None:
        self._registry = registry
        self._metrics = metrics
        self._min_timeout = min_request_timeout
        self.sessions: set[WatchSession] = set()
        self._of_definitions: defaultdict[tuple[str, str], set[WatchSession]] = defaultdict(set)
        registry.catalog.follow(self._on_definition)
        self._stopping = False
        self._running = {
            transport: metrics.long_running.labels(transport) for transport in ("HTTP/1.1", "HTTP/2", "WebSocket")
        }

    def end_all(self) -> None:
        """End every watch, and each new one at once: the server stops."""
        self._stopping = True
        for session in tuple(self.sessions):
            session.end()

    def end_older_than(self, moment: float) -> None:
        """End the watches that began before a time of `time.perf_counter`."""
        for session in tuple(self.sessions):
            if session.exchange.started < moment:
                session.end()

    def end_stalled(self) -> None:
        """Abort the watches whose clients do not read: after half a minute, and earlier where there are many of them."""
        now = time.monotonic()
        stalled = sorted(
            (since, id(session), session)
            for session in self.sessions
            if 0.0 < (since := session.sending_since) < now - _MANY_WATCHES_STALLED_AFTER
        )
        too_many = len(stalled) - _MOST_STALLED
        for index, (since, _, session) in enumerate(stalled):
            if index < too_many or since < now - WATCH_STALLED_AFTER:
                session.end(abort=True)

    async def serve(
        self,
        exchange: Exchange,
        context: RequestContext,
        target: Target,
        options: ListOptions,
        representation: Representation,
    ) -> None:
        """Answer a watch request. Raises StatusError for what is refused before the stream begins."""
        if exchange.method == "HEAD":
            raise errors.method_not_supported(target.type.resource, "watch")
        seconds = self._lifetime(exchange)
        watch = await self._open(context, target, options, representation)
        if isinstance(watch, errors.StatusError):
            await exchange.begin_stream(representation.stream_type)
            await exchange.send_frames((representation.error(watch.status()),))
            await exchange.finish()
            return
        try:
            await exchange.begin_stream(representation.stream_type)
            if exchange.audit is not None:
                recorded = exchange.audit.record(RESPONSE_STARTED, exchange.status)
                if recorded is not None:
                    await recorded
            session = await self._run(exchange, watch, seconds, options.allow_bookmarks)
        finally:
            watch.close()
        if not session.aborted:
            await exchange.finish()

    def _follow_definition(self, session: WatchSession) -> tuple[str, str] | None:
        """End a watch of a custom resource with its definition; returns the key under which it is registered."""
        exchange = session.exchange
        assert exchange.info is not None
        assert exchange.type is not None
        cluster = exchange.info.cluster
        if exchange.type.builtin or cluster == WILDCARD:
            return None
        name = (cluster, definition_name(exchange.type.group, exchange.type.plural))
        self._of_definitions[name].add(session)
        if not self._registry.catalog.still_serves(cluster, exchange.type):  # it changed since the type was looked up
            session.end_after(self._registry.store.revision)
        return name

    def _forget(self, name: tuple[str, str], session: WatchSession) -> None:
        sessions = self._of_definitions[name]
        sessions.discard(session)
        if not sessions:
            del self._of_definitions[name]

    def _on_definition(self, event: Event) -> None:
        name = (event.key.cluster, event.key.name)
        for session in tuple(self._of_definitions.get(name, ())):
            assert session.exchange.type is not None
            if not self._registry.catalog.still_serves(event.key.cluster, session.exchange.type):
                session.end_after(event.revision)

    def _lifetime(self, exchange: Exchange) -> float:
        """The timeout of a watch: the client's, or a random one so that not all clients reconnect at once."""
        assert exchange.info is not None
        asked = queries.timeout_seconds(exchange.info.query)
        return float(asked) if asked is not None else self._min_timeout * (1.0 + random.random())  # noqa: S311 - a spread

    async def _open(
        self, context: RequestContext, target: Target, options: ListOptions, representation: Representation
    ) -> WatchStream | errors.StatusError:
        """Open the watch. A 410 is returned: it is sent as an event, as in kube-apiserver."""
        try:
            return await self._registry.watch(context, target, options, representation)
        except errors.StatusError as error:
            if error.code != _GONE:
                raise
            return error

    async def _run(self, exchange: Exchange, watch: WatchStream, seconds: float, bookmarks: bool) -> WatchSession:
        """Send the events of a watch until it ends. Returns for every end that is not a failure."""
        session = WatchSession(exchange, watch)
        gone = asyncio.ensure_future(exchange.disconnected())
        gone.add_done_callback(session.on_client_gone)
        running = self._running[exchange.transport]
        self.sessions.add(session)
        followed = self._follow_definition(session)
        running.inc()
        if self._stopping:
            session.ended = True
        try:
            await self._send_events(session, watch, seconds, bookmarks)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not session.ended or task is None:
                raise
            task.uncancel()
        finally:
            gone.remove_done_callback(session.on_client_gone)
            gone.cancel()
            self.sessions.discard(session)
            if followed is not None:
                self._forget(followed, session)
            running.dec()
            if session.events:
                assert exchange.type is not None
                labels = type_labels(exchange.type)
                self._metrics.watch_events.labels(*labels).inc(session.events)
                self._metrics.watch_bytes.labels(*labels).inc(exchange.sent)
        return session

    async def _send_events(self, session: WatchSession, watch: WatchStream, seconds: float, bookmarks: bool) -> None:
        exchange = session.exchange
        clock = time.monotonic
        now = clock()
        deadline = now + seconds
        bookmark_at = now + BOOKMARK_INTERVAL if bookmarks else deadline + 1.0
        yielded = now
        while not session.finished:
            session.waiting = True
            try:
                frames = await watch.next(min(deadline, bookmark_at) - now, session.push if session.can_push else None)
            except errors.StatusError as error:
                frames = [watch.error(error)]
                session.ended = True
            except StoreClosedError:
                return
            finally:
                session.waiting = False
            now = clock()
            if not exchange.settled:
                await exchange.settle()
            if now >= bookmark_at and not session.ended:
                frames = [*frames, watch.bookmark()]
                bookmark_at = now + BOOKMARK_INTERVAL
            if frames:
                session.events += len(frames)
                await exchange.send_frames(frames)
                if watch.pending and now - yielded > _LOOP_SHARE:
                    await exchange.pause()
                    yielded = now = clock()
            if now >= deadline:
                return
