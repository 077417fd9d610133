"""Requests to one API server over keep-alive connections of HTTP/1.1, with aiohttp.

Redirects are never followed: they would carry the credentials to where they point.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit
from weakref import WeakSet

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from kcp.client.configuration import ClientConfiguration
from kcp.client.credentials.contract import ClientCertificate, Credential, without_secret
from kcp.client.errors import StatusError, TransportError, UnauthorizedError, status_error
from kcp.client.transport.proxies import proxy_of
from kcp.client.transport.rate_limits import TokenBucket
from kcp.client.transport.requests import Request, Response
from kcp.client.transport.retrying import RetryPolicy, parse_retry_after, retry_delay
from kcp.client.transport.streams import MAX_LINE, Stream, read_body
from kcp.client.transport.tls import tls_context
from kcp.client.transport.warnings import WarningLog

T = TypeVar("T")

_KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""A dead connection is detected within a minute, also that of a watch without events."""
_IDLE: Final = 70.0
"""Seconds until an unused connection is closed: less than servers wait, and enough for what is done once a minute."""

_MAX_REFUSAL: Final = 4 * 1024 * 1024
"""Maximum bytes of a response that refuses a request."""
_CLOSING_INTERVAL: Final = 0.002
_CLOSING_CHECKS: Final = 500
"""How often, with that interval, `Connection.close` looks whether servers have answered that TLS ends. The loop may end then."""

logger = logging.getLogger(__name__)


class Connection:
    """The connections to one API server. Belongs to one event loop, from `open` to `close`."""

    def __init__(self, configuration: ClientConfiguration, url: str) -> None:
        """``url`` is the server's address, to which the paths of requests are appended."""
        self.configuration = configuration
        self._url = url
        self._policy = RetryPolicy(configuration.retries, configuration.max_retry_after)
        self._proxy = proxy_of(self._url, configuration.proxy_url, os.environ)
        self._rate = TokenBucket(configuration.qps, configuration.burst)
        self._in_flight = asyncio.Semaphore(configuration.max_in_flight)
        self._static_headers = _static_headers(configuration)
        self._certificate: ClientCertificate | None = None
        self._context: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None
        self._sockets: WeakSet[socket.socket] = WeakSet()
        """Those that are open, also of requests that were cancelled, which the pool does not know any more."""
        self._warnings = WarningLog()

    def open(self) -> None:
        """Create the connection pool. Connects at the first request."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE, socket_factory=self._socket)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        # aiohttp repeats PUT and DELETE when a reused connection breaks, though the server may have executed them
        self._session._retry_connection = False  # noqa: SLF001 - aiohttp has no public option

    def _socket(self, address: Any) -> socket.socket:
        made = _socket(address)
        self._sockets.add(made)
        return made

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
            await asyncio.sleep(0)
            for _ in range(_CLOSING_CHECKS):
                if all(each.fileno() < 0 for each in self._sockets):
                    break
                await asyncio.sleep(_CLOSING_INTERVAL)

    async def request(self, request: Request) -> Response:
        """Send a request and read the response. Raises StatusError, TransportError, CredentialsError."""

        async def attempt() -> Response:
            timeout = self._timeout(self.configuration.request_timeout)
            async with self._in_flight, self._answer(request, timeout) as answer:
                body = await read_body(answer, self.configuration.max_body)
                return Response(request, answer.status, answer.headers, body)

        return await self._retrying(request, attempt)

    @asynccontextmanager
    async def stream(self, request: Request, seconds: float) -> AsyncIterator[Stream]:
        """Send a request and stream the response. Raises as `request`.

        The server should end the response after ``seconds``; the client does so after ``request_timeout`` more.
        """
        timeout = self._timeout(seconds + self.configuration.request_timeout)

        async def attempt() -> tuple[Any, aiohttp.ClientResponse]:
            context = self._answer(request, timeout)
            async with asyncio.timeout(self.configuration.request_timeout):
                return context, await context.__aenter__()

        context, answer = await self._retrying(request, attempt)
        try:
            yield Stream(request, answer, min(MAX_LINE, self.configuration.max_body))
        finally:
            _abort(answer)
            await context.__aexit__(None, None, None)
            await asyncio.sleep(0)  # the transport closes in the next iteration of the event loop

    def _timeout(self, total: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=total, sock_connect=self.configuration.connect_timeout)

    async def _retrying(self, request: Request, attempt: Callable[[], Awaitable[T]]) -> T:
        number = 0
        while True:
            await self._rate.wait()
            try:
                return await attempt()
            except (StatusError, TransportError, TimeoutError) as error:
                error = _translated(request, error)
                delay = retry_delay(error, number, self._policy, idempotent=request.idempotent)
                if delay is None or not request.retries:
                    raise error from None
                logger.debug("%s: %s; attempt %d in %.2f s", request, error, number + 2, delay)
            number += 1
            await asyncio.sleep(delay)

    @asynccontextmanager
    async def _answer(self, request: Request, timeout: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make one attempt; after a 401, a second one if there is another credential."""
        source = self.configuration.credentials
        for last in (False, True):
            credential = await source.current()
            try:
                async with self._send(request, credential, timeout) as answer:
                    yield answer
                    return
            except UnauthorizedError:
                if last or not source.rejected(credential):
                    raise

    @asynccontextmanager
    async def _send(
        self, request: Request, credential: Credential, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None, "the client is not open: use async with"
        headers = self._headers(request, credential)
        try:
            async with self._session.request(
                request.method,
                URL(self._url + request.target, encoded=True),
                data=request.body,
                headers=headers,
                timeout=timeout,
                proxy=self._proxy,
                ssl=self._tls(credential.certificate),
                server_hostname=self.configuration.tls_server_name or None,
                allow_redirects=False,
            ) as answer:
                self._warnings.take(answer.headers)
                if answer.status >= 300:
                    retry_after = parse_retry_after(answer.headers.get("Retry-After"), time.time())
                    body = without_secret(await read_body(answer, _MAX_REFUSAL), credential)
                    raise _refusal(request, answer.status, body, retry_after)
                yield answer
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError, OSError) as error:
            raise self._failure(
                request, error
            ) from None  # aiohttp's errors hold the request's headers and the proxy's URL

    def _headers(self, request: Request, credential: Credential) -> CIMultiDict[str]:
        headers = self._static_headers.copy()
        headers["Accept"] = request.accept
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if credential.authorization:
            headers["Authorization"] = credential.authorization
        return headers

    def _tls(self, certificate: ClientCertificate | None) -> ssl.SSLContext | bool:
        if not self._url.startswith("https:"):
            return True
        if self._context is None or certificate != self._certificate:
            configured = self.configuration
            verify = not configured.insecure_skip_tls_verify
            self._context = tls_context(configured.certificate_authority, verify=verify, certificate=certificate)
            self._certificate = certificate
        return self._context

    def _failure(self, request: Request, error: Exception) -> TransportError:
        address = urlsplit(self._url).netloc
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            why = getattr(error.certificate_error, "verify_message", "") or "certificate verify failed"
            return TransportError(
                f"{request}: the certificate of {address} is not trusted: {why}", sent=False, final=True
            )
        if isinstance(error, aiohttp.ClientConnectorError):
            return TransportError(
                f"{request}: cannot connect to {error.host}:{error.port}: {connection_problem(error.os_error)}",
                sent=False,
            )
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return TransportError(f"{request}: cannot connect to {address}: timed out", sent=False)
        if isinstance(error, TimeoutError):
            return TransportError(f"{request}: {address} did not answer in time")
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return TransportError(f"{request}: the proxy refused with status {error.status}", sent=False, final=True)
        why = getattr(error, "strerror", None) or type(error).__name__
        return TransportError(f"{request}: the connection to {address} broke off: {why}")


def connection_problem(error: OSError) -> str:
    """Return why there is no connection, in the system's words: asyncio's have the numbers and addresses of every attempt."""
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    return os.strerror(error.errno) if error.errno else str(error)


def _abort(answer: aiohttp.ClientResponse) -> None:
    """Abort a response without closing TLS: a server that is sending does not answer that, and asyncio would wait."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()
    answer.close()


def _translated(request: Request, error: Exception) -> StatusError | TransportError:
    if isinstance(error, StatusError | TransportError):
        return error
    return TransportError(f"{request}: the server did not answer in time")


def _refusal(request: Request, status: int, body: bytes, retry_after: int | None) -> StatusError | TransportError:
    if status < 400:
        return TransportError(
            f"{request}: the server answered {status}, a redirect: redirects are not followed", final=True
        )
    return status_error(status, body, retry_after)


def _static_headers(configuration: ClientConfiguration) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict({"User-Agent": configuration.user_agent})
    headers["Accept-Encoding"] = "gzip" if configuration.compression else "identity"
    acting = configuration.impersonation
    if acting is not None:
        headers["Impersonate-User"] = acting.user
        if acting.uid:
            headers["Impersonate-Uid"] = acting.uid
        for group in acting.groups:
            headers.add("Impersonate-Group", group)
        for key, values in acting.extra.items():
            for value in values:
                headers.add(f"Impersonate-Extra-{quote(key.lower(), safe='')}", value)
    return headers


def _socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEP_ALIVE.items():
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made
