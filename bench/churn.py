"""The soak's clients: logical clusters are created and deleted, objects change, watches end and are opened again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import yaml

from bench.client import Connection, Peer

DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CONFIG_MAPS: Final = "/api/v1/namespaces/default/configmaps"
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
WIDGETS: Final = "/apis/example.com/v1/namespaces/default/widgets"
STEADY: Final = "steady"
_STEADY_OBJECTS: Final = 500
_TENANTS: Final = 8
_WATCHERS: Final = 24
_CHANGES_OF_A_TENANT: Final = 60
_OBJECTS_OF_A_TENANT: Final = 8
_EXPECTED: Final = (200, 201)


class Churn:
    """Clients that together send ``rate`` requests a second until they are cancelled."""

    def __init__(self, peer: Peer, rate: float) -> None:
        self._peer = peer
        self._pause = _TENANTS / rate
        self._dice = random.Random(1)
        self._definition = yaml.safe_load(Path(__file__).with_name("widgets.yaml").read_text())
        self._tenants: list[str] = []
        self.requests = 0
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []

    async def prepare(self, clusters: int) -> None:
        """Create the permanent objects, after creating and deleting enough logical clusters to fill every cache of names.

        The server remembers some thousand names, definitions and paths: a soak that reaches those bounds in the midst of
        its time would take their filling for a leak.
        """
        names = [f"filling-{number}" for number in range(clusters)]

        async def fill() -> None:
            async with Connection(self._peer) as connection:
                while names:
                    await self._pass_through(connection, names.pop())

        await asyncio.gather(*(fill() for _ in range(_TENANTS)))
        async with Connection(self._peer) as connection:
            for number in range(_STEADY_OBJECTS):
                await self._send(connection, "POST", STEADY, CONFIG_MAPS, _config_map(f"s{number}", 0))
            for number in range(_TENANTS):
                body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": f"l{number}"}}
                await self._send(connection, "POST", STEADY, LEASES, body)

    async def run(self) -> None:
        """Run all clients until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(_TENANTS):
                group.create_task(self._tenancies(number))
            for number in range(_WATCHERS):
                group.create_task(self._watch(number))

    def summary(self) -> str:
        """Describe in one line what the clients did."""
        return f"{self.requests} requests: " + ", ".join(f"{count} {what}" for what, count in self.done.most_common())

    async def _send(
        self, connection: Connection, method: str, cluster: str, path: str, body: Any = None, what: str = ""
    ) -> bytes:
        media_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
        status, answer = await connection.request(method, f"/clusters/{cluster}{path}", body, media_type=media_type)
        self.requests += 1
        self.done[what or method] += 1
        if status not in _EXPECTED:
            self.problems.append(f"{method} {cluster}{path} gave {status}: {answer[:200]!r}")
        return answer

    async def _pass_through(self, connection: Connection, name: str) -> None:
        await self._send(connection, "POST", name, DEFINITIONS, self._definition, "definitions created")
        for collection, obj in ((CONFIG_MAPS, _config_map("o", 0)), (WIDGETS, _widget("o", 0))):
            await self._send(connection, "POST", name, collection, obj)
            await self._send(connection, "DELETE", name, f"{collection}/o")
        await self._send(connection, "DELETE", name, f"{DEFINITIONS}/{self._definition['metadata']['name']}")
        self.done["logical clusters"] += 1

    async def _tenancies(self, number: int) -> None:
        """Create, use and delete one logical cluster after another; no name is used twice."""
        async with Connection(self._peer) as connection:
            turn = 0
            while True:
                name = f"tenant-{number}-{turn}"
                self._tenants.append(name)
                await self._tenancy(connection, name, number, with_definition=turn % 4 == 0)
                self._tenants.remove(name)
                self.done["logical clusters"] += 1
                turn += 1

    async def _tenancy(self, connection: Connection, name: str, number: int, *, with_definition: bool) -> None:
        collection = CONFIG_MAPS
        if with_definition:
            await self._send(connection, "POST", name, DEFINITIONS, self._definition, "definitions created")
            collection = WIDGETS
        there: list[str] = []
        next_time = time.monotonic()
        for step in range(_CHANGES_OF_A_TENANT):
            await self._step(connection, name, collection, there, step)
            if step % 10 == 0:
                body = {"spec": {"holderIdentity": f"{name}-{step}"}}
                await self._send(connection, "PATCH", STEADY, f"{LEASES}/l{number}", body)
                hot = f"{CONFIG_MAPS}/s{self._dice.randrange(_STEADY_OBJECTS)}"
                await self._send(connection, "PATCH", STEADY, hot, {"data": {"step": name}})
            next_time = max(next_time + self._pause, time.monotonic() - self._pause)
            await asyncio.sleep(max(0.0, next_time - time.monotonic()))
        for obj in there:
            await self._send(connection, "DELETE", name, f"{collection}/{obj}")
        if with_definition:
            await self._send(connection, "DELETE", name, f"{DEFINITIONS}/{self._definition['metadata']['name']}")

    async def _step(self, connection: Connection, cluster: str, collection: str, there: list[str], step: int) -> None:
        dice = self._dice.random()
        if not there or (dice < 0.3 and len(there) < _OBJECTS_OF_A_TENANT):
            there.append(f"o{step}")
            make = _widget if collection == WIDGETS else _config_map
            await self._send(connection, "POST", cluster, collection, make(there[-1], step))
        elif dice < 0.45:
            await self._send(connection, "DELETE", cluster, f"{collection}/{there.pop(0)}")
        elif dice < 0.7:
            change = {"spec": {"size": step}} if collection == WIDGETS else {"data": {"step": str(step)}}
            await self._send(connection, "PATCH", cluster, f"{collection}/{self._dice.choice(there)}", change)
        elif dice < 0.8:
            path = f"{collection}/{self._dice.choice(there)}"
            obj = json.loads(await self._send(connection, "GET", cluster, path))
            obj["metadata"].setdefault("labels", {})["step"] = str(step)
            await self._send(connection, "PUT", cluster, path, obj)
        elif dice < 0.9:
            await self._send(connection, "GET", cluster, collection, what="lists")
        elif dice < 0.95:
            await self._send(connection, "GET", STEADY, CONFIG_MAPS + "?limit=100", what="lists")
        else:
            await self._send(connection, "GET", cluster, "/apis", what="discovery")

    async def _watch(self, number: int) -> None:
        """List, watch for some seconds, and repeat; every other time the client disconnects during the watch."""
        turn = 0
        while True:
            turn += 1
            cluster = "*" if number % 3 == 0 else STEADY if number % 3 == 1 or not self._tenants else self._tenants[-1]
            path = "/api/v1/configmaps" if cluster == "*" else CONFIG_MAPS
            async with Connection(self._peer) as connection:
                listed = json.loads(await self._send(connection, "GET", cluster, path + "?limit=1", what="lists"))
                query = f"?watch=1&resourceVersion={listed['metadata']['resourceVersion']}&allowWatchBookmarks=true"
                seconds = 1 + self._dice.randrange(10)
                query += f"&timeoutSeconds={seconds}"
                connection.writer.write(self._peer.head("GET", f"/clusters/{cluster}{path}{query}"))
                head = await connection.reader.readuntil(b"\r\n\r\n")
                if b" 200 " not in head.split(b"\r\n")[0]:
                    self.problems.append(f"a watch gave {head[:100]!r}")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds / 2 if turn % 2 else None):
                        while size := int((await connection.reader.readline()).strip() or b"0", 16):
                            piece = await connection.reader.readexactly(size + 2)
                            self.done["watch events"] += piece.count(b'"type":')
                            if b'"type":"ERROR"' in piece:
                                self.problems.append(f"a watch ended with {piece[:300]!r}")
                connection.writer.transport.abort()
            self.done["watches"] += 1


def _config_map(name: str, step: int) -> dict[str, Any]:
    data = {"step": str(step), "filling": "x" * 500}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _widget(name: str, step: int) -> dict[str, Any]:
    spec = {"size": step, "note": "x" * 500}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}
