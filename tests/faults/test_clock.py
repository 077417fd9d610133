"""Wall clocks that are set to another day while servers run."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import time
from functools import partial
from pathlib import Path

from devtools.etcd import EtcdCluster
from kcp.testing import Server
from tests.distributed.test_leading import leads
from tests.faults.conftest import ROUNDS
from tests.faults.disk import FaultyServer
from tests.faults.load import Load
from tests.faults.shim import Shim
from tests.faults.table import Record
from tests.support.clients import Address, Connection
from tests.support.waiting import PATIENCE, eventually

DAY = 24 * 3600
EVENTS = "/api/v1/namespaces/default/events"
LIFETIME = 7
"""Of Events, in seconds; what has outlived it is deleted every five seconds."""
SWEPT = 5.5


def with_certificate(server: Server) -> Address:
    """The administrator with a client certificate instead of a token."""
    address = Address.of(server)
    folder = server.certificate_authority.parent
    address.trust.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    return Address(address.host, address.port, "", address.trust)


async def who(address: Address) -> str:
    """Return the user as whom the server authenticates the client."""
    async with Connection(address) as connection:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        answer = await connection.request("POST", path, review, Authorization="")
        assert answer.status == 201, answer.body
        return str(answer.json["status"]["userInfo"]["username"])


class Occurrences:
    """Events (the API objects): create and look them up."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def make(self, name: str) -> dt.datetime:
        """Create an Event; return the server's current time."""
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name},
            "involvedObject": {"kind": "Namespace", "name": "default", "namespace": "default"},
        }
        answer = await self._connection.request("POST", EVENTS, body)
        assert answer.status == 201, answer.body
        return dt.datetime.fromisoformat(answer.json["metadata"]["creationTimestamp"])

    async def there(self, name: str) -> bool:
        """Whether an Event exists."""
        return (await self._connection.request("GET", f"{EVENTS}/{name}")).status == 200

    async def gone(self, name: str) -> bool:
        """Whether an Event has expired."""
        return not await self.there(name)


async def watch_for(address: Address, seconds: int) -> float:
    """Return how long a watch lasts that requests a timeout of some seconds."""
    async with Connection(address) as connection:
        began = time.monotonic()
        answer = await connection.request("GET", f"{EVENTS}?watch=true&timeoutSeconds={seconds}")
        assert answer.status == 200
        return time.monotonic() - began


def days_ahead(shown: dt.datetime) -> int:
    """Return by how many days a server's clock is ahead of ours."""
    return round((shown - dt.datetime.now(dt.UTC)) / dt.timedelta(days=1))


async def test_the_clock_is_set_ahead_and_back(shim: Shim, tmp_path: Path, record: Record) -> None:
    """Lifetimes, timeouts of watches, retained history and certificates go by elapsed time, not by the wall clock."""

    async def jumps(address: Address, certified: Address, load: Load, turn: int) -> list[float]:
        async with Connection(address) as connection:
            events = Occurrences(connection)
            made = time.monotonic()
            assert days_ahead(await events.make(f"before-{turn}")) == 0
            watching = asyncio.create_task(watch_for(address, 6))
            shim.set(clock_offset=DAY)
            jumped = time.monotonic()
            assert days_ahead(await events.make(f"ahead-{turn}")) == 1
            recoveries = [await load.recovery(jumped)]
            assert await who(certified) == "admin"
            await load.until("a sweep", lambda: time.monotonic() - jumped > SWEPT)
            there = await events.there(f"before-{turn}")
            assert there or time.monotonic() - made >= LIFETIME, "an Event expires early when the clock jumps"
            async with asyncio.timeout(PATIENCE):
                assert await watching > 5
            shim.set(clock_offset=-DAY)
            jumped = time.monotonic()
            assert days_ahead(await events.make(f"back-{turn}")) == -1
            recoveries.append(await load.recovery(jumped))
            assert await who(certified) == "admin"
            await eventually(partial(events.gone, f"back-{turn}"), "an Event expires when the clock is set back")
            assert time.monotonic() - jumped > LIFETIME - 1
            shim.set(clock_offset=0)
            return recoveries

    with FaultyServer(tmp_path, shim.prefix, arguments=["--event-ttl", f"{LIFETIME}s"]) as server:
        address, certified = Address.of(server), with_certificate(server)
        load = Load([address], writers=4)
        async with load.running():
            await load.more_writes(100)
            oldest = load.observers[0][1].last
            found = [await jumps(address, certified, load, turn) for turn in range(ROUNDS)]
            recoveries = list(itertools.chain(*found))
            async with Connection(address) as connection:
                path = f"/api/v1/configmaps?watch=true&timeoutSeconds=1&resourceVersion={oldest}"
                resumed = await connection.request("GET", path)
                assert b'"ERROR"' not in resumed.body, "history that is not old was thrown away"
    record(load.line("clock set by a day, ahead and back", 2 * ROUNDS, recoveries, "lifetimes, certificates, watches"))
    assert load.watches_stayed_open
    assert not load.responses.refusals


async def test_clocks_of_two_servers_differ_by_two_days(tmp_path: Path, etcd: EtcdCluster, record: Record) -> None:
    """The leader keeps leading, and both servers serve."""
    arguments = ["--etcd-servers", ",".join(etcd.urls), "--v", "1"]
    servers, shims = [], []
    for name in ("ahead", "back"):
        folder = tmp_path / name
        folder.mkdir()
        shims.append(Shim(folder))
        servers.append(FaultyServer(folder, shims[-1].prefix, arguments=arguments))

    def leases_lost() -> int:
        return sum((server.root_directory / "server.log").read_text().count("no longer leads") for server in servers)

    async def jump_and_keep_leading(load: Load) -> float:
        """A leader on a busy machine may renew its lease too late; that it does so with every jump is no chance."""
        for _ in range(5):
            before = leases_lost()
            recovery = await jump(load)
            if leases_lost() == before:
                return recovery
        raise AssertionError("a leader whose clock jumps loses its lease")

    async def jump(load: Load) -> float:
        for offset in (DAY, 0):
            shims[0].set(clock_offset=offset)
            shims[1].set(clock_offset=-offset)
            jumped = time.monotonic()
            recovery = await load.recovery(jumped)
            await load.more_writes(100)
        return recovery

    with servers[0], servers[1]:
        load = Load([Address.of(server) for server in servers])
        async with load.running():
            await load.until("a leader", lambda: any(map(leads, servers)))
            recoveries = [await jump_and_keep_leading(load) for _ in range(ROUNDS)]
    record(
        load.line("the clocks of two servers differ by two days", 4 * ROUNDS, recoveries, "the leader keeps leading")
    )
    assert not load.responses.refusals
