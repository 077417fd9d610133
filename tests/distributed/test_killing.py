"""`kill -9` of a server and of etcd members under load: no acknowledged write is lost, and watchers see each event once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from devtools.etcd import EtcdCluster
from kcp.testing import Server
from tests.conftest import Report
from tests.distributed.conftest import StartServers
from tests.distributed.lost_writes import excused
from tests.support.clients import Address, Connection
from tests.support.objects import config_map
from tests.support.waiting import PATIENCE, eventually

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
WRITERS = 8
BROKEN = (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError)


@dataclass
class Writer:
    """A client with objects of its own: its acknowledged writes, and the one write of unknown outcome."""

    name: str
    steps: dict[str, int] = field(default_factory=dict)
    doubtful: dict[str, int] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    refused: int = 0
    longest_pause: float = 0.0

    async def run(self, addresses: list[Address], stop: asyncio.Event) -> None:
        """Write; use the next server when one fails."""
        turn = int(self.name.removeprefix("w"))
        while not stop.is_set():
            try:
                async with asyncio.timeout(PATIENCE), Connection(addresses[turn % len(addresses)]) as connection:
                    last = time.monotonic()
                    while not stop.is_set():
                        await self.change(connection)
                        self.longest_pause = max(self.longest_pause, time.monotonic() - last)
                        last = time.monotonic()
            except BROKEN:
                turn += 1
                await asyncio.sleep(0.05)

    async def change(self, connection: Connection) -> None:
        """Create the next object, or replace one of the latest."""
        number = self.acknowledged % 20
        name = f"{self.name}-{number}"
        step = max(self.steps.get(name, 0), self.doubtful.get(name, 0)) + 1
        self.doubtful[name] = step
        answer = await connection.request("PUT", f"{CONFIG_MAPS}/{name}", config_map(name, step=str(step)))
        if answer.status == 404:
            answer = await connection.request("POST", CONFIG_MAPS, config_map(name, step=str(step)))
        if answer.status in (200, 201):
            revision = int(answer.json["metadata"]["resourceVersion"])
            assert revision > self.revisions.get(name, 0), "a revision went back"
            self.revisions[name], self.steps[name] = revision, step
            self.acknowledged += 1
            del self.doubtful[name]
        else:
            assert answer.status in (409, 429, 500, 503, 504), answer.body
            self.refused += 1


async def watch(address: Address, since: str, seen: list[tuple[int, str, str, int]], stop: asyncio.Event) -> None:
    """Watch all ConfigMaps, resuming where the last watch ended."""
    while not stop.is_set():
        try:
            async with Connection(address) as connection:
                last = seen[-1][0] if seen else since
                await connection.send("GET", f"{CONFIG_MAPS}?watch=true&resourceVersion={last}")
                assert (await connection.head())[0] == 200
                async for line in connection.lines():
                    event = json.loads(line)
                    meta = event["object"]["metadata"]
                    step = int(event["object"]["data"]["step"])
                    seen.append((int(meta["resourceVersion"]), event["type"], meta["name"], step))
        except BROKEN:
            await asyncio.sleep(0.05)


class Writers(list[Writer]):
    """All clients of a test."""

    async def more_writes(self, count: int) -> None:
        """Wait for so many more acknowledged writes."""
        target = self.acknowledged + count
        await eventually(lambda: self.acknowledged >= target, f"{count} more writes are acknowledged")

    async def more_refusals(self) -> None:
        """Wait until a server refuses a write."""
        before = self.refused
        await eventually(lambda: self.refused > before, "a write is refused")

    @property
    def acknowledged(self) -> int:
        """The number of acknowledged writes."""
        return sum(writer.acknowledged for writer in self)

    @property
    def refused(self) -> int:
        """The number of refused writes."""
        return sum(writer.refused for writer in self)

    def __str__(self) -> str:
        doubtful = sum(len(writer.doubtful) for writer in self)
        pause = max(writer.longest_pause for writer in self)
        counts = f"{self.acknowledged} writes acknowledged, {self.refused} refused, {doubtful} in doubt"
        return f"{counts}, longest pause of a writer {pause:.1f} s"


async def under_load(
    servers: list[Server], watched: Server, inject: Callable[[Writers], Awaitable[None]], etcd: EtcdCluster
) -> Writers:
    """Write through all servers, inject a fault meanwhile, and check the result."""
    stop = asyncio.Event()
    addresses = [Address.of(server) for server in servers]
    writers = Writers(Writer(f"w{number}") for number in range(WRITERS))
    seen: list[tuple[int, str, str, int]] = []
    survivor = Address.of(watched)
    async with Connection(survivor) as connection:
        since = (await connection.request("GET", CONFIG_MAPS)).json["metadata"]["resourceVersion"]
    watching = asyncio.create_task(watch(survivor, since, seen, stop))
    writing = [asyncio.create_task(writer.run(addresses, stop)) for writer in writers]
    await writers.more_writes(100)
    await inject(writers)
    await writers.more_writes(200)
    stop.set()
    await asyncio.gather(*writing)
    async with Connection(survivor) as connection:
        listed = (await connection.request("GET", CONFIG_MAPS)).json
    newest = max(int(item["metadata"]["resourceVersion"]) for item in listed["items"])
    await eventually(lambda: seen and seen[-1][0] >= newest, f"the watch shows revision {newest}")
    watching.cancel()
    check(writers, {item["metadata"]["name"]: item for item in listed["items"]}, seen, etcd)
    return writers


def check(
    writers: list[Writer], found: dict[str, Any], seen: list[tuple[int, str, str, int]], etcd: EtcdCluster
) -> None:
    """Check that no acknowledged write is lost, and that the watcher saw every write once, in order."""
    revisions = [revision for revision, *_ in seen]
    assert revisions == sorted(set(revisions)), "events out of order or twice"
    by_name: dict[str, list[tuple[int, str, int]]] = {}
    for revision, kind, name, step in seen:
        by_name.setdefault(name, []).append((revision, kind, step))
    for writer in writers:
        for name, step in writer.steps.items():
            item = found[name]
            there = int(item["data"]["step"])
            allowed = {step, writer.doubtful.get(name, step)}
            assert there in allowed, (
                f"{name}: acknowledged step {step} at revision {writer.revisions[name]}, found {there} at "
                f"{item['metadata']['resourceVersion']}; watched {by_name.get(name)}\n{etcd.views(name)}"
            )
            events = by_name[name]
            assert [kind for _, kind, _ in events] == ["ADDED", *["MODIFIED"] * (len(events) - 1)]
            steps = [step for _, _, step in events]
            assert steps == sorted(set(steps)), f"{name}: a write was carried out twice: {steps}"
            assert (writer.revisions[name], step) in [(revision, step) for revision, _, step in events]
            assert events[-1][0] == int(item["metadata"]["resourceVersion"])


async def test_a_server_is_killed_under_load(start_servers: StartServers, etcd: EtcdCluster, measured: Report) -> None:
    first, second = start_servers(2)

    async def inject(_: Writers) -> None:
        os.kill(first.process_id, signal.SIGKILL)

    measured(f"server killed: {await under_load([first, second], second, inject, etcd)}")


async def test_etcd_members_are_killed_one_after_the_other_under_load(
    start_servers: StartServers, etcd: EtcdCluster, measured: Report
) -> None:
    servers = start_servers(2)

    async def inject(writers: Writers) -> None:
        for member in etcd.members:
            await asyncio.to_thread(member.kill)
            try:
                await writers.more_writes(100)
            finally:
                member.start()
            await writers.more_writes(100)

    with excused(etcd):
        measured(f"etcd members killed: {await under_load(servers, servers[1], inject, etcd)}")


async def test_all_etcd_members_are_killed_at_once_under_load(
    start_servers: StartServers, etcd: EtcdCluster, measured: Report
) -> None:
    servers = start_servers(2)

    async def inject(writers: Writers) -> None:
        for member in etcd.members:
            await asyncio.to_thread(member.kill)
        try:
            await writers.more_refusals()
        finally:
            for member in etcd.members:
                member.start()

    with excused(etcd):
        measured(f"all etcd members killed: {await under_load(servers, servers[0], inject, etcd)}")


async def test_an_etcd_member_is_paused_under_load(
    start_servers: StartServers, etcd: EtcdCluster, measured: Report
) -> None:
    """Its connections stay open and it does not respond: calls end by their deadlines."""
    servers = start_servers(2)

    async def inject(writers: Writers) -> None:
        for member in etcd.members[:2]:
            await asyncio.to_thread(member.signal, signal.SIGSTOP)
            await writers.more_writes(100)
            member.signal(signal.SIGCONT)
            await writers.more_writes(100)

    measured(f"etcd members paused: {await under_load(servers, servers[0], inject, etcd)}")
