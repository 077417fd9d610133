"""Which addresses the server connects to.

An operator's URL may point anywhere. A tenant's URL may not reach what only the server's own machine or network serves: an
address is refused when the connection is about to be made to it, so a name that resolves differently the second time
does not help (the class of CVE-2020-8562).
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_METADATA_SERVICES: Final = tuple(
    ipaddress.ip_network(text) for text in ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32")
)
"""Metadata services of clouds outside of the link-local range: Alibaba, Azure, Oracle, AWS over IPv6."""
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses behind NAT64 (RFC 6052)."""


class URLSource(enum.Enum):
    """Who has set the URL of a destination, which decides what addresses it may have."""

    OPERATOR = "operator"
    TENANT = "tenant"


class AddressFilter:
    """Decides whether a connection to an address may be made."""

    def __init__(self, source: URLSource, refused: Iterable[Network] = ()) -> None:
        """``refused`` are networks that tenants may not reach, besides the built-in ones."""
        self._checks = source is URLSource.TENANT
        self._refused = (*_METADATA_SERVICES, *refused)

    @property
    def checks(self) -> bool:
        """Whether any address is refused."""
        return self._checks

    def refuses(self, text: str) -> bool:
        """Whether a connection to an address, as the socket layer names it, is refused."""
        if not self._checks:
            return False
        try:
            address = _embedded(ipaddress.ip_address(text.partition("%")[0]))
        except ValueError:
            return True  # not an internet address: a Unix socket, or a form that this filter does not understand
        if (
            address.is_loopback
            or address.is_link_local
            or address.is_multicast
            or address.is_unspecified
            or address.is_reserved
        ):
            return True
        return any(address.version == network.version and address in network for network in self._refused)


def _embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
