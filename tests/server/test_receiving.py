"""Bodies that never arrive use only the share of their client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kcp.api.errors import StatusError
from kcp.server.requests.deadlines import Deadlines
from kcp.server.requests.receiving import Receiving, ReceivingLimits
from tests.support.http2_frames import HEADERS, Http2Connection, status_of
from tests.support.objects import config_map
from tests.support.running_coroutines import Enter
from tests.support.running_server import RunningServer

LIMITS = ReceivingLimits(client_bodies=4, client_bytes=40, bodies=6, bytes=60)


class Senders:
    """Bodies that arrive in part and then stop."""

    def __init__(self) -> None:
        self.receiving = Receiving(Deadlines(60), LIMITS)
        self._bodies: list[asyncio.Task[None]] = []

    async def _receive(self, client: str, size: int) -> None:
        with self.receiving.start(client) as reception:
            reception.grow(size)
            await asyncio.Event().wait()

    async def begin(self, client: str, size: int = 0) -> asyncio.Task[None]:
        task = asyncio.create_task(self._receive(client, size))
        self._bodies.append(task)
        for _ in range(3):
            await asyncio.sleep(0)
        return task

    async def end(self) -> None:
        for task in self._bodies:
            task.cancel()
        await asyncio.gather(*self._bodies, return_exceptions=True)
        assert (self.receiving.bodies, self.receiving.bytes) == (0, 0)


@pytest.fixture
def senders(enter: Enter) -> Senders:
    return enter(_senders())


@contextlib.asynccontextmanager
async def _senders() -> AsyncIterator[Senders]:
    made = Senders()
    yield made
    await made.end()


def refused(task: asyncio.Task[None]) -> bool:
    if not task.done():
        return False
    with pytest.raises(StatusError) as error:
        task.result()
    assert (error.value.code, error.value.headers) == (429, ((b"connection", b"close"),))
    return True


async def test_a_client_has_a_limit_of_bodies(senders: Senders) -> None:
    tasks = [await senders.begin("slow") for _ in range(5)]
    assert [refused(task) for task in tasks] == [False] * 4 + [True]


async def test_a_client_has_a_limit_of_bytes(senders: Senders) -> None:
    tasks = [await senders.begin("slow", 30), await senders.begin("slow", 30), await senders.begin("slow", 5)]
    assert [refused(task) for task in tasks] == [False, True, False]


async def test_a_body_of_the_client_with_most_bodies_is_refused_first(senders: Senders) -> None:
    slow = [await senders.begin("slow") for _ in range(4)]
    others = [await senders.begin(name) for name in ("a", "b", "c")]
    assert [refused(task) for task in slow] == [True, False, False, False]
    assert not any(refused(task) for task in others)


async def test_a_body_of_the_client_with_most_bytes_is_refused_first(senders: Senders) -> None:
    slow = [await senders.begin("slow", 20), await senders.begin("slow", 20)]
    other = await senders.begin("other", 30)
    assert [refused(task) for task in slow] == [True, False]
    assert not refused(other)


async def test_as_many_bodies_are_refused_as_needed(senders: Senders) -> None:
    empty, full = await senders.begin("slow"), await senders.begin("slow", 35)
    other = await senders.begin("other", 30)
    assert [refused(task) for task in (empty, full, other)] == [True, True, False]
    assert senders.receiving.bytes == 30


async def test_a_new_body_of_the_client_with_most_is_refused(senders: Senders) -> None:
    tasks = [await senders.begin(name) for name in ("a", "a", "a", "b", "b", "b", "a")]
    assert [refused(task) for task in tasks] == [False] * 6 + [True]


def test_bodies_that_never_come_keep_no_one_else_from_writing(fresh_root: Path) -> None:
    tokens = fresh_root.with_name("masters.csv")
    tokens.write_text('slow-token,slow,u-slow,"system:masters"\n')
    server = RunningServer(fresh_root, token_auth_file=tokens)
    path = "/api/v1/namespaces/default/configmaps"
    fields = [("authorization", "Bearer slow-token"), ("content-type", "application/json")]
    authority = server.process.configuration.data_directory / "ca.crt"
    most = ReceivingLimits().client_bodies
    try:
        with contextlib.ExitStack() as connections:
            for _ in range(0, most + 100, 200):
                connection = connections.enter_context(Http2Connection("127.0.0.1", server.port, authority))
                for _ in range(200):
                    connection.request("POST", path, fields, b"{", end=False)
            # the first response: h2corn 2.0.0 may end a connection on which it refuses a hundred bodies at once
            while (answer := connection.read()).kind != HEADERS:
                pass
            assert status_of(answer.payload) == 429
            assert server.get(path).status == 200
            assert server.post(path, config_map("a")).status == 201
    finally:
        server.stop()
