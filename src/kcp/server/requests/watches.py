"""Watch requests: the frames of a registry's watch as a stream over HTTP, or as messages over WebSocket.

Follows the API concepts page "Efficient detection of changes". All frames that are ready go out in one piece. A stream
ends when its time is over, when its place in the log is lost (an ``ERROR`` event), when the client has gone, or when the
server stops; to a client the first and the last are a normal end, after which it resumes by resource version. Likewise
the watches of a custom resource end when its definition goes or changes, since what they promised holds no longer: the
client that resumes is told so, or is served by the new definition.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from kcp.api import errors
from kcp.logical_clusters import WILDCARD
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import ListOptions, Target
from kcp.registry.types.catalog import definition_name
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.representation import Representation
from kcp.registry.verbs.watching import WatchStream, joined
from kcp.server.observability.metrics import Metrics, type_labels
from kcp.server.requests import queries
from kcp.server.requests.exchanges import Exchange
from kcp.store.contract import Event, StoreClosedError

BOOKMARK_INTERVAL: Final = 60.0
STALLED_AFTER: Final = 30.0
"""Seconds that a client may take to accept one piece."""
_GONE: Final = 410
_LOOP_SHARE: Final = 0.004

SendFrames = Callable[[Sequence[bytes]], Awaitable[None]]


class Session:
    """One running watch, and the means to end it from elsewhere."""

    __slots__ = (
        "_last",
        "_task",
        "_watch",
        "cut",
        "ended",
        "events",
        "exchange",
        "left",
        "sending_since",
        "transport",
        "waiting",
    )

    def __init__(self, exchange: Exchange, transport: str, watch: WatchStream) -> None:
        self._task = asyncio.current_task()
        self._watch = watch
        self._last: int | None = None
        self.exchange = exchange
        self.transport = transport
        self.ended = False
        self.waiting = False
        self.left = False
        self.cut = False
        self.sending_since = 0.0
        self.events = 0

    @property
    def takes(self) -> bool:
        """Whether `take` may be used: by a server that can be given a piece without waiting, until an end is set."""
        return self.exchange.prompt and self._last is None

    def take(self, frames: Sequence[bytes]) -> bool:
        """Send frames without waking the task, which is left to wait for a client that does not keep up."""
        self.events += len(frames)
        if not self.exchange.push(joined(frames)):
            self._watch.wake()
        return True

    def client_left(self, _: object = None) -> None:
        """End it because there is nobody to send to."""
        self.left = True
        self.end()

    @property
    def over(self) -> bool:
        """Nothing is to be sent any more."""
        watch = self._watch
        return self.ended or (self._last is not None and not watch.pending and watch.revision >= self._last)

    def end_after(self, revision: int) -> None:
        """End the stream when everything up to a revision has been sent."""
        if self._last is None:
            self._last = revision
            if self.over:
                self.end()
            else:
                self._watch.wake()  # from here on its task looks after each piece whether it was the last

    def end(self, *, at_once: bool = False) -> None:
        """End the stream: after the piece that is being sent, or without waiting for that."""
        already, self.ended = self.ended, True
        self.cut = self.cut or at_once
        if self._task is not None and ((self.waiting and not already) or at_once):
            self._task.cancel()


class Watches:
    """The watches that are being served."""

    def __init__(self, registry: Registry, metrics: Metrics, min_request_timeout: float) -> None:
        self._registry = registry
        self._metrics = metrics
        self._shortest = min_request_timeout
        self.sessions: set[Session] = set()
        self._of_definitions: defaultdict[tuple[str, str], set[Session]] = defaultdict(set)
        registry.catalog.follow(self._on_definition)
        self._stopping = False
        self._running = {
            transport: metrics.long_running.labels(transport) for transport in ("HTTP/1.1", "HTTP/2", "WebSocket")
        }

    def end_all(self) -> None:
        """End every stream, and those that are still to come at once: the server stops."""
        self._stopping = True
        for session in tuple(self.sessions):
            session.end()

    def end_stalled(self) -> None:
        """Cut the streams whose clients do not read."""
        latest = time.monotonic() - STALLED_AFTER
        for session in tuple(self.sessions):
            if 0.0 < session.sending_since < latest:
                session.end(at_once=True)

    async def serve(
        self,
        exchange: Exchange,
        context: RequestContext,
        target: Target,
        options: ListOptions,
        representation: Representation,
    ) -> None:
        """Answer a watch request over HTTP. Raises StatusError for what is refused before the stream begins."""
        if exchange.scope["method"] == "HEAD":
            raise errors.method_not_supported(target.type.resource, "watch")
        seconds = self._lifetime(exchange)
        watch = await self._open(context, target, options, representation)
        exchange.stream = True
        if isinstance(watch, errors.StatusError):
            await exchange.begin(200, representation.stream_type)
            await exchange.finish(representation.error(watch.status()))
            return

        async def send(frames: Sequence[bytes]) -> None:
            await exchange.send_more(joined(frames))

        transport = "HTTP/2" if exchange.scope["http_version"].startswith("2") else "HTTP/1.1"
        try:
            await exchange.begin(200, representation.stream_type)
            await exchange.send_more(b"")  # the head goes out with the first part of the body
            session = await self._run(exchange, transport, watch, seconds, options.allow_bookmarks, send)
        finally:
            watch.close()
        if not session.cut:
            await exchange.finish()

    async def serve_messages(
        self,
        exchange: Exchange,
        context: RequestContext,
        target: Target,
        options: ListOptions,
        representation: Representation,
        accept: Callable[[], Awaitable[None]],
        send_text: Callable[[bytes], Awaitable[None]],
    ) -> bool:
        """Answer a watch request over WebSocket, one event a message; returns whether the client has left.

        Raises StatusError before ``accept`` has been called.
        """
        seconds = self._lifetime(exchange)
        watch = await self._open(context, target, options, representation)
        exchange.stream = True
        if isinstance(watch, errors.StatusError):
            await accept()
            await send_text(representation.error(watch.status()))
            return False

        async def send(frames: Sequence[bytes]) -> None:
            for frame in frames:
                await send_text(frame)

        try:
            await accept()
            session = await self._run(exchange, "WebSocket", watch, seconds, options.allow_bookmarks, send)
        finally:
            watch.close()
        return session.left or session.cut

    def _follow_definition(self, session: Session) -> tuple[str, str] | None:
        """Have a watch of a custom resource end with its definition; returns under which name that is known."""
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

    def _forget(self, name: tuple[str, str], session: Session) -> None:
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
        """How long a watch may last: what the client asks for, or a random time so that not all come back at once."""
        assert exchange.info is not None
        asked = queries.timeout_seconds(exchange.info.query)
        return float(asked) if asked is not None else self._shortest * (1.0 + random.random())  # noqa: S311 - a spread

    async def _open(
        self, context: RequestContext, target: Target, options: ListOptions, representation: Representation
    ) -> WatchStream | errors.StatusError:
        """The stream, or why its place in the log is gone: that is told in the stream, as kube-apiserver does."""
        try:
            return await self._registry.watch(context, target, options, representation)
        except errors.StatusError as error:
            if error.code != _GONE:
                raise
            return error

    async def _run(
        self,
        exchange: Exchange,
        transport: str,
        watch: WatchStream,
        seconds: float,
        bookmarks: bool,
        send: SendFrames,
    ) -> Session:
        """Send what a watch gives until it ends; returns for every end that is not a failure."""
        session = Session(exchange, transport, watch)
        gone = asyncio.ensure_future(exchange.disconnected())
        gone.add_done_callback(session.client_left)
        running = self._running[transport]
        self.sessions.add(session)
        followed = self._follow_definition(session)
        running.inc()
        if self._stopping:
            session.ended = True
        try:
            await self._pump(session, watch, seconds, bookmarks, send)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not session.ended or task is None:
                raise
            task.uncancel()
        finally:
            gone.remove_done_callback(session.client_left)
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

    async def _pump(
        self, session: Session, watch: WatchStream, seconds: float, bookmarks: bool, send: SendFrames
    ) -> None:
        clock = time.monotonic
        now = clock()
        over = now + seconds
        bookmark_at = now + BOOKMARK_INTERVAL if bookmarks else over + 1.0
        yielded = now
        while not session.over:
            session.waiting = True
            try:
                frames = await watch.next(min(over, bookmark_at) - now, session.take if session.takes else None)
            except errors.StatusError as error:
                frames = [watch.error(error)]
                session.ended = True
            except StoreClosedError:
                return
            finally:
                session.waiting = False
            now = clock()
            if not session.exchange.settled:
                session.sending_since = now
                await session.exchange.settle()
                session.sending_since = 0.0
            if now >= bookmark_at and not session.ended:
                frames = [*frames, watch.bookmark()]
                bookmark_at = now + BOOKMARK_INTERVAL
            if frames:
                session.events += len(frames)
                session.sending_since = now
                await send(frames)
                session.sending_since = 0.0
                if watch.pending and now - yielded > _LOOP_SHARE:
                    await asyncio.sleep(0)
                    yielded = now = clock()
            if now >= over:
                return
