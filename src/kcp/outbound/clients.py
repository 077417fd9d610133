"""Requests to one destination, over pooled keep-alive connections of HTTP/1.1."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kcp import __version__
from kcp.outbound import failures
from kcp.outbound.authorities import Authorities
from kcp.outbound.bodies import UnreadableBodyError, read_body
from kcp.outbound.destinations import Destination
from kcp.outbound.errors import OutboundError
from kcp.outbound.failures import RefusedAddressError

if TYPE_CHECKING:
    import aiohttp

    from kcp.client.credentials.contract import ClientCertificate, Credential

_CONNECT_TIMEOUT: Final = 10.0
_CLOSE_TIMEOUT: Final = 5.0
_IDLE: Final = 60.0
"""Seconds after which an idle connection is closed."""


class Answer(NamedTuple):
    """A complete answer with a status of success. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Request(NamedTuple):
    method: str
    url: str
    body: bytes | None
    headers: Mapping[str, str]
    timeout: float


class OutboundClient:
    """The connections to one destination. Belongs to one event loop."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._session: aiohttp.ClientSession | None = None
        self._authorities = Authorities(destination)
        self._context: ssl.SSLContext | None = None
        self._made_of: tuple[bytes, ClientCertificate | None] | None = None
        """The authorities and the client certificate of the TLS context."""
        self._opening = asyncio.Lock()
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_flight = 0
        self._closing = asyncio.Event()

    async def request(
        self,
        method: str,
        url: str = "",
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
    ) -> Answer:
        """Send one request, once, and read the answer. ``timeout`` is in seconds, connecting and the body included.

        ``url`` defaults to that of the destination. Raises OutboundError, also for every status that is not a success, and
        after `close`.
        """
        if self._closing.is_set():
            raise OutboundError(f"{self.destination} is no longer configured, or the server stops")
        request = _Request(method, url or self.destination.url, body, headers or {}, timeout)
        try:
            with self._busy():
                async with asyncio.timeout(timeout):
                    return await self._authenticated(request)
        except TimeoutError:
            raise OutboundError(f"{self.destination} did not answer within {timeout:g} s") from None

    async def pause(self, seconds: float) -> None:
        """Wait before another attempt: for some time, or until the client is closed."""
        with self._busy(), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """Keep `drain` and `close` waiting."""
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _authenticated(self, request: _Request) -> Answer:
        """Send a request; after a 401, a second time if there is another credential."""
        from kcp.client.credentials.contract import ANONYMOUS
        from kcp.client.errors import CredentialsError

        source = self.destination.credentials or ANONYMOUS
        try:
            credential = await source.current()
            try:
                return await self._send(request, credential)
            except OutboundError as error:
                if error.status != HTTPStatus.UNAUTHORIZED or not source.rejected(credential):
                    raise
            return await self._send(request, await source.current())
        except CredentialsError as error:
            raise OutboundError(f"{self.destination.described}: {error}") from None

    async def _send(self, request: _Request, credential: Credential) -> Answer:
        import aiohttp

        await self._open(credential)
        try:
            return await self._answer(request, credential)
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            if isinstance(error, aiohttp.ClientConnectorCertificateError):
                self._authorities.rejected()
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
                raise
            raise failures.failure(
                self.destination, error
            ) from None  # aiohttp's errors hold the headers of the request and the URL of the proxy

    async def _answer(self, request: _Request, credential: Credential) -> Answer:
        import aiohttp
        from yarl import URL

        assert self._session is not None
        async with self._session.request(
            request.method,
            URL(request.url, encoded=True),
            data=request.body,
            headers=_headers(request, credential),
            timeout=aiohttp.ClientTimeout(total=request.timeout, connect=None, sock_connect=_CONNECT_TIMEOUT),
            proxy=self._proxy(request.url),
            ssl=self._context if self._context is not None else True,
            server_hostname=self.destination.tls_server_name or None,
            allow_redirects=False,
        ) as answer:
            if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                after = answer.headers.get("Retry-After")
                _abort(answer)  # the body of a refusal is not read
                raise failures.refusal(self.destination, answer.status, after)
            try:
                body = await read_body(answer, self.destination.max_body)
            except UnreadableBodyError as error:
                _abort(answer)
                raise OutboundError(f"{self.destination} {error}", status=answer.status) from None
            except BaseException:
                _abort(answer)
                raise
            return Answer(answer.status, {name.lower(): text for name, text in answer.headers.items()}, body)

    async def _open(self, credential: Credential) -> None:
        """Make the session, and the TLS context of a credential. Loading authorities takes long: a thread does it.

        What has changed in files is in force for new connections.
        """
        async with self._opening:
            if self._session is None:
                import aiohttp

                connector = aiohttp.TCPConnector(
                    limit=self.destination.max_connections, keepalive_timeout=_IDLE, socket_factory=self._socket
                )
                self._session = aiohttp.ClientSession(
                    connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
                )
            needed = self._authorities.current(), credential.certificate
            if needed != self._made_of:
                self._context = await asyncio.to_thread(self._tls_context, *needed)
                self._made_of = needed

    def _tls_context(self, authority: bytes, certificate: ClientCertificate | None) -> ssl.SSLContext:
        from kcp.client.errors import ConfigurationError, CredentialsError
        from kcp.client.transport.tls import tls_context

        destination = self.destination
        verify = not destination.insecure_skip_tls_verify
        try:
            return tls_context(authority, verify=verify, certificate=certificate)
        except (ConfigurationError, CredentialsError) as error:
            raise OutboundError(f"{destination.described}: {error}") from None

    def _proxy(self, url: str) -> str | None:
        import os

        from kcp.client.transport.proxies import proxy_of

        if self.destination.addresses.checks:
            return None
        return proxy_of(url, self.destination.proxy_url, os.environ)

    def _socket(self, address: Any) -> socket.socket:
        """Create the socket of a connection. It connects to this very address: no lookup comes after the check."""
        family, kind, protocol, _, target = address
        if self.destination.addresses.refuses(target[0]):
            raise RefusedAddressError
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return made

    async def close(self) -> None:
        """Close all connections. Requests in flight fail, and later ones too; return when they have failed."""
        self._closing.set()
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._idle.wait()

    async def drain(self) -> None:
        """Wait for the requests in flight, and close all connections."""
        await self._idle.wait()
        await self.close()


def _headers(request: _Request, credential: Credential) -> dict[str, str]:
    headers = {
        "User-Agent": f"kcp/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        **request.headers,
    }
    if credential.authorization:
        headers["Authorization"] = credential.authorization
    return headers


def _abort(answer: aiohttp.ClientResponse) -> None:
    """Abort a response without closing TLS: a server that is sending does not answer that, and asyncio would wait."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()
    answer.close()
