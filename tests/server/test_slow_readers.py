"""Clients that do not read: what the server buffers for them is bounded, and in the end they are disconnected."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest

from kcp.api.errors import StatusError
from kcp.registry.representations.framing import JSONList
from kcp.registry.representations.whole_objects import WHOLE_OBJECTS
from kcp.registry.requests import ListOptions, Target
from kcp.registry.verbs.representation import ListPieces
from kcp.server.process import sockets
from kcp.server.requests import connections, list_streams, watches
from kcp.server.requests.asgi import Message, Scope, TruncatedResponseError
from kcp.server.requests.content_negotiation import PLAIN_VIEW
from kcp.server.requests.deadlines import Deadlines
from kcp.server.requests.exchanges import Exchange, TransferLimits
from kcp.server.requests.list_streams import ListStreams
from kcp.server.requests.receiving import Receiving
from kcp.testing import Server
from tests.support.clients import Address, Connection, resident_bytes
from tests.support.objects import config_map
from tests.support.registry_client import registry_client
from tests.support.running_server import RunningServer
from tests.support.waiting import PATIENCE, wait_until
from tests.support.web_socket_client import WebSocket

PATH = "/api/v1/namespaces/default/configmaps"
MEGABYTE = 1 << 20


WEBSOCKET = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@contextlib.contextmanager
def unread(
    server: RunningServer | Server, path: str, token: str, port: int, trust: ssl.SSLContext, more: str = ""
) -> Iterator[ssl.SSLSocket]:
    """A connection with a small window whose client sends a request, with ``more`` header lines, and never reads."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    plain.connect(("127.0.0.1", port))
    with trust.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{more}\r\n".encode())
        yield connection


class Response:
    """A response that is being sent."""

    sending_since = 0.0
    sent = 0

    def __init__(self, client: str = "jane") -> None:
        self.client = client


async def test_lists_over_the_limit_wait_for_their_turn() -> None:
    streams, entered, may_end = ListStreams(limit=1), asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with streams.stream(Response()):
            entered.set()
            await may_end.wait()

    async def second() -> None:
        async with streams.stream(Response()):
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
        async with streams.stream(response):
            response.sending_since = time.monotonic()
            entered.set()
            await asyncio.Event().wait()

    one = asyncio.create_task(stalled())
    await entered.wait()
    async with streams.stream(Response()):
        pass
    with pytest.raises(TruncatedResponseError):
        await one
    assert streams.running == 0


async def test_a_list_that_is_cancelled_while_it_waits_leaves_nothing_behind() -> None:
    streams = ListStreams(limit=1)
    async with streams.stream(Response()):

        async def wait() -> None:
            async with streams.stream(Response()):
                raise AssertionError("it is not its turn")

        waiting = asyncio.create_task(wait())
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))
    async with streams.stream(Response()):
        assert streams.running == 1


async def test_a_list_that_is_cancelled_when_its_turn_comes_passes_it_on() -> None:
    streams, order = ListStreams(limit=1), []

    async def send(name: str) -> None:
        async with streams.stream(Response()):
            order.append(name)

    async with streams.stream(Response()):
        first, second = (asyncio.create_task(send(name)) for name in ("first", "second"))
        while len(streams._waiting) < 2:
            await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait((first, second))
    assert order == ["second"]
    assert streams.running == 0


async def test_a_list_does_not_overtake_one_that_waits() -> None:
    streams, order = ListStreams(limit=1), []

    async def send(name: str) -> None:
        async with streams.stream(Response()):
            order.append(name)
            await asyncio.sleep(0)

    async with streams.stream(Response()):
        waiting = asyncio.create_task(send("first"))
        while not streams._waiting:
            await asyncio.sleep(0)
    await send("second")
    await waiting
    assert order == ["first", "second"]


async def test_the_turn_goes_to_the_client_that_is_sent_fewest() -> None:
    streams, order, may_end = ListStreams(limit=2), [], asyncio.Event()

    async def send(client: str) -> None:
        async with streams.stream(Response(client)):
            order.append(client)
            await may_end.wait()

    async with streams.stream(Response("jane")):
        async with streams.stream(Response("jane")):
            sending = [asyncio.create_task(send(client)) for client in ("jane", "jane", "joe")]
            while len(streams._waiting) < 3:
                await asyncio.sleep(0)
        while not order:
            await asyncio.sleep(0)
        assert order == ["joe"]
        may_end.set()
    await asyncio.gather(*sending)
    assert streams.running == 0


async def test_one_client_leaves_places_to_others() -> None:
    streams, may_end = ListStreams(limit=8), asyncio.Event()

    async def send(client: str) -> None:
        async with streams.stream(Response(client)):
            await may_end.wait()

    flood = [asyncio.create_task(send("jane")) for _ in range(8)]
    while not streams._waiting:
        await asyncio.sleep(0)
    assert streams.running == 6
    async with streams.stream(Response("joe")), streams.stream(Response("joe")):
        assert streams.running == 8
    may_end.set()
    await asyncio.gather(*flood)
    assert streams.running == 0


async def test_the_lists_of_a_client_that_wait_are_limited_and_others_still_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(list_streams, "WAITING_OF_CLIENT", 1)
    streams = ListStreams(limit=1)

    async def send(client: str) -> None:
        async with streams.stream(Response(client)):
            pass

    async with streams.stream(Response()):
        sending = [asyncio.create_task(send(client)) for client in ("jane", "joe")]
        while len(streams._waiting) < 2:
            await asyncio.sleep(0)
        with pytest.raises(StatusError) as refused:
            await send("jane")
        assert refused.value.code == 429
    await asyncio.gather(*sending)


async def test_a_list_whose_client_reads_slowly_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_streams, "_SLOW_AFTER", 0.0)
    streams, entered = ListStreams(limit=1), asyncio.Event()

    async def slow() -> None:
        async with streams.stream(Response()):
            entered.set()
            await asyncio.Event().wait()

    one = asyncio.create_task(slow())
    await entered.wait()
    async with streams.stream(Response()):
        pass
    with pytest.raises(TruncatedResponseError):
        await one


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
    async with streams.stream(Response()):
        sending = asyncio.create_task(exchange.send_pieces(await make(), PLAIN_VIEW, make))
        while len(streams._waiting) == 0:
            await asyncio.sleep(0)
        gc.collect()
        assert [made() for made in make.read] == [None]
        assert not sent
    await sending
    assert len(make.read) == 2
    assert b"".join(sent).count(b"1") == 2 * MEGABYTE


async def test_what_a_list_holds_while_the_client_takes_a_part_is_bounded() -> None:
    held: list[int] = []

    async def send(_: Message) -> None:
        held.append(tracemalloc.get_traced_memory()[0])

    scope: Scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}
    exchange = Exchange(scope, _receive, send, TransferLimits(Receiving(Deadlines(60)), ListStreams()))
    async with registry_client() as client:
        for number in range(12):
            await client.create(client.config_maps, config_map(f"m{number:02}", text="x" * MEGABYTE))
        tracemalloc.start()
        try:
            listing = await client.registry.list(client.context(), Target(client.config_maps), ListOptions())
            pieces = WHOLE_OBJECTS.listing(listing, client.registry.type_of_cluster(client.config_maps))
            del listing
            await exchange.send_pieces(pieces, PLAIN_VIEW)
        finally:
            tracemalloc.stop()
    assert exchange.sent > 12 * MEGABYTE
    assert max(held) < 3.5 * MEGABYTE, "a part, and the next object"


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


@pytest.fixture
def server(fresh_root: Path) -> Iterator[RunningServer]:
    """A server with a list that is larger than what is buffered for a client."""
    with RunningServer(fresh_root) as found:
        for number in range(12):
            assert found.post(PATH, config_map(f"m{number}", text="x" * MEGABYTE)).status == 201
        yield found


@pytest.fixture
def short_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "STALL", 1.0)


@pytest.mark.parametrize("query", ["", "?watch=true"], ids=["list", "watch"])
@pytest.mark.usefixtures("short_stall")
def test_a_client_that_does_not_read_is_disconnected(server: RunningServer, query: str) -> None:
    with unread(server, PATH + query, server.token, server.port, server.trust) as connection:
        wait_until(lambda: not _is_open(connection), "the client is disconnected")


Exchanges = Callable[[], list[Exchange]]


def _all_exchanges() -> list[Exchange]:
    """All exchanges that something refers to, which may be a circle that nothing else refers to."""
    return [each for each in gc.get_objects() if isinstance(each, Exchange)]


@pytest.fixture
def exchanges() -> Exchanges:
    """Returns the exchanges of the test: other servers in this process may have some too."""
    others = _all_exchanges()
    return lambda: [each for each in _all_exchanges() if not any(each is other for other in others)]


@pytest.fixture
def without_collections() -> Iterator[None]:
    """Objects in circles stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collections")
@pytest.mark.parametrize("query", ["", "?watch=true"], ids=["list", "watch"])
def test_what_a_response_held_is_freed_when_its_client_disconnects(
    server: RunningServer, exchanges: Exchanges, query: str
) -> None:
    with unread(server, PATH + query, server.token, server.port, server.trust):
        wait_until(lambda: [each for each in exchanges() if each.sending_since], "the client does not keep up")
    wait_until(lambda: not exchanges(), "the exchange is freed")


def test_few_events_are_queued_for_a_web_socket_whatever_their_size(
    server: RunningServer, exchanges: Exchanges
) -> None:
    with unread(server, PATH + "?watch=true", server.token, server.port, server.trust, WEBSOCKET):
        wait_until(lambda: [each for each in exchanges() if each.sending_since], "the client does not keep up")
        (exchange,) = (each for each in exchanges() if each.sending_since)
        assert exchange.sent < 10 * MEGABYTE, "what the kernel buffers, and 4 MB"


def test_what_a_client_has_read_before_does_not_count_for_its_web_socket(
    server: RunningServer, exchanges: Exchanges
) -> None:
    with unread(server, PATH, server.token, server.port, server.trust) as connection:
        response = HTTPResponse(connection)
        response.begin()
        assert len(response.read()) > 12 * MEGABYTE
        head = f"Host: a\r\nAuthorization: Bearer {server.token}\r\n{WEBSOCKET}"
        connection.sendall(f"GET {PATH}?watch=true HTTP/1.1\r\n{head}\r\n".encode())
        wait_until(lambda: [each for each in exchanges() if has_stalled(each)], "the client does not keep up")
        (exchange,) = (each for each in exchanges() if each.sending_since)
        assert exchange.sent < 10 * MEGABYTE, "what the kernel buffers, and twice 4 MB"


def has_stalled(exchange: Exchange) -> bool:
    """Whether the client has accepted nothing for a second."""
    return 0.0 < exchange.sending_since < time.monotonic() - 1.0


def test_a_web_socket_whose_client_reads_gets_large_events(server: RunningServer) -> None:
    with WebSocket(server, PATH + "?watch=true", Authorization=f"Bearer {server.token}") as socket_:
        assert sum(len(socket_.text()) for _ in range(12)) > 12 * MEGABYTE


@pytest.mark.usefixtures("without_collections")
def test_what_a_list_held_is_freed_when_it_makes_room(
    server: RunningServer, exchanges: Exchanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_streams, "_SLOW_AFTER", 0.0)
    composition = server.process.composition
    assert composition is not None
    lists = composition.application._limits.lists
    lists._limit = 1
    with contextlib.ExitStack() as connections:
        for _ in range(3):
            connections.enter_context(unread(server, PATH, server.token, server.port, server.trust))
        wait_until(lambda: lists.running == 1 and len(exchanges()) == 1, "two lists have made room, and are freed")


@pytest.mark.usefixtures("without_collections")
@pytest.mark.parametrize("more", ["", WEBSOCKET], ids=["HTTP", "WebSocket"])
def test_what_a_watch_held_is_freed_when_it_is_aborted(
    server: RunningServer, exchanges: Exchanges, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    composition = server.process.composition
    assert composition is not None
    monkeypatch.setattr(watches, "WATCH_STALLED_AFTER", 0.0)
    monkeypatch.setattr(watches, "_MANY_WATCHES_STALLED_AFTER", 0.0)
    with unread(server, PATH + "?watch=true", server.token, server.port, server.trust, more):
        wait_until(lambda: [each for each in exchanges() if each.sending_since], "the client does not keep up")
        server.call(composition.watches.end_stalled)
        wait_until(lambda: not exchanges(), "the exchange is freed")


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
