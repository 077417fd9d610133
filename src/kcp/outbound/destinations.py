"""Destinations of requests: an address with the trust in it and the credentials for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kcp.outbound.addresses import AddressFilter, URLSource
from kcp.outbound.errors import DestinationError

if TYPE_CHECKING:
    from kcp.client.credentials.contract import Credentials

OPERATOR: Final = AddressFilter(URLSource.OPERATOR)
"""No address is refused: the operator of the server has set the URL."""
TENANT: Final = AddressFilter(URLSource.TENANT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A URL with trust, credentials and limits. Two destinations share nothing.

    ``described`` names the destination in messages, for example by the flag that names its kubeconfig.
    ``certificate_authority`` is PEM; empty means the system's authorities. ``proxy_url`` empty means the proxy of the
    environment; a destination whose addresses are filtered is reached without a proxy, which would choose the address.
    """

    described: str
    url: str = field(repr=False)
    certificate_authority: bytes = b""
    certificate_authority_file: Path | None = None
    """Where these certificates are, if they are read again from time to time."""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    proxy_url: str = field(default="", repr=False)
    credentials: Credentials | None = None
    addresses: AddressFilter = OPERATOR
    max_connections: int = 32
    max_body: int = 4 * 1024 * 1024
    """Maximum bytes of an answer, also after decompression."""

    @property
    def host(self) -> str:
        """Scheme, host and port, for messages: the rest of the URL may hold secrets."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def __str__(self) -> str:
        return f"{self.described}: {self.host}"


def from_kubeconfig(path: Path, described: str, context: str = "") -> Destination:
    """Return the destination that a kubeconfig's context (default: the current one) names. Raises DestinationError."""
    from kcp.client.configuration import Impersonation
    from kcp.client.errors import ConfigurationError
    from kcp.client.kubeconfig.resolving import load_configuration

    try:
        found = load_configuration(path, context=context)
    except ConfigurationError as error:
        raise DestinationError(f"{described}: {error}") from error
    if isinstance(found.impersonation, Impersonation):
        raise DestinationError(f"{described}: {path}: a webhook's user may not impersonate (as, as-groups, as-uid)")
    return Destination(
        described=described,
        url=found.server,
        certificate_authority=found.certificate_authority,
        certificate_authority_file=found.certificate_authority_file,
        tls_server_name=found.tls_server_name,
        insecure_skip_tls_verify=found.insecure_skip_tls_verify,
        proxy_url=found.proxy_url,
        credentials=found.credentials,
    )
