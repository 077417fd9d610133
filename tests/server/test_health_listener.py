"""Health over plain HTTP on an address of its own: requests of load balancers and probes, and harmful ones."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcp import plain_http
from kcp.server.observability.health import Health
from kcp.server.process.configuration import Configuration
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.health_listener import health_responses
from tests.support.running_server import RunningServer
from tests.support.waiting import PATIENCE, wait_until

ANYWHERE = "127.0.0.1:0"
HEALTH = Health({"ping": lambda: None}, {"store": lambda: "it is away"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    found = RunningServer(tmp_path_factory.mktemp("health"), healthz_bind_address=ANYWHERE)
    yield found
    found.stop()


def connect(server: RunningServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.process.health_port), PATIENCE)


def received(connection: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            found += part
    return found


def exchanged(server: RunningServer, sent: bytes) -> bytes:
    with connect(server) as connection:
        connection.sendall(sent)
        return received(connection)


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /livez HTTP/1.0\r\n\r\n",  # HAProxy's `option httpchk GET /livez`
        b"GET /readyz HTTP/1.0\r\nConnection: close\r\n\r\n",  # nginx
        b"GET /healthz HTTP/1.0\n\n",
    ],
)
def test_a_health_check_over_http_1_0_is_answered(server: RunningServer, request_line: bytes) -> None:
    head, _, body = exchanged(server, request_line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Content-Length: 2" in head
    assert body == b"ok"


def test_a_health_check_over_http_1_1_is_answered(server: RunningServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.process.health_port, timeout=PATIENCE)
    for method, body in (("GET", b"ok"), ("HEAD", b"")):
        connection.request(method, "/readyz")
        response = connection.getresponse()
        assert (response.status, response.read(), response.version) == (200, body, 11)
        assert response.headers["Connection"] == "close"


def test_checks_are_listed_excluded_and_asked_one_by_one() -> None:
    def status_and_body(target: str) -> tuple[bytes, bytes]:
        head, _, body = plain_http.answer(
            health_responses(HEALTH), f"GET {target} HTTP/1.0\r\n\r\n".encode()
        ).partition(b"\r\n\r\n")
        return head.split(b" ")[1], body

    assert status_and_body("/livez") == (b"200", b"ok")
    assert status_and_body("/readyz/ping") == (b"200", b"ok")
    assert status_and_body("/readyz?exclude=store") == (b"200", b"ok")
    assert status_and_body("/livez?verbose") == (b"200", b"[+]ping ok\nlivez check passed\n")
    assert status_and_body("/readyz") == (b"500", b"[+]ping ok\n[-]store failed: it is away\nreadyz check failed\n")
    assert status_and_body("http://elsewhere/livez") == (b"200", b"ok")
    assert status_and_body("/readyz/none")[0] == b"404"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\n\r\n", 404),
        (b"GET /api/v1/secrets HTTP/1.1\r\n\r\n", 404),
        (b"GET / HTTP/1.0\r\n\r\n", 404),
        (b"GET http://[/livez HTTP/1.0\r\n\r\n", 400),
        (b"POST /livez HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 405),
        (b"OPTIONS / HTTP/1.0\r\n\r\n", 405),
        (b"GET /livez\r\n\r\n", 400),
        (b"GET /livez HTTP/2.0\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n" + b"a: b\r\n" * 5000, 431),
        (b"G" * 100_000, 400),
    ],
)
def test_nothing_else_is_served(server: RunningServer, sent: bytes, status: int) -> None:
    with connect(server) as connection:
        with contextlib.suppress(ConnectionError):  # the server reads no more than it must
            connection.sendall(sent)
        found = received(connection)
    assert found or len(sent) > plain_http.MAX_HEAD, "only a connection with unread bytes may be reset"
    assert not found or found.split(b" ")[1] == b"%d" % status
    assert exchanged(server, b"GET /livez HTTP/1.0\r\n\r\n").endswith(b"ok")


def test_a_connection_without_a_request_is_closed(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain_http.TIMEOUT == 5.0
    monkeypatch.setattr(plain_http, "TIMEOUT", 0.1)
    assert exchanged(server, b"GET /livez HT") == b""


def test_connections_over_the_limit_are_closed_and_later_ones_served(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_http, "MAX_CONNECTIONS", 2)
    with connect(server), connect(server):
        wait_until(lambda: exchanged(server, b"") == b"", "a third connection is closed")
    wait_until(lambda: exchanged(server, b"GET /livez HTTP/1.0\r\n\r\n").endswith(b"ok"), "there is room again")


def test_readiness_fails_while_the_server_shuts_down(server: RunningServer) -> None:
    server.process.stopping = True
    try:
        assert b"process is shutting down" in exchanged(server, b"GET /readyz HTTP/1.0\r\n\r\n")
        assert exchanged(server, b"GET /livez HTTP/1.0\r\n\r\n").endswith(b"ok")
    finally:
        server.process.stopping = False


def test_nothing_listens_after_the_end_and_by_default(fresh_root: Path) -> None:
    server = RunningServer(fresh_root, healthz_bind_address=ANYWHERE)
    with connect(server) as connection:
        server.stop()
        assert received(connection) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(server)
    other = RunningServer(fresh_root)
    assert other.process.health_port == 0
    other.stop()


@pytest.mark.parametrize("text", ["10256", "127.0.0.1", ":10256", "::1:10256", "[::1]", "127.0.0.1:http", "a:70000"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--healthz-bind-address"):
        Configuration(healthz_bind_address=text).check()


def test_a_port_in_use_is_named_with_its_flag(server: RunningServer, fresh_root: Path) -> None:
    address = f"127.0.0.1:{server.process.health_port}"
    with pytest.raises(ConfigurationError, match=f"cannot listen on {address}: .* choose another with --healthz-bind"):
        RunningServer(fresh_root, healthz_bind_address=address)
