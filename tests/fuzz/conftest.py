"""A server in a process of its own for fuzzed requests, and a client that checks every response."""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from kcp.api import protobuf
from kcp.testing import Server
from tests.support.clients import JSON, Address, Answer, Connection, resident_bytes
from tests.support.objects import DEFINITIONS, config_map, definition
from tests.support.waiting import PATIENCE

T = TypeVar("T")
EXAMPLES = int(os.environ.get("KCP_FUZZ_EXAMPLES", "80"))
"""Examples of each kind; thousands make a soak test."""
FUZZED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TWICE_FUZZED = settings(FUZZED, max_examples=2 * EXAMPLES)
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
_WIDGET = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "minimum": 0},
                "name": {"type": "string", "pattern": "^[a-z]*$", "maxLength": 20},
                "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                "parts": {
                    "type": "array",
                    "items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["id"],
                },
                "any": {"x-kubernetes-preserve-unknown-fields": True},
                "either": {"x-kubernetes-int-or-string": True},
            },
            "x-kubernetes-validations": [{"rule": "!has(self.size) || self.size < 1000"}],
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def words(text: str) -> list[str]:
    """Split a text into words, for strategies that choose among many."""
    return text.split()


class Target:
    """The server under test. Requests share one connection, which is reopened when the server closes it properly."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.address = Address.of(server)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._connection: Connection | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * PATIENCE)

    def close(self) -> None:
        if self._connection is not None:
            self.run(self._connection.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def ask(self, method: str, path: str, body: Any = None, *, media_type: str = JSON, **headers: str) -> Answer:
        """Send a request; check that the response is one that an API server may give."""
        answer = self.run(self._ask(method, path, body, media_type, headers))
        if is_uri(path):
            check(answer, method)
        else:
            check_transport_refusal(answer)
        return answer

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """Send a request that must be refused; return its Status (an empty one for a path that does not exist)."""
        answer = self.ask(method, path, body, **more)
        assert 400 <= answer.status < 500, (answer.status, answer.body[:300])
        status: dict[str, Any] = answer.json if answer.headers["content-type"] == JSON else {}
        return status

    async def _ask(self, method: str, path: str, body: Any, media_type: str, headers: dict[str, str]) -> Answer:
        connection = self._connection
        self._connection = None
        if connection is None:
            connection = await Connection(self.address).__aenter__()
        async with asyncio.timeout(PATIENCE):
            answer = await connection.request(method, path, body, media_type=media_type, **headers)
        if answer.headers.get("connection", "").lower() == "close":
            await connection.__aexit__(None, None, None)
        else:
            self._connection = connection
        return answer

    def raw(self, data: bytes, *, plain: bool = False) -> bytes:
        """Send bytes on a connection of their own; return everything that is received until it is closed or idle."""

        async def work() -> bytes:
            address = self.address
            tls: ssl.SSLContext | None = None if plain else address.trust
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
            try:
                writer.write(data)
                async with asyncio.timeout(2):
                    return await reader.read(65536)
            except (OSError, TimeoutError):
                return b""
            finally:
                writer.transport.abort()

        return self.run(work())

    @property
    def memory(self) -> int:
        return resident_bytes(self.server.process_id)

    @property
    def log(self) -> str:
        return (self.server.root_directory / "server.log").read_text()


def is_uri(path: str) -> bool:
    """Whether a request's target is a URI by RFC 3986; the HTTP server refuses others."""
    return re.search(r"%(?![0-9A-Fa-f]{2})", path) is None


def check_transport_refusal(answer: Answer) -> None:
    """Check that the HTTP server has refused invalid HTTP without content, and closed the connection."""
    if answer.headers.get("audit-id"):
        check(answer)
        return
    assert (answer.status, answer.body, answer.headers["connection"]) == (400, b"", "close")


def check(answer: Answer, method: str = "GET") -> None:
    """Check that a refusal is a complete Status, or Go's text for an unknown path, and not the result of a bug."""
    shown = (answer.status, answer.headers, answer.body[:500])
    assert answer.status < 500, shown
    assert len(answer.headers.get("audit-id", "")) > 0, shown
    if answer.status < 400 or method == "HEAD":
        return
    if answer.headers["content-type"].startswith("text/plain"):
        assert (answer.status, answer.body) == (404, b"404 page not found\n"), shown
        return
    if "yaml" in answer.headers["content-type"]:
        assert b"kind: Status" in answer.body, shown
        return
    if answer.headers["content-type"] == protobuf.CONTENT_TYPE:
        status = protobuf.decode_body(answer.body)
    else:
        assert answer.headers["content-type"] == JSON, shown
        status = json.loads(answer.body)
    assert (status["kind"], status["apiVersion"], status["status"]) == ("Status", "v1", "Failure"), shown
    assert status["code"] == answer.status, shown
    assert status["reason"], shown
    assert status["message"], shown


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    root: Path = tmp_path_factory.mktemp("fuzz")
    with Server(root_directory=root, in_process=False) as server:
        target = Target(server)
        made = target.ask("POST", DEFINITIONS, definition("widgets", "Widget", schema=_WIDGET))
        assert made.status == 201, made
        assert target.ask("POST", CONFIG_MAPS, config_map("there", a="1")).status == 201
        yield target
        assert "Traceback" not in target.log, target.log[-3000:]
        target.close()


@pytest.fixture
def target(_running: Target) -> Iterator[Target]:
    """The server; it must be healthy after the test, and must have logged no bug."""
    logged = len(_running.log)
    yield _running
    answer = _running.ask("GET", f"{CONFIG_MAPS}/there")
    assert (answer.status, answer.json["data"]) == (200, {"a": "1"})
    assert _running.ask("GET", "/livez").body == b"ok"
    assert "Traceback" not in (new := _running.log[logged:]), new
