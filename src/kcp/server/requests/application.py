"""The ASGI application: the steps of every request, over HTTP and over WebSocket.

Read, authenticate, impersonate, authorize, filter, route, queue, serve, audit: `Application.handle` and `Application._run_steps`
show them in this order. A step that refuses a request raises StatusError, which is answered as a Status; any other error is a
500. The application is plain ASGI 3; it takes the client certificate from the ASGI extension ``tls``.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple

from kcp import logical_clusters
from kcp.api import errors
from kcp.auth.authentication.bearer_tokens import token_of
from kcp.auth.authentication.union import UnionAuthenticator
from kcp.auth.authorization.authorizer import Authorizer, Decision, decided, forbidden
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.verbs.source import DamagedObjectError
from kcp.server.observability.metrics import Metrics
from kcp.server.requests import connections
from kcp.server.requests.asgi import ClientGoneError, Message, Receive, Scope, Send, TruncatedResponseError
from kcp.server.requests.audit import Audit
from kcp.server.requests.deadlines import Deadlines
from kcp.server.requests.exchanges import Exchange, TransferLimits
from kcp.server.requests.inflight import UNCOUNTED, Scheduling
from kcp.server.requests.list_streams import ListStreams
from kcp.server.requests.loop_watchdog import LoopWatchdog
from kcp.server.requests.mounts import Handler, MountTable
from kcp.server.requests.receiving import Receiving
from kcp.server.requests.request_info import RequestInfo, read_request
from kcp.server.requests.request_labels import labels_of
from kcp.server.requests.resources import Resources
from kcp.store.contract import DamagedValueError, StoreClosedError, StoreUnavailableError

logger: Final = logging.getLogger("kcp.server")

_TOKEN_START: Final = len(b"Bearer ")
_WEB_TOKEN: Final = b"eyJ"
"""The start of a JSON Web Token."""
_CLUSTER_PATH: Final = f"/{logical_clusters.PATH_ROOT}/".encode()
_TOO_MANY_REQUESTS: Final = 429
_CLIENT_CLOSED_REQUEST: Final = 499
"""The code under which metrics count a request whose client disconnected before the response began."""

RequestFilter = Callable[[Exchange, RequestInfo], Awaitable[None]]
"""Sees each authorized request before it is served: may wait, add to ``exchange.warnings``, or refuse with StatusError."""


ClusterOfToken = Callable[[bytes], LogicalClusterName | None]
"""Returns the logical cluster that a bearer token names, valid or not; None for a token that names none."""


class Steps(NamedTuple):
    """What the steps of a request use, in their order."""

    authenticator: UnionAuthenticator
    authorizer: Authorizer
    filters: Sequence[RequestFilter]
    resources: Resources
    mounts: MountTable
    scheduling: Scheduling
    audit: Audit
    cluster_of_token: ClusterOfToken = lambda _: None


class Application:
    """Serves the requests of one server."""

    def __init__(self, steps: Steps, metrics: Metrics, deadlines: Deadlines, watchdog: LoopWatchdog) -> None:
        """``deadlines`` limit the time in which a client must send a body."""
        self._watch = watchdog.watch
        self._authenticator = steps.authenticator
        self._cluster_of_token = steps.cluster_of_token
        self._authorizer = steps.authorizer
        self._filters = tuple(steps.filters)
        self._resources = steps.resources
        self._mounts = steps.mounts
        self._scheduling = steps.scheduling
        self._audit = steps.audit
        self._metrics = metrics
        self._limits = TransferLimits(Receiving(deadlines), ListStreams())

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Return the coroutine that serves an ASGI connection."""
        kind = scope["type"]
        if kind == "http":
            return self.handle(Exchange(scope, receive, send, self._limits))
        if kind == "websocket":
            from kcp.server.requests.websockets import WebSocketExchange  # few servers ever see such a request

            return self.handle(WebSocketExchange(scope, receive, send, self._limits))
        return _lifespan(receive, send)

    def cancel_requests(self) -> None:
        """Cancel all running requests, as when their clients disconnect.

        The HTTP server does so by itself, but not for HTTP/1.1: there it reads nothing from a connection until it has responded.
        """
        for task in asyncio.all_tasks():
            work = task.get_coro()
            if not inspect.iscoroutine(work) or work.cr_code is not Application.handle.__code__:
                continue
            if inspect.getcoroutinelocals(work).get("self") is self:
                task.cancel()

    async def handle(self, exchange: Exchange) -> None:
        """Take a request through all steps, answer an error, then count and audit the request.

        Raises TruncatedResponseError, from nothing: an error refers to the frames that it has passed, and what they hold (a part
        of a list) would live as long as the HTTP server keeps the error.
        """
        truncated: str | None = None
        try:
            await self._watch(self._run_steps(exchange), exchange)
        except Exception as error:
            truncated = await self._watch(self._answer_error(exchange, error), exchange)
        finally:
            labels = labels_of(exchange.info, exchange.type, self._mounts.roots)
            seconds = time.perf_counter() - exchange.started
            self._metrics.observe(labels, exchange.status or _CLIENT_CLOSED_REQUEST, seconds)
            if self._audit.has_sinks:
                self._audit.complete(exchange)
            if exchange.slot is not None:
                exchange.slot.leave()
            events = self._audit.events
            if events is not None and (recorded := events.end(exchange)) is not None:
                await recorded
        if truncated is not None:
            del exchange  # this frame too is one that the error refers to
            raise TruncatedResponseError(truncated)

    async def _run_steps(self, exchange: Exchange) -> None:
        info = self._read(exchange)
        user = self._authenticator.authenticate(exchange)
        exchange.user = user if isinstance(user, User) else await user
        events = self._audit.events
        if events is not None:
            recorded = events.begin(exchange)
            if recorded is not None and not await recorded:
                exchange.audit = None
                raise events.reject()
        audited = exchange.audit
        if exchange.may_impersonate:
            from kcp.auth.authorization.impersonation import impersonated  # few servers ever see such a request

            asking = exchange.user
            exchange.user = await impersonated(exchange.raw_headers, asking, info, self._authorizer)
            if exchange.user is not asking:
                exchange.impersonator = asking
            if audited is not None:
                audited.impersonated = exchange.user
        decision = self._authorizer.decide(exchange.user, info)
        if type(decision) is not Decision:
            decision = await decided(decision)
        if audited is not None:
            audited.decide(decision)
        if not decision.allowed:
            raise forbidden(exchange.user, info, decision.reason)
        if decision.restriction is not None:
            exchange.restriction = decision.restriction
        for request_filter in self._filters:
            await request_filter(exchange, info)
        handler, counted = self._route(exchange, info)
        if counted:
            slot = exchange.slot = self._scheduling.begin(exchange, info)
            if not slot.taken:
                await slot.wait()
        else:
            exchange.slot = UNCOUNTED
        await handler(exchange, info)

    def _read(self, exchange: Exchange) -> RequestInfo:
        """Read the head: what is asked for, in which logical cluster. Raises StatusError 400, 401, 404 or 431."""
        exchange.check_head()
        scope = exchange.scope
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        headers = exchange.headers
        cluster_header = headers.get(logical_clusters.HEADER)
        if cluster_header is None and headers.get(b"authorization", b"").startswith(_WEB_TOKEN, _TOKEN_START):
            cluster_header = self._cluster_in_token(raw_path, headers[b"authorization"])
        info = exchange.info = read_request(scope["method"], raw_path, scope["query_string"], cluster_header)
        return info

    def _cluster_in_token(self, raw_path: bytes, authorization: bytes) -> bytes | None:
        """The logical cluster of a service account's token, where the path names none: a Pod knows no path of its own.

        The token is not verified yet: it is valid in the logical cluster that it names, or nowhere.
        """
        if raw_path.startswith(_CLUSTER_PATH):
            return None
        cluster = self._cluster_of_token(token_of(authorization))
        return None if cluster is None else cluster.encode()

    def _route(self, exchange: Exchange, info: RequestInfo) -> tuple[Handler, bool]:
        """Find the handler of a request, and whether it counts as in flight. Raises StatusError 404 or 405."""
        if info.is_resource:
            exchange.type = self._resources.find_type(info)
            return self._resources.serve, True
        if exchange.watches_only:
            raise errors.unknown_path()
        mount = self._mounts.route(info)
        return mount.handler, mount.in_flight

    async def _answer_error(self, exchange: Exchange, error: Exception) -> str | None:
        """Answer an error with a Status. Returns why the response is truncated where it has begun already, else None.

        Nothing is raised again: a frame that an error has passed twice would refer to the error, and both would wait for a
        garbage collection.
        """
        truncated = str(error) if isinstance(error, TruncatedResponseError) else None
        if exchange.slot is None:
            await self._wait_refused(exchange)
        try:
            if not isinstance(error, TruncatedResponseError | ClientGoneError):
                refusal = self._status_of(exchange, error)
                if exchange.audit is not None:
                    exchange.audit.fail(refusal)
                await exchange.refuse(refusal)
        except TruncatedResponseError as late:
            truncated = str(late)
        except ClientGoneError as gone:
            logger.debug("the client disconnected before the response was complete: %s", gone)
        if isinstance(error, ClientGoneError):
            logger.debug("the client disconnected before the response was complete: %s", error)
        if truncated is not None:
            logger.warning("a response was truncated: %s", truncated)
            await connections.cut(exchange.scope)
        return truncated

    async def _wait_refused(self, exchange: Exchange) -> None:
        """Let the refusal of a request wait that never had a slot: it has used the event loop too."""
        slot = exchange.slot = self._scheduling.begin_refusal(exchange)
        if not slot.taken:
            with contextlib.suppress(errors.StatusError):  # the queue is full: this is a refusal already
                await slot.wait()

    def _status_of(self, exchange: Exchange, error: Exception) -> errors.StatusError:
        if isinstance(error, errors.StatusError):
            if error.code == _TOO_MANY_REQUESTS and error.retry_after is not None:
                self._metrics.terminations.labels("429").inc()
            return error
        if isinstance(error, StoreClosedError | StoreUnavailableError):
            logger.debug("the store is not available: %s", error)  # the store logs it once; there may be many requests
            return errors.service_unavailable(f"the store is not available: {error}")
        if isinstance(error, DamagedValueError):
            return DamagedObjectError(error)
        if exchange.audit is not None:
            exchange.audit.panicked = True
        logger.error("a request failed: %s %s", exchange.method, exchange.scope["path"], exc_info=error)
        return errors.internal_error(f"{type(error).__name__} while serving the request")


async def _lifespan(receive: Receive, send: Send) -> None:
    """Acknowledge the lifespan protocol. The process starts and stops everything around the HTTP server."""
    while True:
        message: Message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
