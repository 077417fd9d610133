"""etcd whose database has reached its quota, and the operator's remedy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from tests.distributed.conftest import StartServers
from tests.documentation.test_operations import block, shell
from tests.faults.conftest import ROUNDS
from tests.faults.load import Load, under
from tests.faults.table import Record
from tests.support.clients import Address, Connection
from tests.support.objects import config_map

QUOTA = 24 << 20
FILLING = "/clusters/filling/api/v1/namespaces/default/configmaps"


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Three members with a small quota."""
    if binary() is None or binary("etcdctl") is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path, 3, ["--quota-backend-bytes", str(QUOTA)]) as running:
        yield running


async def fill(address: Address) -> None:
    """Write one large object again and again until the write is refused: its history uses the space."""
    async with Connection(address) as connection:
        await connection.request("POST", FILLING, config_map("large", cluster="filling"))
        for turn in range(200):
            large = config_map("large", cluster="filling", step=str(turn), filling="x" * 900_000)
            answer = await connection.request("PUT", f"{FILLING}/large", large)
            if answer.status != 200:
                assert answer.status == 503, answer
                return
    raise AssertionError("etcd is never full")


async def filled(load: Load, etcd: EtcdCluster, folder: Path) -> float:
    """Fill etcd under load and free space as on the page; return how long the servers' automatic recovery took."""
    await load.more_writes(100)
    responses, servers = load.responses, range(len(load.addresses))
    began = time.monotonic()
    await fill(load.addresses[0])

    def answered(kind: str, server: int, status: int, since: float) -> bool:
        return any(each.status == status for each in responses.answers(kind, since, time.monotonic(), server=server))

    await load.until("refusals", lambda: all(answered("write", server, 503, began) for server in servers))
    full = time.monotonic()
    await load.until("reads", lambda: all(answered("read", server, 200, full) for server in servers))
    await load.until("writes", lambda: all(responses.asked_since("write", full, server=server) for server in servers))
    assert [each for each in responses.asked_since("write", full) if each.status in (200, 201)] == []
    assert [each for each in responses.answers("read", began, time.monotonic()) if each.status != 200] == []
    assert [health.failures(began) for health in load.health] == [[] for _ in load.health], "clients may go on reading"
    settings = f"export ETCDCTL_API=3 ETCDCTL_ENDPOINTS={','.join(etcd.urls)}\n"
    said = await asyncio.to_thread(shell, settings + block("revision=$(etcdctl"), folder)
    assert "alarm:NOSPACE" in said
    return await load.recovery(time.monotonic())


async def test_etcd_is_full(start_servers: StartServers, etcd: EtcdCluster, record: Record, tmp_path: Path) -> None:
    """Writes are refused with the alarm's name, reads and watches go on, and nothing acknowledged is lost."""
    servers = start_servers(2)
    addresses = [Address.of(server) for server in servers]
    load, recoveries = await under(addresses, lambda load: filled(load, etcd, tmp_path), ROUNDS)
    record(load.line("etcd full", ROUNDS, recoveries, "reads continue; once space is free, no restart"))
    assert load.watches_stayed_open
    assert {(code, reason) for _, code, reason, _ in load.responses.refusals} == {(503, "ServiceUnavailable")}
    assert all("alarm NOSPACE" in message for *_, message in load.responses.refusals)
