"""Proxies: that of the configuration, else that of the environment by Go's rules (``net/http.ProxyFromEnvironment``)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from kcp.client.configuration import PROXY_SCHEMES, check_url
from kcp.client.errors import ConfigurationError


def proxy_of(server: str, proxy_url: str, environment: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for a server. Raises ConfigurationError for a variable that is not a URL."""
    if proxy_url:
        return proxy_url
    parts = urlsplit(server)
    name = f"{parts.scheme.upper()}_PROXY"
    found = environment.get(name) or environment.get(name.lower())
    host = parts.hostname or ""
    if (
        not found
        or _is_local(host)
        or _excluded(host, environment.get("NO_PROXY") or environment.get("no_proxy") or "")
    ):
        return None
    url = found if "://" in found else f"http://{found}"
    try:
        check_url(url, PROXY_SCHEMES, name)
    except ConfigurationError as error:
        raise ConfigurationError(f"environment: {error}") from error
    return url


def _is_local(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _excluded(host: str, listed: str) -> bool:
    return any(_matches(host, entry.strip().lower()) for entry in listed.split(",") if entry.strip())


def _matches(host: str, entry: str) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    if entry.startswith((".", "*.")):
        return host.endswith(entry.lstrip("*"))
    return host == entry or host.endswith(f".{entry}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
