"""The address at which syncers in Kubernetes clusters reach the kcp server: a warning where it cannot work."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import click


def warn_of_loopback(server: str) -> None:
    """Warn on standard error if a server's address means the host of whoever uses it: in a Pod, that is the Pod."""
    if is_loopback(urlsplit(server).hostname or ""):
        click.echo(
            f"kcp: warning: syncers in clusters are told to reach kcp at {server}, which is their own Pod: set "
            "--syncer-server-url (and let the certificate have this name: kcp start --external-hostname or --tls-san)",
            err=True,
        )


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is that of the loopback interface."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
