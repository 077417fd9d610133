"""Which addresses the server connects to, by who has set the URL."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from kcp.outbound.addresses import AddressFilter, URLSource
from kcp.outbound.destinations import OPERATOR, TENANT, Destination
from kcp.outbound.errors import OutboundError
from kcp.outbound.owner import Outbound
from tests.support.https_server import HTTPSServer, json_answer
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "fe80::1",
        "fe80::1%eth0",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "100.100.100.200",
        "fd00:ec2::254",
        "/var/run/docker.sock",
        "",
    ],
)
def test_a_tenant_may_not_reach_the_servers_own_machine_or_network(address: str) -> None:
    assert TENANT.refuses(address)
    assert not OPERATOR.refuses(address)


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.168.1.1", "93.184.216.34", "2606:2800:220:1::1", "64:ff9b::102:304"]
)
def test_a_tenant_may_reach_other_addresses(address: str) -> None:
    assert not TENANT.refuses(address)


def test_further_networks_may_be_refused() -> None:
    private = AddressFilter(URLSource.TENANT, [ipaddress.ip_network("10.0.0.0/8")])
    assert private.refuses("10.1.2.3")
    assert private.refuses("::ffff:10.1.2.3")
    assert not private.refuses("11.1.2.3")


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_refused_in_each_of_its_ipv6_forms(address: ipaddress.IPv4Address) -> None:
    for form in (f"::ffff:{address}", str(ipaddress.IPv6Address((0x64FF9B << 96) | int(address)))):
        assert TENANT.refuses(form) == TENANT.refuses(str(address))


async def fine(_: web.BaseRequest) -> web.Response:
    return json_answer({})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_class_10_a_refused_address_is_not_connected_to(tmp_path: Path, outbound: Outbound, host: str) -> None:
    with HTTPSServer(tmp_path, fine) as server:
        destination = Destination(
            described="webhook of a tenant",
            url=server.url(host=host),
            certificate_authority=server.authority.certificate,
            addresses=TENANT,
        )
        with pytest.raises(OutboundError, match="the address is not allowed") as caught:
            await outbound.client(destination).request("GET", timeout=PATIENCE)
        assert not caught.value.retryable
        assert server.requests == []
        assert server.connections == set()


async def test_class_10_the_address_that_is_checked_is_the_one_that_is_connected_to(
    tmp_path: Path, outbound: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers with another address each time: the second answer is never used."""
    lookups = 0
    real = socket.getaddrinfo

    def rebinding(host: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal lookups
        if host not in ("rebinding.example", b"rebinding.example"):
            return real(host, *arguments, **named)
        lookups += 1
        return real("192.0.2.1" if lookups == 1 else "127.0.0.1", *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    connected: list[str] = []

    class Recording(AddressFilter):
        def refuses(self, text: str) -> bool:
            connected.append(text)
            return super().refuses(text)

    with HTTPSServer(tmp_path, fine) as server:
        destination = Destination(
            described="webhook of a tenant",
            url=server.url(host="rebinding.example"),
            certificate_authority=server.authority.certificate,
            addresses=Recording(URLSource.TENANT),
        )
        client = outbound.client(destination)
        for _ in range(2):
            with pytest.raises(OutboundError):
                await client.request("GET", timeout=0.2)
        assert server.connections == set()
    assert lookups == 1
    assert set(connected) == {"192.0.2.1"}
