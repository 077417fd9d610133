"""The configuration of a client: address, trust, credentials and limits. Built from a kubeconfig or in code."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kcp import __version__
from kcp.client.credentials.contract import ANONYMOUS, Credential, Credentials, StaticCredentials, bearer
from kcp.client.errors import ConfigurationError

USER_AGENT: Final = f"kcp/{__version__} python/{sys.version_info.major}.{sys.version_info.minor}"
PROXY_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True, slots=True)
class Impersonation:
    """The user that requests impersonate: the ``as`` fields of a kubeconfig."""

    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClientConfiguration:
    """The configuration of a client of one API server. Raises ConfigurationError for an invalid address.

    ``certificate_authority`` is PEM; empty means the system's authorities. ``qps`` is the average number of requests a second,
    where 0 means no limit, and ``burst`` the number at once. ``request_timeout`` limits one attempt, in seconds; not watches.
    ``max_body`` limits a response, after decompression, and ``max_listed`` all pages of a complete list (0: no limit), in bytes.
    """

    server: str
    namespace: str = "default"
    certificate_authority: bytes = b""
    certificate_authority_file: Path | None = None
    """The file that ``certificate_authority`` was read from, if it is one."""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    proxy_url: str = field(default="", repr=False)
    compression: bool = True
    credentials: Credentials = ANONYMOUS
    impersonation: Impersonation | None = None
    qps: float = 50.0
    burst: int = 100
    max_in_flight: int = 64
    request_timeout: float = 60.0
    connect_timeout: float = 10.0
    max_body: int = 512 * 1024 * 1024
    max_listed: int = 0
    retries: int = 10
    max_retry_after: float = 60.0
    user_agent: str = USER_AGENT

    def __post_init__(self) -> None:
        check_server(self.server)
        if self.proxy_url:
            check_url(self.proxy_url, PROXY_SCHEMES, "proxy_url")
        if self.insecure_skip_tls_verify and self.certificate_authority:
            raise ConfigurationError("certificate_authority and insecure_skip_tls_verify exclude each other")

    @classmethod
    def with_token(cls, server: str, token: str, *, certificate_authority: bytes = b"") -> ClientConfiguration:
        """Return a configuration that authenticates with a bearer token."""
        credentials = StaticCredentials(Credential(bearer(token)))
        return cls(server=server, certificate_authority=certificate_authority, credentials=credentials)


def check_server(url: str) -> None:
    """Check the address of an API server. Raises ConfigurationError."""
    check_url(url, ("http", "https"), "server")
    if "@" in urlsplit(url).netloc:
        raise ConfigurationError("server must not contain credentials")


def check_url(url: str, schemes: tuple[str, ...], what: str) -> None:
    """Check that a text is a URL of one of the schemes. Raises ConfigurationError, whose message does not repeat the text."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(
            f"{what} must be a URL such as {schemes[-1]}://host:port, with one of {', '.join(schemes)}"
        )
