"""Request heads that are too large or malformed, as bytes on a socket: over HTTP/1.1 and over HTTP/2."""

from __future__ import annotations

import socket

import pytest

from kcp.server.requests.incoming import MAX_HEAD
from tests.support.http2_frames import Answer, ConnectionEndedError, Http2Connection, block
from tests.support.running_server import RunningServer
from tests.support.waiting import PATIENCE

TOO_LARGE = "the head of the request (its target and header fields) is too large: limit is 131072 bytes"
PROTOCOL_ERROR = 1


def exchange(server: RunningServer, data: bytes) -> bytes:
    """Send bytes over HTTP/1.1; return everything until the server closes the connection."""
    with (
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain,
        server.trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(data)
        received = []
        while part := secure.recv(65536):
            received.append(part)
        return b"".join(received)


def head_of(server: RunningServer, *lines: str, target: str = "/version") -> bytes:
    own = (f"GET {target} HTTP/1.1", "Host: a", f"Authorization: Bearer {server.token}", "Connection: close")
    return "\r\n".join((*own, *lines, "", "")).encode("latin-1")


def http2(server: RunningServer) -> Http2Connection:
    return Http2Connection("127.0.0.1", server.port, server.process.configuration.data_directory / "ca.crt")


def authorized(server: RunningServer, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {server.token}"), *more]


LARGE = {
    "one field": ["X-Large: " + "a" * MAX_HEAD],
    "large fields": [f"X-{number}: " + "a" * 10_000 for number in range(14)],
    "many fields": [f"X-{number}: a" for number in range(3800)],
}


@pytest.mark.parametrize("shape", LARGE)
def test_a_large_head_is_431_over_http_1(server: RunningServer, shape: str) -> None:
    answer = exchange(server, head_of(server, *LARGE[shape]))
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert TOO_LARGE.encode() in answer
    assert b'"reason":"RequestHeaderFieldsTooLarge"' in answer


@pytest.mark.parametrize("shape", LARGE)
def test_a_large_head_is_431_over_http_2_and_the_connection_goes_on(server: RunningServer, shape: str) -> None:
    fields = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in LARGE[shape])]
    with http2(server) as connection:
        answer = connection.answer(connection.request("GET", "/version", authorized(server, *fields)))
        assert (answer.status, answer.reset) == (431, None)
        assert TOO_LARGE.encode() in answer.body
        assert connection.answer(connection.request("GET", "/version", authorized(server))).status == 200


@pytest.mark.parametrize("size", [MAX_HEAD - 1000, MAX_HEAD + 1000])
def test_the_target_counts(server: RunningServer, size: int) -> None:
    target = "/version?" + "a" * size
    expected = 431 if size > MAX_HEAD else 200
    assert exchange(server, head_of(server, target=target)).startswith(b"HTTP/1.1 %d " % expected)
    with http2(server) as connection:
        assert connection.answer(connection.request("GET", target, authorized(server))).status == expected


@pytest.mark.parametrize("count", [1500, 3000])
def test_heads_below_the_limit_are_served(server: RunningServer, count: int) -> None:
    answer = exchange(server, head_of(server, *(f"X-{number}: a" for number in range(count))))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert exchange(server, head_of(server, "X-Large: " + "a" * 100_000)).startswith(b"HTTP/1.1 200 ")


def test_a_head_that_the_http_server_refuses_is_431_without_a_body(server: RunningServer) -> None:
    lines = [f"X-{number}: " + "a" * 10_000 for number in range(27)]
    answer = exchange(server, head_of(server, *lines))
    assert answer.startswith(b"HTTP/1.1 431 ")
    fields = [(f"x-{number}", "a" * 10_000) for number in range(27)]
    with http2(server) as connection:
        refused = connection.answer(connection.request("GET", "/version", authorized(server, *fields)))
        assert (refused.status, refused.body) == (431, b"")
        assert connection.answer(connection.request("GET", "/version", authorized(server))).status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"GET /version HTTP/1.1\r\n\r\n",
        b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /version HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_a_broken_request_is_400_and_ends_the_connection(server: RunningServer, data: bytes) -> None:
    assert exchange(server, data).startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize("data", [b"\x00\x01\x02\r\n\r\n", b"HELLO\r\n\r\n"])
def test_data_that_is_not_http_ends_the_connection(server: RunningServer, data: bytes) -> None:
    assert exchange(server, data) == b""


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", "/version", ("X-Upper", "a")),
        ("GET", "/version", ("x", "a\x00b")),
        ("GET", "/version", ("connection", "close")),
        ("GET", "/version", ("te", "gzip")),
        ("GET", "", ("x", "a")),
        ("GET", "version", ("x", "a")),
        ("G T", "/version", ("x", "a")),
        ("GET", "/version", ("content-length", "-1")),
        ("GET", "/version", (":path", "/api")),
    ],
)
def test_a_broken_request_over_http_2_resets_its_stream_only(
    server: RunningServer, method: str, path: str, more: tuple[str, str]
) -> None:
    with http2(server) as connection:
        broken = connection.request(method, path, authorized(server, more))
        assert connection.answer(broken) == Answer(0, b"", PROTOCOL_ERROR)
        assert connection.answer(connection.request("GET", "/version", authorized(server))).status == 200


@pytest.mark.parametrize("media_type", ["application/grpc", "application/grpc+proto"])
def test_the_media_type_of_another_protocol_is_415_with_the_accepted_ones(
    server: RunningServer, media_type: str
) -> None:
    fields = authorized(server, ("content-type", media_type))
    with http2(server) as connection:
        answer = connection.answer(connection.request("POST", "/api/v1/namespaces", fields, b"\0\0\0\0\0"))
    assert answer.status == 415
    assert b"accepted media types include: application/json" in answer.body
    assert server.post("/api/v1/namespaces", b"{}", Content_Type=media_type).json["code"] == 415


def test_a_header_block_that_cannot_be_read_ends_the_connection(server: RunningServer) -> None:
    with http2(server) as connection:
        stream = connection.open(b"\xff\xff\xff\xff\xff", end=True)
        with pytest.raises(ConnectionEndedError) as ended:
            connection.answer(stream)
        assert ended.value.code == 9  # COMPRESSION_ERROR


def test_a_request_without_its_method_resets_its_stream(server: RunningServer) -> None:
    with http2(server) as connection:
        stream = connection.open(block([(":scheme", "https"), (":path", "/version")]), end=True)
        assert connection.answer(stream).reset == PROTOCOL_ERROR
