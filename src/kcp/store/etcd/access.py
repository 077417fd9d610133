"""Access to etcd: the options of a connection, and why etcd refuses it, with the flag whose value is wrong.

gRPC retries a refused connection for ever and hardly says why it was refused. So the files are checked before gRPC uses them,
and if a first call fails, each endpoint is probed over a connection of our own.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kcp.store.contract import OptionError

_SYSTEM_AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_DEFAULT_PORT: Final = 2379
_PROBE_SECONDS: Final = 2.0
_GREETING: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""HTTP/2's preface and empty settings: TLS 1.3 reports a refused client certificate only after the first data."""
_OTHER_NAME: Final = (62, 64)
"""OpenSSL's codes for a certificate of another host name, and of another address."""
NO_SPACE: Final = "database space exceeded"
"""etcd's error text when a member has reached its quota."""
_HINTS: Final = (
    ("invalid user ID or password", "it has no such user with the password in --etcd-password-file"),
    (
        "user name is empty",
        "it asks for a user: give --etcd-username and --etcd-password-file, or the certificate of one with --etcd-certfile",
    ),
    ("authentication is not enabled", "leave out --etcd-username, or switch authentication on"),
    (
        "permission denied",
        "the user of --etcd-username or --etcd-certfile needs a role that may read and write below --etcd-prefix",
    ),
    (
        NO_SPACE,
        "alarm NOSPACE, a member has reached its --quota-backend-bytes: compact and defragment it, disarm the alarm",
    ),
)
"""etcd's error texts, and the remedies."""


class EndpointError(OptionError):
    """An option of the connection is unusable; the message begins with the flag."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How to reach an etcd cluster. ``https`` endpoints use TLS; the certificate and key are the client's."""

    endpoints: tuple[str, ...]
    authority_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Where the log is: the cluster, and the prefix of its keys; and the sizes of the replica's cache and buffers."""

    connection: ConnectionOptions
    prefix: str = "/kcp"
    buffer: int = 10_000
    cache_kilobytes: int = 8192


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The parts of an endpoint's URL."""

    url: str
    secure: bool
    host: str
    port: int

    @property
    def target(self) -> str:
        """Host and port in gRPC's form."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoint_of(url: str) -> Endpoint:
    """Parse an endpoint's URL. Raises EndpointError."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port or _DEFAULT_PORT
    except ValueError as error:
        raise EndpointError(f"--etcd-servers: {url} has no valid port") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise EndpointError(f"--etcd-servers: {url} is not an etcd endpoint such as https://host:2379")
    return Endpoint(url, parts.scheme == "https", parts.hostname, port)


def material(connection: ConnectionOptions) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Read the authorities, the key and the certificate for TLS. Raises EndpointError for unusable files."""
    authorities = _content("--etcd-cafile", connection.authority_file)
    key = _content("--etcd-keyfile", connection.key_file)
    certificate = _content("--etcd-certfile", connection.certificate_file)
    _context(connection)
    if authorities is None and _SYSTEM_AUTHORITIES.exists():
        authorities = _SYSTEM_AUTHORITIES.read_bytes()
    return authorities, key, certificate


def explained(details: str) -> str:
    """Return etcd's error text with the remedy, if there is one."""
    return next((f"{details} ({hint})" for text, hint in _HINTS if text in details), details)


async def refusal(connection: ConnectionOptions) -> str | None:
    """Why every endpoint refuses this client; None if one accepts it, or if no endpoint gives a reason."""
    endpoints = [endpoint_of(url) for url in connection.endpoints]
    answers = await asyncio.gather(*(_probe(connection, endpoint) for endpoint in endpoints))
    return None if "" in answers else next(filter(None, answers), None)


def _content(flag: str, path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path is not None else None
    except OSError as error:
        raise EndpointError(f"{flag}: cannot read {path}: {error.strerror}") from error


def _context(connection: ConnectionOptions) -> ssl.SSLContext:
    """Load the files into a TLS context. Raises EndpointError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    authorities, certificate, key = connection.authority_file, connection.certificate_file, connection.key_file
    if authorities is not None:
        try:
            context.load_verify_locations(authorities)
        except ssl.SSLError as error:
            raise EndpointError(f"--etcd-cafile: {authorities} holds no certificates in PEM form") from error
    elif _SYSTEM_AUTHORITIES.exists():
        context.load_verify_locations(_SYSTEM_AUTHORITIES)
    if certificate is not None and key is not None:
        _use(context, certificate, key)
    return context


def _use(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise EndpointError(
                f"--etcd-keyfile: {key} is not the key of the certificate in --etcd-certfile, {certificate}"
            ) from error
        if b"-----BEGIN CERTIFICATE" not in certificate.read_bytes():
            raise EndpointError(f"--etcd-certfile: {certificate} holds no certificate in PEM form") from error
        raise EndpointError(
            f"--etcd-keyfile, --etcd-certfile: {key} holds no key in PEM form without a password, or {certificate} is damaged"
        ) from error


async def _probe(connection: ConnectionOptions, endpoint: Endpoint) -> str | None:
    """Why an endpoint refuses this client; empty if it accepts it, None if it gives no reason."""
    if not endpoint.secure:
        return await _probe_plain(endpoint)
    try:
        await _start_http2(endpoint, _context(connection))
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _OTHER_NAME:
            return f"--etcd-servers: the certificate of {endpoint.url} is not for {endpoint.host}"
        whose = connection.authority_file or "the system's authorities"
        return f"--etcd-cafile: by {whose}, {endpoint.url} is not trusted: {error.verify_message}"
    except ssl.SSLError as error:
        return _client_certificate_problem(connection, endpoint, error.reason or "")
    except (OSError, EOFError):
        speaks = await _speaks(endpoint, None)
        return f"--etcd-servers: {endpoint.url} speaks no TLS; is it http://?" if speaks else None
    return ""


def _client_certificate_problem(connection: ConnectionOptions, endpoint: Endpoint, reason: str) -> str | None:
    if not _is_about_certificates(reason):
        return None
    if connection.certificate_file is None:
        return f"--etcd-certfile: {endpoint.url} asks for a client certificate, and none is given"
    alert = reason.partition("ALERT_")[2].replace("_", " ").lower()
    return f"--etcd-certfile: {endpoint.url} does not accept {connection.certificate_file}: {alert}"


async def _probe_plain(endpoint: Endpoint) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    speaks = await _speaks(endpoint, context)
    return f"--etcd-servers: {endpoint.url} speaks TLS; is it https://?" if speaks else None


async def _speaks(endpoint: Endpoint, context: ssl.SSLContext | None) -> bool:
    """Whether an endpoint speaks TLS or, without a context, plain HTTP/2."""
    try:
        await _start_http2(endpoint, context)
    except ssl.SSLError as error:
        return _is_about_certificates(error.reason or "")
    except (OSError, EOFError):
        return False
    return True


def _is_about_certificates(reason: str) -> bool:
    """Whether OpenSSL's reason says that the peer requires a certificate, or another one."""
    return "CERTIFICATE" in reason or "UNKNOWN_CA" in reason


async def _start_http2(endpoint: Endpoint, context: ssl.SSLContext | None) -> None:
    """Start HTTP/2 and wait for the first byte. Raises OSError (ssl.SSLError, TimeoutError), EOFError."""
    async with asyncio.timeout(_PROBE_SECONDS):
        reader, writer = await asyncio.open_connection(
            endpoint.host, endpoint.port, ssl=context, server_hostname=endpoint.host if context else None
        )
        try:
            writer.write(_GREETING)
            await reader.readexactly(1)
        finally:
            writer.transport.abort()
