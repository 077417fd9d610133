"""The ASGI application: what every request passes on its way to a handler and back.

Read the request; authenticate; impersonate; authorize; count in; serve; answer a refusal as a Status, a defect as a 500;
count, log. Plain ASGI 3, so that any server can run it; the client certificate is taken from the TLS extension of the
scope where the server offers it.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from kcp import logical_clusters
from kcp.api import errors
from kcp.auth.authentication.authenticators import BearerTokens, ClientCertificates
from kcp.auth.authorization.authorizers import Authorizer, denied
from kcp.auth.authorization.impersonation import impersonated
from kcp.auth.users import ANONYMOUS, User
from kcp.registry.verbs.registry import Registry
from kcp.server.observability import request_log
from kcp.server.observability.health import Check, Health
from kcp.server.observability.metrics import Metrics
from kcp.server.requests import websockets
from kcp.server.requests.deadlines import Deadlines
from kcp.server.requests.document_routes import DocumentRoutes
from kcp.server.requests.exchanges import ClientGoneError, Exchange, Message, Receive, Scope, Send, TruncatedAnswerError
from kcp.server.requests.inflight import InFlight
from kcp.server.requests.mutations import Mutations
from kcp.server.requests.request_info import RequestInfo, read_request
from kcp.server.requests.resources import Resources
from kcp.server.requests.watches import Watches
from kcp.store.contract import StoreClosedError, StoreUnavailableError

logger: Final = logging.getLogger("kcp.server")

_READING: Final = frozenset({"get", "list", "watch"})
_PROBES: Final = frozenset({"healthz", "livez", "readyz"})
_TOO_MANY: Final = 429


class Application:
    """One server's requests."""

    def __init__(
        self,
        registry: Registry,
        *,
        authorizer: Authorizer,
        certificates: ClientCertificates | None,
        tokens: BearerTokens,
        anonymous: bool = True,
        max_reading: int = 400,
        max_mutating: int = 200,
        min_request_timeout: float = 1800.0,
        request_timeout: float = 60.0,
        server_address: str = "",
        log_requests: bool = False,
        ready_checks: dict[str, Check] | None = None,
    ) -> None:
        self._authorizer = authorizer
        self._certificates = certificates
        self._tokens = tokens
        self._anonymous = anonymous
        self._log_requests = log_requests
        self.deadlines = Deadlines(request_timeout)
        self.in_flight = InFlight(max_reading, max_mutating)
        self.metrics = Metrics(self.in_flight)
        self.mutations = Mutations(self.deadlines)
        self.watches = Watches(registry, self.metrics, min_request_timeout)
        self.resources = Resources(registry, self.watches, self.mutations)
        self.health = Health({"ping": lambda: None}, ready_checks or {})
        self._documents = DocumentRoutes(registry.catalog, self.health, self.metrics, server_address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an ASGI connection."""
        kind = scope["type"]
        if kind == "http":
            await self._http(Exchange(scope, receive, send, self.deadlines))
        elif kind == "websocket":
            await websockets.serve(self, scope, receive, send)
        elif kind == "lifespan":
            await _lifespan(receive, send)

    async def _http(self, exchange: Exchange) -> None:
        try:
            await self._answer(exchange)
        except TruncatedAnswerError as error:
            logger.warning("an answer broke off: %s", error)
            raise
        except ClientGoneError as error:
            logger.debug("a client left before it was answered: %s", error)
        finally:
            self.finish(exchange)

    async def _answer(self, exchange: Exchange) -> None:
        """Serve, or refuse. Raises TruncatedAnswerError and ClientGoneError, also from the sending of a refusal."""
        try:
            await self._serve(exchange)
        except errors.StatusError as error:
            await self.refuse(exchange, error)
        except (StoreClosedError, StoreUnavailableError) as error:
            logger.debug("the log is not available: %s", error)  # it says so itself, once: there may be many requests
            await self.refuse(exchange, errors.service_unavailable(f"the log is not available: {error}"))
        except (TruncatedAnswerError, ClientGoneError):
            raise
        except Exception as error:
            logger.exception("a request failed: %s %s", exchange.scope["method"], exchange.scope["path"])
            await self.refuse(exchange, errors.internal_error(f"{type(error).__name__} while serving the request"))

    async def refuse(self, exchange: Exchange, error: errors.StatusError) -> None:
        """Answer with a Status. Raises TruncatedAnswerError when another answer has begun."""
        if exchange.begun:
            raise TruncatedAnswerError(str(error)) from error
        if error.code == _TOO_MANY and error.retry_after is not None:
            self.metrics.terminations.labels("429").inc()
        await exchange.send_status_error(error)

    def finish(self, exchange: Exchange) -> None:
        """Count and log an answered request."""
        code = exchange.status or 499
        self.metrics.observe(exchange.info, exchange.type, code, time.perf_counter() - exchange.started)
        if self._log_requests:
            request_log.log_request(exchange)

    async def _serve(self, exchange: Exchange) -> None:
        info = self.admit(exchange)
        if info.is_resource:
            if info.verb == "watch":
                await self.resources.serve(exchange, info, exchange.type)
                return
            mutating = info.verb not in _READING
            self.in_flight.enter(mutating)
            try:
                await self.resources.serve(exchange, info, exchange.type)
            finally:
                self.in_flight.leave(mutating)
        elif info.parts and info.parts[0] in _PROBES:
            await self._documents.serve(exchange, info)
        else:
            self.in_flight.enter(False)
            try:
                await self._documents.serve(exchange, info)
            finally:
                self.in_flight.leave(False)

    def admit(self, exchange: Exchange, authorization: bytes | None = None) -> RequestInfo:
        """Read, authenticate and authorize a request. Raises StatusError."""
        exchange.check_head()
        scope, headers = exchange.scope, exchange.headers
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        info = read_request(
            scope.get("method", "GET"), raw_path, scope["query_string"], headers.get(logical_clusters.HEADER)
        )
        exchange.info = info
        user = self._authenticate(scope, authorization or headers.get(b"authorization"))
        for name in headers:
            if name.startswith(b"impersonate-"):
                user = impersonated(exchange.raw_headers, user, info.cluster, self._authorizer)
                break
        exchange.user = user
        decision = self._authorizer.authorize(user, info)
        if not decision.allowed:
            raise denied(user, info, decision.reason)
        if info.is_resource:
            exchange.type = self.resources.find_type(info)
        return info

    def _authenticate(self, scope: Scope, authorization: bytes | None) -> User:
        if self._certificates is not None:
            extensions = scope.get("extensions")
            tls = extensions.get("tls") if extensions else None
            chain = tls.get("client_cert_chain") if tls else None
            if chain:
                user = self._certificates.user(chain)
                if user is not None:
                    return user
        if authorization:
            user = self._tokens.user(authorization)
            if user is not None:
                return user
        if self._anonymous:
            return ANONYMOUS
        raise errors.unauthorized()


async def _lifespan(receive: Receive, send: Send) -> None:
    """Nothing is started or stopped with the ASGI server: the process does that around it."""
    while True:
        message: Message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
