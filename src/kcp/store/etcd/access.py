"""Why etcd does not let somebody in: said at once, and with the flag whose value is wrong.

gRPC tries a connection that is refused again and again, and tells little of why. So the files are looked at before they are
used, and where a first call fails, each endpoint is asked over a connection of ours.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_SYSTEM_AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_DEFAULT_PORT: Final = 2379
_PROBE_SECONDS: Final = 2.0
_GREETING: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""With what HTTP/2 begins: the preface and empty settings. TLS tells of a client certificate that is refused only then."""
_OTHER_NAME: Final = (62, 64)
"""OpenSSL's codes for a certificate of another host name, or of another address."""
NO_SPACE: Final = "database space exceeded"
"""What etcd says when its quota is used up."""
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
"""What etcd says, and what to do."""


class EndpointError(ValueError):
    """What was given for a connection cannot be used; the message begins with the flag."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach an etcd cluster. ``https`` endpoints use TLS; the certificate and key are the client's."""

    endpoints: tuple[str, ...]
    authority_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of them, taken apart."""

    url: str
    secure: bool
    host: str
    port: int

    @property
    def target(self) -> str:
        """Host and port as gRPC reads them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoint_of(url: str) -> Endpoint:
    """Take an endpoint apart. Raises EndpointError."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port or _DEFAULT_PORT
    except ValueError as error:
        raise EndpointError(f"--etcd-servers: {url} has no valid port") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise EndpointError(f"--etcd-servers: {url} is not an etcd endpoint such as https://host:2379")
    return Endpoint(url, parts.scheme == "https", parts.hostname, port)


def material(connection: Connection) -> tuple[bytes | None, bytes | None, bytes | None]:
    """The authorities, the key and the certificate that TLS is to use. Raises EndpointError for what it cannot use."""
    authorities = _content("--etcd-cafile", connection.authority_file)
    key = _content("--etcd-keyfile", connection.key_file)
    certificate = _content("--etcd-certfile", connection.certificate_file)
    _context(connection)
    if authorities is None and _SYSTEM_AUTHORITIES.exists():
        authorities = _SYSTEM_AUTHORITIES.read_bytes()
    return authorities, key, certificate


def explained(details: str) -> str:
    """What etcd said, and what to do about it where that is known."""
    return next((f"{details} ({hint})" for said, hint in _HINTS if said in details), details)


async def refusal(connection: Connection) -> str | None:
    """Why the endpoints that answer let this client in nowhere; None where one would, or none says why not."""
    endpoints = [endpoint_of(url) for url in connection.endpoints]
    answers = await asyncio.gather(*(_ask(connection, endpoint) for endpoint in endpoints))
    return None if "" in answers else next(filter(None, answers), None)


def _content(flag: str, path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path is not None else None
    except OSError as error:
        raise EndpointError(f"{flag}: cannot read {path}: {error.strerror}") from error


def _context(connection: Connection) -> ssl.SSLContext:
    """What Python's TLS makes of the files. Raises EndpointError."""
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


async def _ask(connection: Connection, endpoint: Endpoint) -> str | None:
    """Why an endpoint refuses; the empty string when it does not, None when it does not say."""
    if not endpoint.secure:
        return await _ask_plain(endpoint)
    try:
        await _greet(endpoint, _context(connection))
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _OTHER_NAME:
            return f"--etcd-servers: the certificate of {endpoint.url} is not for {endpoint.host}"
        whose = connection.authority_file or "the system's authorities"
        return f"--etcd-cafile: by {whose}, {endpoint.url} is not to be trusted: {error.verify_message}"
    except ssl.SSLError as error:
        return _about_client(connection, endpoint, error.reason or "")
    except (OSError, EOFError):
        spoken = await _speaks(endpoint, None)
        return f"--etcd-servers: {endpoint.url} speaks no TLS; is it http://?" if spoken else None
    return ""


def _about_client(connection: Connection, endpoint: Endpoint, reason: str) -> str | None:
    if not _is_about_certificates(reason):
        return None
    if connection.certificate_file is None:
        return f"--etcd-certfile: {endpoint.url} asks for a client certificate, and none is given"
    alert = reason.partition("ALERT_")[2].replace("_", " ").lower()
    return f"--etcd-certfile: {endpoint.url} does not accept {connection.certificate_file}: {alert}"


async def _ask_plain(endpoint: Endpoint) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    spoken = await _speaks(endpoint, context)
    return f"--etcd-servers: {endpoint.url} speaks TLS; is it https://?" if spoken else None


async def _speaks(endpoint: Endpoint, context: ssl.SSLContext | None) -> bool:
    """Whether an endpoint speaks TLS, or HTTP/2 without it."""
    try:
        await _greet(endpoint, context)
    except ssl.SSLError as error:
        return _is_about_certificates(error.reason or "")
    except (OSError, EOFError):
        return False
    return True


def _is_about_certificates(reason: str) -> bool:
    """Whether OpenSSL's reason is that the other side wants a certificate, or another one."""
    return "CERTIFICATE" in reason or "UNKNOWN_CA" in reason


async def _greet(endpoint: Endpoint, context: ssl.SSLContext | None) -> None:
    """Begin HTTP/2, and return when it is answered. Raises OSError, ssl.SSLError and TimeoutError among them, EOFError."""
    async with asyncio.timeout(_PROBE_SECONDS):
        reader, writer = await asyncio.open_connection(
            endpoint.host, endpoint.port, ssl=context, server_hostname=endpoint.host if context else None
        )
        try:
            writer.write(_GREETING)
            await reader.readexactly(1)
        finally:
            writer.transport.abort()
