"""Kubernetes' IP address and CIDR libraries, with the strictness of Go's net/netip."""

import ipaddress
import re
from typing import Final

from kcp.cel import call_costs as cost
from kcp.cel.declarations import Row
from kcp.cel.errors import EvaluationError
from kcp.cel.values import Opaque

_ADDRESS = ipaddress.IPv4Address | ipaddress.IPv6Address
_PREFIX_LENGTH: Final = re.compile(r"(0|[1-9][0-9]{0,2})\Z")


class IP(Opaque):
    """An IP address."""

    __slots__ = ("address",)
    cel_type = "net.IP"

    def __init__(self, address: _ADDRESS) -> None:
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IP) and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)


class CIDR(Opaque):
    """An IP address with a prefix length; host bits may be set."""

    __slots__ = ("interface",)
    cel_type = "net.CIDR"

    def __init__(self, interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> None:
        self.interface = interface

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CIDR) and other.interface == self.interface

    def __hash__(self) -> int:
        return hash(self.interface)


def _address(text: str) -> _ADDRESS:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise EvaluationError(
            f'IP Address "{text}" parse error during conversion from string: ParseAddr("{text}"): unable to parse IP'
        ) from None
    if "%" in text:
        raise EvaluationError(f'IP address "{text}" with zone value is not allowed')
    if address.version == 6 and address.ipv4_mapped is not None:
        raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return address


def parse_cidr(text: str) -> CIDR:
    """Parse an address and prefix length such as ``10.0.0.0/8``. Raises EvaluationError."""
    address, slash, length = text.rpartition("/")
    failure = "network address parse error during conversion from string: "
    if not slash or "%" in text or not _PREFIX_LENGTH.match(length):
        raise EvaluationError(f"{failure}{failure}netip.ParsePrefix(\"{text}\"): no '/' or bad bits after slash")
    try:
        interface = ipaddress.ip_interface(f"{address}/{int(length)}")
    except ValueError:
        raise EvaluationError(f'{failure}{failure}netip.ParsePrefix("{text}"): unable to parse') from None
    if interface.version == 6 and interface.ip.ipv4_mapped is not None:
        raise EvaluationError(f'{failure}IPv4-mapped IPv6 address "{text}" is not allowed')
    return CIDR(interface)


def _ip(text: str) -> IP:
    return IP(_address(text))


def _is_ip(text: str) -> bool:
    try:
        _address(text)
    except EvaluationError:
        return False
    return True


def _is_canonical(text: str) -> bool:
    return str(_address(text)) == text


def _family(ip: IP) -> int:
    return ip.address.version


def _is_unspecified(ip: IP) -> bool:
    return ip.address.is_unspecified


def _is_loopback(ip: IP) -> bool:
    return ip.address.is_loopback


def _is_link_local_multicast(ip: IP) -> bool:
    # 224.0.0.0/24, and scope 2 of ff00::/8
    packed = ip.address.packed
    return packed[:3] == b"\xe0\x00\x00" if len(packed) == 4 else packed[0] == 0xFF and packed[1] & 0x0F == 2


def _is_link_local_unicast(ip: IP) -> bool:
    packed = ip.address.packed
    return packed[:2] == b"\xa9\xfe" if len(packed) == 4 else packed[0] == 0xFE and packed[1] & 0xC0 == 0x80


def _is_global_unicast(ip: IP) -> bool:
    """Go's IsGlobalUnicast: not multicast, loopback, link-local, broadcast or unspecified; private addresses count."""
    address = ip.address
    broadcast = address.version == 4 and address.packed == b"\xff\xff\xff\xff"
    return not (
        broadcast or address.is_unspecified or address.is_loopback or address.is_multicast or _is_link_local_unicast(ip)
    )


def _ip_to_string(ip: IP) -> str:
    return str(ip.address)


def _is_cidr(text: str) -> bool:
    try:
        parse_cidr(text)
    except EvaluationError:
        return False
    return True


def _contains_ip(cidr: CIDR, ip: IP) -> bool:
    return ip.address.version == cidr.interface.version and ip.address in cidr.interface.network


def _contains_ip_text(cidr: CIDR, text: str) -> bool:
    return _contains_ip(cidr, _ip(text))


def _contains_cidr(cidr: CIDR, other: CIDR) -> bool:
    if cidr.interface.version != other.interface.version:
        return False
    network = cidr.interface.network
    return network.prefixlen <= other.interface.network.prefixlen and other.interface.ip in network


def _contains_cidr_text(cidr: CIDR, text: str) -> bool:
    return _contains_cidr(cidr, parse_cidr(text))


def _cidr_ip(cidr: CIDR) -> IP:
    return IP(cidr.interface.ip)


def _prefix_length(cidr: CIDR) -> int:
    return cidr.interface.network.prefixlen


def _masked(cidr: CIDR) -> CIDR:
    return CIDR(ipaddress.ip_interface(str(cidr.interface.network)))


def _cidr_to_string(cidr: CIDR) -> str:
    return str(cidr.interface)


def _contained(*_arguments: object) -> int:
    return 4


ROWS: Final[list[Row]] = [
    ("string_to_ip", "ip(string): netIP", _ip, cost.text),
    ("ip_family", "netIP.family(): int", _family),
    ("ip_is_unspecified", "netIP.isUnspecified(): bool", _is_unspecified),
    ("ip_is_loopback", "netIP.isLoopback(): bool", _is_loopback),
    ("ip_is_link_local_multicast", "netIP.isLinkLocalMulticast(): bool", _is_link_local_multicast),
    ("ip_is_link_local_unicast", "netIP.isLinkLocalUnicast(): bool", _is_link_local_unicast),
    ("ip_is_global_unicast", "netIP.isGlobalUnicast(): bool", _is_global_unicast),
    ("is_ip", "isIP(string): bool", _is_ip, cost.text),
    ("ip_to_string", "string(netIP): string", _ip_to_string),
    ("string_to_cidr", "cidr(string): netCIDR", parse_cidr, cost.text),
    ("cidr_contains_ip_string", "netCIDR.containsIP(string): bool", _contains_ip_text, _contained),
    ("cidr_contains_ip_ip", "netCIDR.containsIP(netIP): bool", _contains_ip, _contained),
    ("cidr_contains_cidr_string", "netCIDR.containsCIDR(string): bool", _contains_cidr_text, _contained),
    ("cidr_contains_cidr", "netCIDR.containsCIDR(netCIDR): bool", _contains_cidr, _contained),
    ("cidr_ip", "netCIDR.ip(): netIP", _cidr_ip),
    ("cidr_prefix_length", "netCIDR.prefixLength(): int", _prefix_length),
    ("cidr_masked", "netCIDR.masked(): netCIDR", _masked),
    ("is_cidr", "isCIDR(string): bool", _is_cidr, cost.text),
    ("cidr_to_string", "string(netCIDR): string", _cidr_to_string),
]
NAMESPACED: Final[list[Row]] = [("ip_is_canonical", "ip.isCanonical(string): bool", _is_canonical, cost.text_twice)]
