"""Clients that do not read: what the server buffers for them is bounded, and in the end they are disconnected."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcp.registry.representations.framing import JSONList
from kcp.registry.verbs.representation import ListPieces
from kcp.server.process import sockets
from kcp.server.requests import connections
from kcp.server.requests.asgi import Message, Scope, TruncatedResponseError
from kcp.server.requests.content_negotiation import PLAIN_VIEW
from kcp.server.requests.deadlines import Deadlines
from kcp.server.requests.exchanges import Exchange, TransferLimits
from kcp.server.requests.list_streams import ListStreams
from kcp.server.requests.receiving import Receiving
from kcp.testing import Server
from tests.support.clients import Address, Connection, resident_bytes
from tests.support.objects import config_map
from tests.support.running_server import RunningServer
from tests.support.waiting import PATIENCE, wait_until

PATH = "/api/v1/namespaces/default/configmaps"
MEGABYTE = 1 << 20


@contextlib.contextmanager
def unread(
    server: RunningServer | Server, path: str, token: str, port: int, trust: ssl.SSLContext
) -> Iterator[ssl.SSLSocket]:
    """A connection with a small window whose client sends a request and never reads."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    plain.connect(("127.0.0.1", port))
    with trust.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        yield connection


class Response:
    """A response that is being sent."""

    sending_since = 0.0


async def test_lists_over_the_limit_wait_for_their_turn() -> None:
    streams, entered, may_end = ListStreams(limit=1), asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with streams.turn(Response()):
            entered.set()
            await may_end.wait()

    async def second() -> None:
        async with streams.turn(Response()):
            assert streams.running == 1

    one = asyncio.create_task(first())
    await entered.wait()
    other = asyncio.create_task(second())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not other.done()
    may_end.set()
    await asyncio.gather(one, other)
    assert streams.running == 0


async def test_a_list_whose_client_does_not_read_is_aborted_while_others_wait() -> None:
    streams, entered = ListStreams(limit=1, stalled_after=0.01), asyncio.Event()

    async def stalled() -> None:
        response = Response()
        async with streams.turn(response):
            response.sending_since = time.monotonic()
            entered.set()
            await asyncio.Event().wait()

    one = asyncio.create_task(stalled())
    await entered.wait()
    async with streams.turn(Response()):
        pass
    with pytest.raises(TruncatedResponseError):
        await one
    assert streams.running == 0


async def test_a_list_that_is_cancelled_while_it_waits_leaves_nothing_behind() -> None:
    streams = ListStreams(limit=1)
    async with streams.turn(Response()):

        async def wait() -> None:
            async with streams.turn(Response()):
                raise AssertionError("it is not its turn")

        waiting = asyncio.create_task(wait())
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))
    async with streams.turn(Response()):
        assert streams.running == 1


async def _receive() -> Message:
    return {"type": "http.request"}


class Pieces:
    """A large list that is read again and again."""

    def __init__(self) -> None:
        self.read: list[weakref.ref[JSONList]] = []

    async def __call__(self) -> ListPieces:
        form = JSONList(b'{"items":[')
        self.read.append(weakref.ref(form))
        return ListPieces(form, ([b"1" * MEGABYTE] for _ in range(2)))


async def test_a_large_list_holds_nothing_while_it_waits_for_its_turn() -> None:
    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))

    sent: list[bytes] = []
    streams, make = ListStreams(limit=1), Pieces()
    scope: Scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}
    exchange = Exchange(scope, _receive, send, TransferLimits(Receiving(Deadlines(60)), streams))
    async with streams.turn(Response()):
        sending = asyncio.create_task(exchange.send_pieces(await make(), PLAIN_VIEW, make))
        while len(streams._waiting) == 0:
            await asyncio.sleep(0)
        gc.collect()
        assert [made() for made in make.read] == [None]
        assert not sent
    await sending
    assert len(make.read) == 2
    assert b"".join(sent).count(b"1") == 2 * MEGABYTE


@pytest.mark.parametrize(("version", "is_cut"), [("1.1", True), ("2", False)])
async def test_the_connection_of_a_truncated_response_is_closed(version: str, is_cut: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, peer = listener.accept()
        with accepted:
            await connections.cut({"http_version": version, "client": peer})
            client.settimeout(PATIENCE if is_cut else 0)
            if is_cut:
                assert client.recv(1) == b""
            else:
                with pytest.raises(BlockingIOError):
                    client.recv(1)


@pytest.mark.parametrize("query", ["", "?watch=true"], ids=["list", "watch"])
def test_a_client_that_does_not_read_is_disconnected(
    fresh_root: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(sockets, "STALL", 1.0)
    server = RunningServer(fresh_root)
    try:
        for number in range(12):
            assert server.post(PATH, config_map(f"m{number}", text="x" * MEGABYTE)).status == 201
        with unread(server, PATH + query, server.token, server.port, server.trust) as connection:
            wait_until(lambda: not _is_open(connection), "the client is disconnected")
    finally:
        server.stop()


def _is_open(connection: ssl.SSLSocket) -> bool:
    """Whether the kernel has received no reset; sends a meaningless byte to find out."""
    try:
        connection.sendall(b"\r\n")
    except (ConnectionError, ssl.SSLError):
        return False
    return True


async def test_the_buffer_of_a_watcher_that_does_not_read_is_bounded(tmp_path: Path) -> None:
    watchers, events = 20, 30
    with Server(root_directory=tmp_path, in_process=False) as server, contextlib.ExitStack() as connections:
        port = int(server.url.rpartition(":")[2])
        trust = ssl.create_default_context(cafile=str(server.certificate_authority))
        assert server.process_id is not None
        before = resident_bytes(server.process_id)
        for _ in range(watchers):
            connections.enter_context(unread(server, PATH + "?watch=true", server.token, port, trust))
        async with Connection(Address.of(server)) as connection:
            for number in range(events):
                made = await connection.request("POST", PATH, config_map(f"m{number}", text="x" * MEGABYTE))
                assert made.status == 201
        grown = resident_bytes(server.process_id) - before
        assert grown < watchers * events * MEGABYTE / 3  # each event is held once for all of them
