"""Networks that drop packets silently in both directions, or in one."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from tests.distributed.test_leading import leads
from tests.faults.conftest import ROUNDS
from tests.faults.disk import FaultyServer
from tests.faults.load import Load, under
from tests.faults.network import Host
from tests.faults.table import Record
from tests.support.clients import Address


class Site(NamedTuple):
    """Servers on hosts of their own, and etcd's ports."""

    hosts: list[Host]
    servers: list[FaultyServer]
    ports: list[int]


@contextlib.contextmanager
def sites(folder: Path, count: int) -> Iterator[Site]:
    """Some servers over three etcd members, each server on a host of its own."""
    if binary() is None:
        pytest.skip(MISSING)
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(Host(number)) for number in range(count)]
        etcd = stack.enter_context(EtcdCluster(folder, 3, listen="0.0.0.0"))
        ports = [urlsplit(url).port or 0 for url in etcd.urls]
        servers = []
        for number, host in enumerate(hosts):
            root = folder / f"server{number}"
            root.mkdir()
            urls = ",".join(f"http://{host.outside}:{port}" for port in ports)
            arguments = ["--etcd-servers", urls, "--v", "1", "--bind-address", host.address]
            servers.append(stack.enter_context(FaultyServer(root, host.prefix, arguments=arguments)))
        yield Site(hosts, servers, ports)


async def cut_off(load: Load, site: Site) -> float:
    """Two servers lose etcd, one of them only etcd's responses; the third continues. Returns how long the recovery took."""
    responses = load.responses
    await load.more_writes(100)
    began = time.monotonic()
    site.hosts[0].drop(site.ports)
    site.hosts[1].drop(site.ports, requests=False)

    def refused(kind: str, server: int) -> bool:
        return any(each.status == 503 for each in responses.answers(kind, began, time.monotonic(), server=server))

    def third_writes() -> bool:
        return any(
            each.status in (200, 201) for each in responses.answers("write", began + 1, time.monotonic(), server=2)
        )

    await load.until("not ready", lambda: [health.now for health in load.health] == [500, 500, 200])
    await load.until("refusals", lambda: all(refused(kind, each) for kind in ("read", "write") for each in (0, 1)))
    await load.until("the third writes", third_writes)
    await load.until("the third leads", lambda: leads(site.servers[2]))
    mended = time.monotonic()
    for host in site.hosts[:2]:
        host.mend()
    recovery = await load.recovery(mended)
    assert load.health[2].failures() == []
    return recovery


async def test_servers_are_cut_off_from_etcd(tmp_path: Path, record: Record) -> None:
    with sites(tmp_path, 3) as site:
        addresses = [Address.of(server) for server in site.servers]
        load, recoveries = await under(addresses, lambda load: cut_off(load, site), ROUNDS)
    record(
        load.line("server cut off from etcd, both ways and one way", 2 * ROUNDS, recoveries, "other servers continue")
    )
    assert load.watches_stayed_open
    assert {(code, reason) for _, code, reason, _ in load.responses.refusals} == {(503, "ServiceUnavailable")}


async def lose_one(load: Load, site: Site) -> float:
    """Cut the server off from its member: it moves on to another one. Returns how long it was stalled."""

    def connected() -> set[int]:
        return site.hosts[0].connected_to(site.servers[0].process_id, site.ports)

    await load.more_writes(100)
    lost = sorted(connected())[:2]
    assert lost
    began = time.monotonic()
    site.hosts[0].drop(lost, requests=False)
    await load.until("other connections", lambda: connected() - set(lost) != set())
    await load.more_writes(100)
    stood_still = longest_silence(load, began)
    site.hosts[0].mend()
    await load.recovery(time.monotonic())
    return stood_still


def longest_silence(load: Load, since: float) -> float:
    """The longest time without an acknowledged write."""
    moments = [each.moment for each in load.responses.answered if each.kind == "write" and each.status in (200, 201)]
    moments = [since, *(moment for moment in moments if moment > since)]
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


async def test_a_black_hole_before_one_etcd_member(tmp_path: Path, record: Record) -> None:
    with sites(tmp_path, 1) as site:
        addresses = [Address.of(server) for server in site.servers]
        load, recoveries = await under(addresses, lambda load: lose_one(load, site), ROUNDS)
    record(load.line("an etcd member stops responding", ROUNDS, recoveries, "the server uses another member"))
    assert load.watches_stayed_open
