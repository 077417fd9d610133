"""Which way a request takes to the server: proxies, and the name that its certificate must have."""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from devtools.ports import closed_port
from kcp.auth.certificates import KeyPair, new_authority, new_serving_identity
from kcp.client import Client, ClientConfiguration, ConfigurationError, TransportError
from kcp.client.transport.proxies import proxy_of


@dataclass
class Proxy:
    """A running HTTP proxy: its port, and the heads of the requests that came."""

    port: int = 0
    heads: list[str] = field(default_factory=list)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def proxy(refuse: bool = False, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """A proxy that understands ``CONNECT``."""
    running = Proxy()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        running.heads.append(head)
        if refuse:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        host, _, port = head.split()[1].partition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()


async def test_requests_go_through_the_proxy_of_the_configuration(configuration: ClientConfiguration) -> None:
    async with proxy() as running:
        chosen = replace(configuration, proxy_url=f"http://me:pass@127.0.0.1:{running.port}")
        async with Client(chosen) as client:
            assert (await client.version())["major"] == "1"
    (head,) = running.heads
    assert head.startswith("CONNECT 127.0.0.1:")
    assert base64.b64encode(b"me:pass").decode() in head
    assert "Bearer" not in head


async def test_a_proxy_that_refuses_is_named_without_its_password(configuration: ClientConfiguration) -> None:
    async with proxy(refuse=True) as running:
        chosen = replace(configuration, proxy_url=f"http://me:hunter2@127.0.0.1:{running.port}", retries=0)
        async with Client(chosen) as client:
            with pytest.raises(TransportError, match="the proxy refused with status 407") as caught:
                await client.version()
    assert "hunter2" not in shown(caught.value)


def shown(error: BaseException) -> str:
    """All that a log or a report of the error may show."""
    return "".join(traceback.format_exception(error)) + repr((error, error.__cause__))


@pytest.fixture
def closed() -> Iterator[int]:
    """A port on which nothing listens."""
    with closed_port() as port:
        yield port


async def test_no_error_shows_a_token_or_the_password_of_a_proxy(
    configuration: ClientConfiguration, closed: int
) -> None:
    token = (await configuration.credentials.current()).authorization.removeprefix("Bearer ")
    for failing in (
        replace(configuration, retries=0, proxy_url=f"http://me:hunter2@127.0.0.1:{closed}"),
        replace(configuration, retries=0, server=f"https://127.0.0.1:{closed}"),
        replace(configuration, retries=0, tls_server_name="elsewhere"),
    ):
        async with Client(failing) as client:
            with pytest.raises(TransportError) as caught:
                await client.version()
        for text in (shown(caught.value), repr(failing)):
            assert "hunter2" not in text
            assert token not in text


@pytest.mark.parametrize(
    ("server", "environment", "expected"),
    [
        ("https://api.example.com", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://api.example.com", {"https_proxy": "p:1"}, "http://p:1"),
        ("https://api.example.com", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://api.example.com", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://[::1]:6443", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://localhost:6443", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.com, example.com"}, None),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example.com"}, None),
        ("https://example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example.com"}, "http://p:1"),
        ("https://myexample.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, "http://p:1"),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://p:1", "no_proxy": "10.0.0.0/8"}, None),
        ("https://11.1.2.3", {"HTTPS_PROXY": "http://p:1", "no_proxy": "10.0.0.0/8"}, "http://p:1"),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
    ],
)
def test_without_one_the_proxy_of_the_environment_counts(
    server: str, environment: dict[str, str], expected: str | None
) -> None:
    assert proxy_of(server, "", environment) == expected


def test_a_variable_that_holds_no_url_is_named() -> None:
    with pytest.raises(ConfigurationError, match="environment: HTTPS_PROXY must be a URL"):
        proxy_of("https://a", "", {"HTTPS_PROXY": "socks5://p:1"})


async def test_a_certificate_of_an_unknown_authority_is_refused(configuration: ClientConfiguration) -> None:
    async with Client(replace(configuration, certificate_authority=b"", retries=0)) as client:
        with pytest.raises(TransportError, match=r"the certificate of 127\.0\.0\.1:[0-9]+ is not trusted"):
            await client.version()


async def test_the_certificate_must_have_the_servers_name_or_the_configured_one(
    configuration: ClientConfiguration,
) -> None:
    async with Client(replace(configuration, tls_server_name="localhost")) as client:
        assert (await client.version())["major"] == "1"
    async with Client(replace(configuration, tls_server_name="elsewhere", retries=0)) as client:
        with pytest.raises(TransportError, match="is not trusted: Hostname mismatch"):
            await client.version()


async def test_verification_can_be_switched_off(configuration: ClientConfiguration) -> None:
    chosen = replace(configuration, certificate_authority=b"", insecure_skip_tls_verify=True)
    async with Client(chosen) as client:
        assert (await client.version())["major"] == "1"


async def test_an_authority_that_is_none_is_an_error_of_the_configuration(configuration: ClientConfiguration) -> None:
    async with Client(replace(configuration, certificate_authority=b"no PEM")) as client:
        with pytest.raises(ConfigurationError, match="not a certificate in PEM"):
            await client.version()


async def test_a_proxy_over_tls(configuration: ClientConfiguration) -> None:
    authority = new_authority("the proxy's")
    pair = new_serving_identity(authority, "proxy", ["127.0.0.1"])
    async with proxy(tls=serving(pair)) as running:
        chosen = replace(
            configuration,
            proxy_url=f"https://127.0.0.1:{running.port}",
            certificate_authority=configuration.certificate_authority + authority.certificate,
            tls_server_name="localhost",
        )
        async with Client(chosen) as client:
            assert (await client.version())["major"] == "1"
    assert len(running.heads) == 1


def serving(pair: KeyPair) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pair.certificate + pair.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context
