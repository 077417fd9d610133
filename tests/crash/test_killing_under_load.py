"""`kill -9` under load: every acknowledged write is there afterwards, and nothing else has changed.

The default run kills a few times. `KCP_CRASH_ROUNDS=200` makes a soak of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from kcp.testing import Server
from tests.conftest import Report
from tests.crash.ledger import Key, Ledger, Observer, State, key_of, state_of
from tests.support.clients import Address, Connection
from tests.support.objects import DEFINITIONS, config_map, definition
from tests.support.waiting import eventually

ROUNDS = int(os.environ.get("KCP_CRASH_ROUNDS", "5"))
CLUSTERS = ("alpha", "beta", "gamma-1", "root")
COLLECTIONS = {
    "configmaps": "/api/v1/namespaces/default/configmaps",
    "widgets": "/apis/example.com/v1/namespaces/default/widgets",
}
ACROSS = {"configmaps": "/clusters/*/api/v1/configmaps", "widgets": "/clusters/*/apis/example.com/v1/widgets"}
WRITERS = 12
OBJECTS_OF_A_WRITER = 6
BROKEN = (OSError, EOFError)


class Writer:
    """A client with objects of its own that writes without pause until the connection breaks."""

    def __init__(self, number: int, ledger: Ledger, seed: int) -> None:
        self.number = number
        self.ledger = ledger
        self.random = random.Random(seed)
        self.steps = 0

    async def run(self, address: Address) -> None:
        try:
            async with Connection(address) as connection:
                while True:
                    await self._write(connection)
        except BROKEN:
            return

    def _any_key(self) -> Key:
        pick = self.random
        resource = pick.choice(tuple(COLLECTIONS))
        return Key(resource, pick.choice(CLUSTERS), f"w{self.number}-{pick.randrange(OBJECTS_OF_A_WRITER)}")

    async def _write(self, connection: Connection) -> None:
        key = self._any_key()
        self.steps += 1
        step = f"{self.number}.{self.steps}"
        state = self.ledger.states.setdefault(key, None)
        collection = f"/clusters/{key.cluster}{COLLECTIONS[key.resource]}"
        path = f"{collection}/{key.name}"
        body = self._object(key, step)
        if state is None:
            self.ledger.doubtful[key] = step
            answer = await connection.request("POST", collection, body)
        elif self.random.random() < 0.2:
            self.ledger.doubtful[key] = None
            answer = await connection.request("DELETE", path)
        elif self.random.random() < 0.5:
            self.ledger.doubtful[key] = step
            part = {field: value for field, value in body.items() if field in ("data", "spec")}
            answer = await connection.request("PATCH", path, part, media_type="application/merge-patch+json")
        else:
            self.ledger.doubtful[key] = step
            body["metadata"]["resourceVersion"] = str(state.revision)
            answer = await connection.request("PUT", path, body)
        assert answer.status in (200, 201), (key, answer)
        self.ledger.acknowledge(key, state_of(answer.json) if self.ledger.doubtful[key] else None)

    @staticmethod
    def _object(key: Key, step: str) -> dict[str, Any]:
        if key.resource == "configmaps":
            return config_map(key.name, step=step, filling="x" * 500)
        metadata = {"name": key.name}
        return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": {"step": step}}


async def observe(observer: Observer, address: Address) -> None:
    """Watch from the observer's last revision until the connection breaks or the load ends."""
    path = f"{ACROSS[observer.resource]}?watch=true&allowWatchBookmarks=true&resourceVersion={observer.last}"
    try:
        async with Connection(address) as connection:
            await connection.send("GET", path)
            status, headers = await connection.head()
            assert status == 200, headers
            observer.connections += 1
            async for line in connection.lines():
                observer.take(json.loads(line))
    except BROKEN:
        return


async def load(server: Server, ledger: Ledger, observers: list[Observer], writes: int, seed: int) -> None:
    """Write and watch, and kill the server when so many more writes are acknowledged and every watch is open."""
    address = Address.of(server)
    writers = [Writer(number, ledger, seed * 1000 + number) for number in range(WRITERS)]
    work = [asyncio.create_task(writer.run(address)) for writer in writers]
    work += [asyncio.create_task(observe(observer, address)) for observer in observers]
    target, connected = ledger.acknowledged + writes, [observer.connections for observer in observers]

    def is_time() -> bool:
        watched = all(observer.connections > before for observer, before in zip(observers, connected, strict=True))
        return (watched and ledger.acknowledged >= target) or any(task.done() for task in work)

    await eventually(is_time, f"{writes} writes and the start of every watch")
    os.kill(server.process_id, signal.SIGKILL)
    await asyncio.gather(*work)
    assert ledger.acknowledged >= target, "a connection broke before the server was killed"


async def found_now(connection: Connection, clusters: Container[str] | None = None) -> tuple[dict[Key, State], int]:
    """Return all objects by key, or those of some logical clusters, and the newest revision of the lists."""
    found: dict[Key, State] = {}
    revision = 0
    for resource, path in ACROSS.items():
        answer = await connection.request("GET", path)
        assert answer.status == 200, answer
        keys = ((key_of(resource, item), item) for item in answer.json["items"])
        found |= {key: state_of(item) for key, item in keys if clusters is None or key.cluster in clusters}
        revision = max(revision, int(answer.json["metadata"]["resourceVersion"]))
    return found, revision


async def check(server: Server, ledger: Ledger) -> None:
    """Compare the server with the ledger, through every kind of read."""
    async with Connection(Address.of(server)) as connection:
        found, revision = await found_now(connection)
        assert ledger.compare(found) == []
        assert revision >= ledger.revision
        for key, state in random.Random(revision).sample(sorted(found.items()), min(20, len(found))):
            path = f"/clusters/{key.cluster}{COLLECTIONS[key.resource]}/{key.name}"
            assert state_of((await connection.request("GET", path)).json) == state
        fresh = f"fresh-{revision}"
        answer = await connection.request(
            "POST", f"/clusters/other{COLLECTIONS['configmaps']}", config_map(fresh, step="0")
        )
        assert answer.status == 201
        key = Key("configmaps", "other", fresh)
        assert state_of(answer.json).revision > revision
        ledger.acknowledge(key, state_of(answer.json))


def _has_caught_up(observer: Observer, expected: dict[Key, State], watch: asyncio.Task[None]) -> bool:
    assert not watch.done() or watch.exception() is None
    return observer.states == expected


async def catch_up(server: Server, ledger: Ledger, observers: list[Observer]) -> None:
    """Let the observers resume once more, and compare their events with the ledger and with the lists."""
    address = Address.of(server)
    async with Connection(address) as connection:
        found, _ = await found_now(connection)
    for observer in observers:
        task = asyncio.create_task(observe(observer, address))
        newest = max((state.revision for key, state in found.items() if key.resource == observer.resource), default=0)
        expected = {key: state for key, state in found.items() if key.resource == observer.resource}
        await eventually(
            partial(_has_caught_up, observer, expected, task),
            f"the watch of {observer.resource} shows what the list shows",
        )
        task.cancel()
        await asyncio.wait((task,))
        assert observer.last >= newest
        assert observer.problems == []
        assert observer.missed(ledger) == []


async def identity(server: Server) -> tuple[object, bytes, object]:
    """Return what clients have stored of a server: users, CA, and the UIDs of the initial objects."""
    config = yaml.safe_load(server.kubeconfig.read_text())
    async with Connection(Address.of(server)) as connection:
        uid = (await connection.request("GET", "/api/v1/namespaces/default")).json["metadata"]["uid"]
    return config["users"], server.certificate_authority.read_bytes(), uid


def kill_while_starting(server: Server, seconds: float) -> None:
    """Kill a server during its start."""
    process = subprocess.Popen(server.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def prepare(address: Address) -> int:
    """Define the custom resources in every logical cluster; return the revision from which to watch."""
    async with Connection(address) as connection:
        for cluster in CLUSTERS:
            made = await connection.request(
                "POST", f"/clusters/{cluster}{DEFINITIONS}", definition("widgets", "Widget")
            )
            assert made.status == 201, made
        return (await found_now(connection))[1]


@pytest.mark.timeout(600 + 10 * ROUNDS)
async def test_nothing_acknowledged_is_lost_and_watchers_see_each_change_once(tmp_path: Path, measured: Report) -> None:
    ledger = Ledger()
    pick = random.Random(7)
    with Server(root_directory=tmp_path, in_process=False) as server:
        first = await prepare(Address.of(server))
        observers = [Observer(resource, first) for resource in COLLECTIONS]
        before = await identity(server)
        for number in range(ROUNDS):
            await load(server, ledger, observers, pick.randint(100, 1000), number)
            server.stop()
            kill_while_starting(server, pick.uniform(0.1, 0.8))
            server.start()
            assert await identity(server) == before
            await check(server, ledger)
        await catch_up(server, ledger, observers)
    measured(f"crash: {ROUNDS} kills, {ledger.acknowledged} acknowledged writes, none lost")


async def refusal(server: Server, since: str) -> str:
    """Write until a watch from a revision is refused because it is compacted; return the message."""
    path = COLLECTIONS["configmaps"]
    change = {"data": {"step": since}}
    async with Connection(Address.of(server)) as connection:

        async def answered() -> str:
            await connection.request("PATCH", f"{path}/a", change, media_type="application/merge-patch+json")
            answer = await connection.request(
                "GET", f"/api/v1/configmaps?watch=true&timeoutSeconds=1&resourceVersion={since}"
            )
            assert answer.status == 200, answer
            if not answer.body:  # the watch's time was over before an event was there
                return ""
            first = json.loads(answer.body.splitlines()[0])
            if first["type"] != "ERROR":
                return ""
            assert (first["object"]["code"], first["object"]["reason"]) == (410, "Expired")
            return str(first["object"]["message"])

        return await eventually(answered, f"revision {since} is compacted")


async def test_a_watch_from_a_compacted_revision_is_410_after_a_kill_too(tmp_path: Path) -> None:
    with Server(root_directory=tmp_path, in_process=False, arguments=("--history-retention", "1s")) as server:
        async with Connection(Address.of(server)) as connection:
            answer = await connection.request("POST", COLLECTIONS["configmaps"], config_map("a", step="0"))
        since = str(answer.json["metadata"]["resourceVersion"])
        message = await refusal(server, since)
        os.kill(server.process_id, signal.SIGKILL)
        server.stop()
        server.start()
        assert (await refusal(server, since)).partition("(")[0] == message.partition("(")[0]
