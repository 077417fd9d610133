"""Clients that record their requests, the responses, and the times of both.

`Recorder` runs them over HTTP against one server or several. Afterwards it writes a fence into every range, so that it knows
what every watch is still to deliver, and replays the log from one of the servers: see `settle`.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import time
import uuid
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from kcp.testing import Server
from tests.histories import model
from tests.support.clients import Address, Answer, Connection
from tests.support.waiting import PATIENCE, eventually

BROKEN: Final = (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
RESOURCES: Final = ("configmaps", "secrets")
NAMESPACES: Final = ("default", "kube-public")
COLOURS: Final = ("red", "blue")
_IN_EVERY_NAMESPACE: Final = "kube-root-ca.crt"
_KINDS: Final = {"configmaps": "ConfigMap", "secrets": "Secret"}
_STEP: Final = "histories/step"
_KEPT: Final = "histories/kept"
_CLUSTER: Final = "kcp.io/cluster"
_REQUEST_SECONDS: Final = 10.0
_OLDEST: Final = re.compile(r"\((\d+)\)")
_METHODS: Final = {
    model.Verb.CREATE: "POST",
    model.Verb.UPDATE: "PUT",
    model.Verb.PATCH: "PATCH",
    model.Verb.DELETE: "DELETE",
}
_NUMBERED_REASONS: Final = (404, 409)

Place = Callable[[], Address]
"""Where a server is now: asked before each connection, since a server that is started again may have another port."""


def path_of(selection: model.Selection, **query: str | int) -> str:
    """Return the path that reads or watches a selection."""
    path = f"/clusters/{selection.cluster or '*'}/api/v1"
    if selection.namespace is not None:
        path += f"/namespaces/{selection.namespace}"
    path += f"/{selection.resource}"
    if selection.name is not None:
        path += f"/{selection.name}"
    if selection.colour is not None:
        query["labelSelector"] = f"colour={selection.colour}"
    return path + ("?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else "")


def version_of(obj: dict[str, Any]) -> model.Version:
    """Return the part of an object that a history records."""
    meta = obj["metadata"]
    notes = meta.get("annotations", {})
    value = model.Value(
        notes.get(_STEP, ""), meta.get("labels", {}).get("colour", ""), notes.get(_KEPT, ""), meta["uid"]
    )
    return model.Version(int(meta["resourceVersion"]), value)


def object_of(key: model.Key, value: model.Value) -> dict[str, Any]:
    """Return an object with a value."""
    return {
        "apiVersion": "v1",
        "kind": _KINDS[key.resource],
        "metadata": {
            "name": key.name,
            "labels": {"colour": value.colour},
            "annotations": {_STEP: value.step, _KEPT: value.kept},
        },
    }


class Client:
    """One client with one connection at a time, to the next server when one fails; it records everything in the history."""

    def __init__(self, name: str, places: Sequence[Place], history: model.History, turn: int = 0) -> None:
        self.name = name
        self.history = history
        self._places = places
        self._turn = turn
        self._connection: Connection | None = None
        self._steps = 0
        self.server = ""

    def next_step(self) -> str:
        """Return a step that no other write has."""
        self._steps += 1
        return f"{self.name}.{self._steps}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Close the connection; the next one goes to the next server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.__aexit__(None, None, None)
        self._turn += 1

    async def connect(self) -> Connection:
        """Return the connection, opened if there is none."""
        if self._connection is None:
            number = self._turn % len(self._places)
            self.server = f"server {number}"
            connection = Connection(self._places[number]())
            await connection.__aenter__()
            self._connection = connection
        return self._connection

    async def ask(self, method: str, path: str, body: Any = None, media_type: str = "application/json") -> Answer:
        """Send one request. Raises one of `BROKEN`, and then leaves no connection open."""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                connection = await self.connect()
                return await connection.request(method, path, body, media_type=media_type)
        except BaseException:
            await self.leave()
            raise

    async def write(
        self, verb: model.Verb, key: model.Key, value: model.Value | None, expected: int = 0
    ) -> model.Write:
        """Send and record one write."""
        path = path_of(
            model.Selection(
                key.resource, key.cluster, key.namespace, name=None if verb is model.Verb.CREATE else key.name
            )
        )
        body = _body(verb, key, value, expected)
        media_type = "application/merge-patch+json" if verb is model.Verb.PATCH else "application/json"
        invoked = time.monotonic()
        try:
            answer = await self.ask(_METHODS[verb], path, body, media_type)
        except BROKEN as error:
            facts: dict[str, Any] = {"outcome": model.Outcome.UNKNOWN, "reason": repr(error)}
        else:
            facts = _told(verb, answer)
        write = model.Write(self.name, verb, key, invoked, time.monotonic(), value=value, expected=expected, **facts)
        self.history.writes.append(write)
        return write

    async def read(self, selection: model.Selection, freshness: model.Freshness, at: int = 0) -> model.Read | None:
        """Send and record one get or list; None when it had no response."""
        query: dict[str, str | int] = {}
        if freshness is model.Freshness.ANY:
            query["resourceVersion"] = at
        elif freshness is model.Freshness.EXACT:
            query |= {"resourceVersion": at, "resourceVersionMatch": "Exact"}
        invoked = time.monotonic()
        try:
            answer = await self.ask("GET", path_of(selection, **query))
        except BROKEN:
            self.history.failed_reads += 1
            return None
        single = selection.name is not None
        if answer.status != 200 and not (single and answer.status == 404):
            self.history.failed_reads += 1
            return None
        versions, revision = ({}, 0) if answer.status == 404 else _shown(selection, answer.json)
        read = model.Read(
            self.name, self.server, selection, freshness, invoked, time.monotonic(), versions, revision=revision, at=at
        )
        self.history.reads.append(read)
        return read


def _body(verb: model.Verb, key: model.Key, value: model.Value | None, expected: int) -> dict[str, Any] | None:
    if value is None:
        return {"preconditions": {"resourceVersion": str(expected)}} if expected else None
    if verb is model.Verb.PATCH:
        body: dict[str, Any] = {"metadata": {"labels": {"colour": value.colour}, "annotations": {_STEP: value.step}}}
    else:
        body = object_of(key, value)
    if expected:
        body["metadata"]["resourceVersion"] = str(expected)
    return body


def _told(verb: model.Verb, answer: Answer) -> dict[str, Any]:
    """Return the outcome of a write by its response."""
    if answer.status in (200, 201):
        content = answer.json
        if verb is model.Verb.DELETE:
            return {"outcome": model.Outcome.OK, "deleted": content["details"]["uid"]}
        return {"outcome": model.Outcome.OK, "answer": version_of(content)}
    reason = f"{answer.status}"
    if answer.status in _NUMBERED_REASONS:
        reason = answer.json["reason"]
    return {"outcome": model.Outcome.UNKNOWN if answer.status >= 500 else model.Outcome.REFUSED, "reason": reason}


def _shown(selection: model.Selection, content: dict[str, Any]) -> tuple[dict[model.Key, model.Version], int]:
    if selection.name is not None:
        assert selection.cluster is not None
        assert selection.namespace is not None
        key = model.Key(selection.resource, selection.cluster, selection.namespace, selection.name)
        return {key: version_of(content)}, 0
    written = (item for item in content["items"] if item["metadata"]["name"] != _IN_EVERY_NAMESPACE)
    versions = {_key(selection, item): version_of(item) for item in written}
    return versions, int(content["metadata"]["resourceVersion"])


def _key(selection: model.Selection, obj: dict[str, Any]) -> model.Key:
    meta = obj["metadata"]
    cluster = selection.cluster or meta["annotations"][_CLUSTER]
    return model.Key(selection.resource, cluster, meta["namespace"], meta["name"])


class Follower:
    """A client that watches a selection and resumes where a stream ends, as informers do; each stream is a `Watch`."""

    def __init__(self, client: Client, selection: model.Selection, since: int, seconds: int = 0) -> None:
        self._client = client
        self.selection = selection
        self.reached = since
        self._seconds = seconds
        self.last: model.Watch | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            end = await self.once()
            if end == model.EXPIRED:
                return
            await asyncio.sleep(0 if end == "closed" else 0.05)

    def complete(self, revision: int) -> None:
        """Record that the last stream must have delivered everything up to a revision."""
        if self.last is not None:
            self.last.complete_to = revision

    async def once(self) -> str:
        """Run one stream; return how it ended."""
        client = self._client
        watch = model.Watch(client.name, "", self.selection, self.reached, time.monotonic())
        query: dict[str, str | int] = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": self.reached}
        if self._seconds:
            query["timeoutSeconds"] = self._seconds
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                connection = await client.connect()
                watch.server = client.server
                await connection.send("GET", path_of(self.selection, **query))
                status, headers = await connection.head()
                whole = await connection.reader.readexactly(int(headers.get("content-length", 0)))
            if status != 200:
                watch.end = f"refused with {status}"
                return watch.end
            self.last = watch
            client.history.watches.append(watch)
            if whole:  # an error instead of a stream
                self._take(watch, json.loads(whole))
            else:
                async for line in connection.lines():
                    self._take(watch, json.loads(line))
            watch.end = watch.end or "closed"
        except BROKEN as error:
            watch.end = f"broken: {error!r}"
        finally:
            await client.leave()
        return watch.end

    def _take(self, watch: model.Watch, content: dict[str, Any]) -> None:
        obj = content["object"]
        if content["type"] == "ERROR":
            watch.end = model.EXPIRED if obj.get("code") == 410 else f"error {obj}"
            oldest = _OLDEST.search(obj.get("message", ""))
            watch.oldest = int(oldest[1]) if oldest is not None else 0
            return
        revision = int(obj["metadata"]["resourceVersion"])
        if content["type"] == model.BOOKMARK:
            event = model.Event(model.BOOKMARK, revision)
        else:
            event = model.Event(content["type"], revision, _key(self.selection, obj), version_of(obj).value)
        watch.responses.append((event,))
        self.reached = max(self.reached, revision)


class _Witness:
    """A watch of all objects of a resource: it replays the log."""

    def __init__(self, places: Sequence[Place], resource: str, since: int) -> None:
        self.history = model.History()
        self.follower = Follower(Client("witness", places, self.history), model.Selection(resource), since)
        self.task = asyncio.create_task(self.follower.run())


class Recorder:
    """Clients of some servers for the length of an ``async with`` block; on leaving it, the history is complete.

    ``places`` say where the servers are. All objects are in logical clusters that nobody else uses. ``patience`` is how many
    seconds the servers have at the end to deliver what the followers are owed. ``compacted`` is for servers that forget
    history in that time: the log is then what a watch of everything saw meanwhile.
    """

    def __init__(
        self, places: Sequence[Place], *, clusters: int = 2, patience: float = PATIENCE, compacted: bool = False
    ) -> None:
        self.places = list(places)
        self._patience = patience
        self.stopped = False
        self.history = model.History(compacted=compacted)
        self._witnesses: dict[str, _Witness] = {}
        run = uuid.uuid4().hex[:8]
        self.clusters = tuple(f"history-{run}-{number}" for number in range(clusters))
        self._followers: list[tuple[Follower, asyncio.Task[None]]] = []

    @classmethod
    def of(cls, *servers: Server, patience: float = PATIENCE, compacted: bool = False) -> Self:
        """Record clients of servers of this test, wherever they are restarted."""
        places = [functools.partial(Address.of, server) for server in servers]
        return cls(places, patience=patience, compacted=compacted)

    def client(self, name: str, turn: int = 0) -> Client:
        """Return a client whose operations are recorded."""
        return Client(name, self.places, self.history, turn)

    def follow(self, name: str, selection: model.Selection, turn: int = 0, *, seconds: int = 0) -> None:
        """Watch a selection from the history's beginning to its end; ``seconds`` limits each stream."""
        follower = Follower(self.client(name, turn), selection, self.history.since, seconds)
        self._followers.append((follower, asyncio.create_task(follower.run())))

    async def __aenter__(self) -> Self:
        async with self.client("first") as client:
            answer = await client.ask("GET", path_of(model.Selection(RESOURCES[0], self.clusters[0])))
            assert answer.status == 200, answer
            self.history.since = int(answer.json["metadata"]["resourceVersion"])
        if self.history.compacted:
            self._witnesses = {resource: _Witness(self.places, resource, self.history.since) for resource in RESOURCES}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.settle()
        finally:
            for witness in self._witnesses.values():
                witness.task.cancel()
            for _, task in self._followers:
                task.cancel()
            outcomes = await asyncio.gather(*(task for _, task in self._followers), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, Exception) and kind is None:
                    raise outcome

    async def traffic(self, seconds: float, clients: int = 8, seed: int = 1) -> None:
        """Run mixed traffic: see `tests.histories.traffic`."""
        from tests.histories.traffic import run

        await run(self, seconds, clients, seed)

    def stop(self) -> None:
        """End the traffic early."""
        self.stopped = True

    @property
    def acknowledged(self) -> int:
        """The number of acknowledged writes so far."""
        return sum(write.outcome is model.Outcome.OK for write in self.history.writes)

    async def settle(self) -> None:
        """Write fences, replay the log, and wait until the followers have delivered everything up to the fences.

        A follower that does not get there is recorded as one that should have. Raises TimeoutError when the servers
        take no write or replay nothing for too long.
        """
        fences: dict[tuple[str, str, str, str], int] = {}
        async with asyncio.timeout(PATIENCE), self.client("fence") as client:
            for resource in RESOURCES:
                for cluster in self.clusters:
                    for namespace in NAMESPACES:
                        for colour in COLOURS:
                            place = (resource, cluster, namespace, colour)
                            fences[place] = await self._fence(client, *place)
        self.history.until = max(fences.values())
        async with asyncio.timeout(PATIENCE):
            for resource in RESOURCES:
                await self._replay(resource, max(fence for place, fence in fences.items() if place[0] == resource))
        self.history.log.sort(key=lambda change: change.revision)
        await self._drain(fences)

    async def _fence(self, client: Client, resource: str, cluster: str, namespace: str, colour: str) -> int:
        while True:
            step = client.next_step()
            key = model.Key(resource, cluster, namespace, step)
            write = await client.write(model.Verb.CREATE, key, model.Value(step, colour, step))
            if write.answer is not None:
                return write.answer.revision
            await asyncio.sleep(0.1)

    async def _replay(self, resource: str, fence: int) -> None:
        witness = self._witnesses.setdefault(resource, _Witness(self.places, resource, self.history.since))
        await eventually(lambda: witness.follower.reached >= fence or witness.task.done(), "the log is replayed")
        assert not witness.task.done(), [watch.end for watch in witness.history.watches]
        for watch in witness.history.watches:
            for event in (event for response in watch.responses for event in response):
                if event.key is not None and event.key.cluster in self.clusters and event.revision <= fence:
                    value = None if event.kind == "DELETED" else event.value
                    self.history.log.append(model.Change(event.revision, event.key, value))

    async def _drain(self, fences: dict[tuple[str, str, str, str], int]) -> None:
        deadline = time.monotonic() + self._patience
        for follower, task in self._followers:
            wanted = follower.selection
            last = max(
                fence
                for (resource, cluster, namespace, colour), fence in fences.items()
                if resource == wanted.resource
                and wanted.cluster in (None, cluster)
                and wanted.namespace in (None, namespace)
                and wanted.colour in (None, colour)
            )
            while follower.reached < last and time.monotonic() < deadline and not task.done():
                await asyncio.sleep(0.02)
            if not task.done():  # else it expired, and need not deliver more
                follower.complete(last)
