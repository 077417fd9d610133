"""A cluster that lies: a proxy before a real server, which falsifies what lists and watches say, repeatably."""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import orjson
from aiohttp import web

from kcp.multicluster.placement import LOCATOR_ANNOTATION, MARK_LABEL
from kcp.testing import LogicalCluster
from tests.client.scripted_servers import ScriptedServer, scripted
from tests.support.waiting import eventually

Object = dict[str, Any]

_HOP: Final = frozenset(
    ("host", "connection", "content-length", "transfer-encoding", "content-encoding", "accept-encoding")
)
_INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
_FIELDS: Final = ("uid", "version", "name", "deleting", "mark", "no mark", "locator", "labels", "content", "status")
_REMEMBERED: Final = 50
"""Lines of which the liar repeats one."""


class Liar:
    """Falsifies lines of watches and items of lists while it `is_lying`: a ``share`` of them, in one way if that is given."""

    def __init__(self, seed: int, share: float = 0.8, way: str = "") -> None:
        self._random = random.Random(seed)
        self._share = share
        self._way = way
        self._lines: list[bytes] = []
        self._names: list[str] = []
        self._uids: list[str] = []
        self.is_lying = False
        self.lies = 0
        self.read: set[str] = set()
        """The paths that were read, but for watches, since the last lie of a watch."""

    def line(self, line: bytes) -> list[bytes]:
        """What is said instead of a line of a watch: no line, one or several."""
        event = orjson.loads(line)
        self._remember(event["object"])
        self._lines = [*self._lines[-_REMEMBERED:], line]
        annotations = (event["object"].get("metadata") or {}).get("annotations") or {}
        if not self._lies() or _INITIAL_EVENTS_END in annotations:  # without this end there is only silence
            return [line]
        self.lies += 1
        self.read.clear()
        kind = self._way or self._random.choice(("drop", "repeat", "type", *4 * ("object",), "garbage"))
        if kind == "drop":
            return []
        if kind == "repeat":
            return [self._random.choice(self._lines), self._random.choice(self._lines)]
        if kind == "garbage" and self._random.random() < 0.2:
            return [b"{"]
        if kind in ("type", "gone"):
            event["type"] = "DELETED" if kind == "gone" else self._random.choice(("ADDED", "MODIFIED", "DELETED"))
        else:
            self._falsify(event["object"], "" if kind == "object" else kind)
        return [orjson.dumps(event)]

    def items(self, items: list[Object]) -> list[Object]:
        """What is said instead of the items of a list."""
        told = []
        for item in items:
            self._remember(item)
            if self._lies():
                self.lies += 1
                if not self._way and self._random.random() < 0.3:
                    continue
                self._falsify(item, self._way)
            told.append(item)
        return told

    def _lies(self) -> bool:
        return self.is_lying and self._random.random() < self._share

    def _remember(self, found: Object) -> None:
        meta = found.get("metadata") or {}
        if meta.get("name"):
            self._names = [*self._names[-_REMEMBERED:], meta["name"]]
            self._uids = [*self._uids[-_REMEMBERED:], meta["uid"]]

    def _falsify(self, found: Object, field: str = "") -> None:
        """Change one field, by default any."""
        field = field or self._random.choice(_FIELDS)
        choose, meta = self._random.choice, found.setdefault("metadata", {})
        labels, annotations = meta.setdefault("labels", {}), meta.setdefault("annotations", {})
        if field == "uid":
            meta["uid"] = choose((*self._uids, "", "00000000-0000-0000-0000-000000000000"))
        elif field == "version":
            meta["resourceVersion"] = choose(("1", "0", "99999999999999", meta["resourceVersion"] + "0", "abc", ""))
        elif field == "name":
            meta["name"] = choose((*self._names, "other"))
        elif field == "deleting":
            if meta.pop("deletionTimestamp", None) is None:
                meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        elif field == "mark":
            labels[MARK_LABEL] = choose((*self._uids, "x"))
        elif field == "no mark":
            labels.pop(MARK_LABEL, None)
        elif field == "locator":
            annotations[LOCATOR_ANNOTATION] = self._locator(annotations.get(LOCATOR_ANNOTATION))
        elif field == "labels":
            meta["labels"] = {"a": "b"}
        elif field == "content":
            found["data" if found.get("kind") == "ConfigMap" else "spec"] = {"false": "content"}
        else:
            found["status"] = {"replicas": self._random.randrange(100)}

    def _locator(self, text: str | None) -> str:
        try:
            locator = orjson.loads(text or "")
        except ValueError:
            return "{}"
        locator[self._random.choice(list(locator))] = self._random.choice((*self._names, *self._uids))
        return orjson.dumps(locator).decode()


@asynccontextmanager
async def lying(cluster: LogicalCluster, liar: Liar) -> AsyncIterator[ScriptedServer]:
    """Serve what a logical cluster serves, with the liar's lies."""
    server, _, path = cluster.url.partition("/clusters/")
    context = ssl.create_default_context(cafile=str(cluster.certificate_authority))
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    asked = 0
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:

        async def ask(request: web.BaseRequest) -> aiohttp.ClientResponse:
            nonlocal asked
            headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
            headers |= {"Authorization": f"Bearer {cluster.token}", "Accept-Encoding": "identity"}
            url = f"{server}/clusters/{path}{request.rel_url}"
            asked += 1
            try:
                return await session.request(request.method, url, data=await request.read(), headers=headers)
            finally:
                asked -= 1

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            async with await ask(request) as found:
                try:
                    return await _answer(request, found, liar)
                finally:
                    if found.connection is not None and found.connection.transport is not None:
                        found.connection.transport.abort()  # the rest of a watch: TLS would wait for the server's end

        async with scripted(handler) as running:
            try:
                yield running
            finally:
                await eventually(lambda: not asked, "no connection is being made")  # else it would not be closed


async def _answer(request: web.BaseRequest, found: aiohttp.ClientResponse, liar: Liar) -> web.StreamResponse:
    if request.rel_url.query.get("watch") == "true" and found.status == 200:
        return await _watch(request, found, liar)
    body = await found.read()
    if request.method == "GET" and found.status == 200:
        body = _listed(body, liar)
        liar.read.add(request.path)
    kept = {key: value for key, value in found.headers.items() if key.lower() not in _HOP}
    return web.Response(body=body, status=found.status, headers=kept)


def _listed(body: bytes, liar: Liar) -> bytes:
    decoded = orjson.loads(body)
    if not str(decoded.get("kind")).endswith("List") or "resourceVersion" not in decoded.get("metadata", {}):
        return body
    decoded["items"] = liar.items(decoded["items"])
    return orjson.dumps(decoded)


async def _watch(request: web.BaseRequest, found: aiohttp.ClientResponse, liar: Liar) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": found.headers["Content-Type"]})
    try:
        await response.prepare(request)
        async for line in found.content:
            for said in liar.line(line):
                await response.write(said.rstrip(b"\n") + b"\n")
        await response.write_eof()
    except (ConnectionError, aiohttp.ClientError):
        pass  # one of both sides has gone
    return response
