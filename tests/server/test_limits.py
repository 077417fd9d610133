"""Limits on the cost that one client causes to others, tested over the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kcp.registry.admission.chain import AdmissionRequest
from kcp.server.process import listening
from kcp.server.process.parts import Parts
from kcp.server.requests.deadlines import Deadlines
from kcp.testing import Server
from tests.support.clients import resident_bytes
from tests.support.http2_frames import (
    HEADERS,
    MAX_CONCURRENT_STREAMS,
    RST_STREAM,
    ConnectionEndedError,
    Http2Connection,
)
from tests.support.objects import config_map
from tests.support.running_server import Answer, RunningServer
from tests.support.waiting import PATIENCE, wait_until

MEGABYTE = 1 << 20
OVER = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"' + b"x" * (3 * MEGABYTE) + b'"}}'
REFUSED_STREAM = 7
ENHANCE_YOUR_CALM = 11
RESETS = 10_000
TOLERATED = 200
"""Streams that may be reset on one connection, somewhat fewer than the server allows."""


def secure(server: RunningServer) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    return server.trust.wrap_socket(plain, server_hostname="127.0.0.1")


def head_of(server: RunningServer, path: str, *lines: str) -> bytes:
    own = (
        f"POST {path} HTTP/1.1",
        "Host: a",
        f"Authorization: Bearer {server.token}",
        "Content-Type: application/json",
    )
    return "\r\n".join((*own, *lines, "", "")).encode()


def received(connection: ssl.SSLSocket) -> tuple[int, dict[str, object]]:
    """Return the status and the JSON of the one response before the server closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while part := connection.recv(65536):
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), json.loads(body)


PATH = "/clusters/limits/api/v1/namespaces/default/configmaps"


def test_a_body_in_chunks_over_the_limit_is_413_before_its_end(server: RunningServer) -> None:
    with secure(server) as connection:
        connection.sendall(head_of(server, PATH, "Transfer-Encoding: chunked"))
        chunk = b"x" * 65536
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            for _ in range(3 * MEGABYTE // len(chunk) + 1):
                connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        status, body = received(connection)  # the last chunk has not been sent
    assert (status, body["reason"]) == (413, "RequestEntityTooLarge")
    assert body["message"] == f"Request entity too large: limit is {3 * MEGABYTE}"


def test_a_length_over_the_limit_is_413_before_the_body(server: RunningServer) -> None:
    with secure(server) as connection:
        connection.sendall(head_of(server, PATH, f"Content-Length: {3 * MEGABYTE + 1}"))
        assert received(connection)[0] == 413


def test_a_body_over_the_limit_is_413_over_http_2(server: RunningServer) -> None:
    authority = server.process.configuration.data_directory / "ca.crt"
    fields = [("authorization", f"Bearer {server.token}"), ("content-type", "application/json")]
    with Http2Connection("127.0.0.1", server.port, authority) as connection:
        answer = connection.answer(connection.request("POST", PATH, fields, OVER))
        assert (answer.status, json.loads(answer.body)["reason"]) == (413, "RequestEntityTooLarge")
        assert connection.answer(connection.request("GET", "/version", fields)).status == 200


def test_a_body_up_to_the_limit_is_read(server: RunningServer) -> None:
    body = config_map("almost", text="x" * (3 * MEGABYTE - 200))
    answer = server.post(PATH, body)
    assert answer.status != 413, answer.body
    assert len(json.dumps(body)) > 3 * MEGABYTE - 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_compressed_bodies_are_415(server: RunningServer, encoding: str) -> None:
    answer = server.post(PATH, b"x", Content_Type="application/json", Content_Encoding=encoding)
    assert (answer.status, answer.json["reason"]) == (415, "UnsupportedMediaType")


def patch(server: RunningServer, operations: int) -> Answer:
    server.post(PATH, config_map("patched"))
    body = json.dumps([{"op": "test", "path": "/metadata/name", "value": "patched"}] * operations).encode()
    return server.ask("PATCH", f"{PATH}/patched", body, Content_Type="application/json-patch+json")


def test_ten_thousand_patch_operations_are_accepted_and_one_more_is_413(server: RunningServer) -> None:
    assert patch(server, 10_000).status == 200
    answer = patch(server, 10_001)
    assert (answer.status, answer.json["reason"]) == (413, "RequestEntityTooLarge")
    assert answer.json["message"] == (
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    )


@pytest.mark.parametrize(("depth", "status"), [(150, 201), (250, 400), (100_000, 400)])
def test_the_nesting_of_json_is_limited(server: RunningServer, depth: int, status: int) -> None:
    rule = b'{"not":' * depth + b"{}" + b"}" * depth
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"deep-%d"},"extra":%b}' % (depth, rule)
    answer = server.post(PATH, body, Content_Type="application/json")
    assert answer.status == status, answer.body
    if status == 400:
        assert answer.json["message"] == "the body of the request is nested more than 200 levels deep"


def test_the_expansion_of_yaml_aliases_is_limited(server: RunningServer) -> None:
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [b"a%d: &a%d [%b]" % (level, level, b", ".join([b"*a%d" % (level - 1)] * 10)) for level in range(1, 9)]
    answer = server.post(PATH, b"\n".join(lines), Content_Type="application/yaml")
    assert (answer.status, answer.json["reason"]) == (400, "BadRequest")
    assert "document contains excessive aliasing" in answer.json["message"]


def test_long_strings_in_yaml_may_not_multiply(server: RunningServer) -> None:
    body = b"data:\n  a: &a " + b"x" * MEGABYTE + b"\n  b: [" + b"*a," * 3000 + b"]"
    before = resident_bytes(os.getpid())
    answer = server.post(PATH, body, Content_Type="application/yaml")
    assert (answer.status, answer.json["reason"]) == (413, "RequestEntityTooLarge")
    assert resident_bytes(os.getpid()) - before < 64 * MEGABYTE


def test_others_are_served_while_a_large_yaml_body_is_decoded(server: RunningServer) -> None:
    body = b"kind: ConfigMap\napiVersion: v1\nitems:\n" + b"- {a: 1}\n" * (MEGABYTE // 10)
    served = 0
    with ThreadPoolExecutor(1) as clients:
        large = clients.submit(server.post, PATH, body, Content_Type="application/yaml")
        while not large.done():
            assert server.get("/api/v1/namespaces").status == 200
            served += not large.done()
    assert large.result().status == 422  # it has no name
    assert served


def test_watches_do_not_count_as_requests_in_flight(fresh_root: Path) -> None:
    with RunningServer(fresh_root, max_requests_inflight=1) as server, contextlib.ExitStack() as watches:
        for _ in range(5):
            events = watches.enter_context(server.watch("/api/v1/namespaces?watch=true"))
            assert next(events)["type"] == "ADDED"
        assert server.get("/api/v1/namespaces").status == 200


def test_requests_over_the_limit_in_flight_are_429_without_fairness(fresh_root: Path) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    entered, may_go = threading.Event(), threading.Event()

    class Slow:
        def handles(self, *_: object) -> bool:
            return True

        async def mutate(self, request: AdmissionRequest) -> None: ...

        async def validate(self, request: AdmissionRequest) -> None:
            entered.set()
            await asyncio.to_thread(may_go.wait, PATIENCE)

    server = RunningServer(
        fresh_root,
        Parts(admission_plugins=lambda _: [Slow()]),
        max_mutating_requests_inflight=1,
        enable_priority_and_fairness=False,
    )
    try:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(server.post, path, config_map("a"))
            assert entered.wait(PATIENCE)
            refused = server.post(path, config_map("b"))
            assert (refused.status, refused.json["reason"]) == (429, "TooManyRequests")
            assert refused.headers["Retry-After"] == "1"
            assert refused.json["details"] == {"retryAfterSeconds": 1}
            assert server.get(path).status == 200  # reading has slots of its own
            may_go.set()
            assert first.result().status == 201
    finally:
        may_go.set()
        server.stop()


def limit_bodies(server: RunningServer, seconds: float) -> None:
    """Limit the time in which a body must arrive, and not that of other requests, which the machine may need."""
    composition = server.process.composition
    assert composition is not None
    composition.application._limits.receiving.deadlines = server.call(Deadlines, seconds)


def test_a_slow_body_takes_no_slot_and_times_out(fresh_root: Path) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    with RunningServer(fresh_root, max_mutating_requests_inflight=1) as server, secure(server) as slow:
        limit_bodies(server, 5)
        slow.sendall(head_of(server, path, "Content-Length: 100000") + b"{")
        assert server.post(path, config_map("b")).status == 201
        status, body = received(slow)
        assert (status, body["reason"]) == (504, "Timeout")
        assert body["message"] == "the request's body did not arrive within 5 seconds"
        assert server.post(path, config_map("a")).status == 201


def test_a_slow_body_over_http_2_ends_its_stream_only(fresh_root: Path) -> None:
    with RunningServer(fresh_root, max_mutating_requests_inflight=1) as server:
        limit_bodies(server, 5)
        authority = server.process.configuration.data_directory / "ca.crt"
        fields = [("authorization", f"Bearer {server.token}"), ("content-type", "application/json")]
        with Http2Connection("127.0.0.1", server.port, authority) as connection:
            slow = connection.request("POST", "/api/v1/namespaces", fields, b"{", end=False)
            assert connection.answer(connection.request("GET", "/api/v1/namespaces", fields)).status == 200
            answer = connection.answer(slow)
            assert (answer.status, json.loads(answer.body)["reason"]) == (504, "Timeout")
            body = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}).encode()
            assert connection.answer(connection.request("POST", "/api/v1/namespaces", fields, body)).status == 201


def test_a_body_that_arrives_slowly_times_out(fresh_root: Path) -> None:
    with RunningServer(fresh_root, request_timeout=5) as server:
        answer = wait_until(lambda: answer_while_sending(server), "there is an answer")
    assert answer.startswith(b"HTTP/1.1 504 ")


def answer_while_sending(server: RunningServer) -> bytes:
    """Send a body slowly until there is an answer; empty if the kernel has dropped it, since a byte of the body came after it."""
    began = time.monotonic()
    with secure(server) as slow:
        slow.sendall(head_of(server, "/api/v1/namespaces", "Content-Length: 100000"))
        slow.settimeout(0.05)
        while True:
            assert time.monotonic() - began < PATIENCE
            try:
                slow.sendall(b" ")
                return slow.recv(65536)
            except TimeoutError:
                continue
            except (ConnectionError, ssl.SSLError):
                return b""


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in a process of its own, so that its memory can be measured."""
    with Server(root_directory=tmp_path_factory.mktemp("outside"), in_process=False) as server:
        yield server


def connect(server: Server) -> Http2Connection:
    return Http2Connection("127.0.0.1", int(server.url.rpartition(":")[2]), server.certificate_authority)


def test_streams_over_the_limit_of_a_connection_are_refused(outside: Server) -> None:
    watch = "/api/v1/namespaces?watch=true"
    fields = [("authorization", f"Bearer {outside.token}")]
    with connect(outside) as connection:
        limit = connection.settings[MAX_CONCURRENT_STREAMS]
        assert limit == 250
        streams = [connection.request("GET", watch, fields) for _ in range(limit)]
        begun: set[int] = set()
        while len(begun) < limit:
            found = connection.read()
            assert found.kind != RST_STREAM
            if found.kind == HEADERS:
                begun.add(found.stream)
        assert begun == set(streams)
        assert connection.answer(connection.request("GET", watch, fields)).reset == REFUSED_STREAM
        connection.reset(streams[0])
        wait_until(
            lambda: connection.answer(connection.request("GET", "/version", fields)).status == 200, "a stream is free"
        )


def answer_times(server: Server, count: int = 50) -> float:
    """Return the median latency of a request, in milliseconds."""
    times = []
    with connect(server) as connection:
        fields = [("authorization", f"Bearer {server.token}")]
        for _ in range(count):
            began = time.perf_counter()
            assert connection.answer(connection.request("GET", "/api/v1/namespaces", fields)).status == 200
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def reset_streams(server: Server, connection: Http2Connection, count: int) -> None:
    """Open streams and reset them at once, and wait until the server has seen it. Raises ConnectionEndedError."""
    fields = connection.fields("GET", "/api/v1/namespaces", [("authorization", f"Bearer {server.token}")])
    try:
        for _ in range(count):
            connection.reset(connection.open(fields, end=True))
        assert connection.answer(connection.request("GET", "/livez")).status == 200
    except OSError:  # the server closed the connection while the client was sending
        while True:
            connection.read()


def test_a_connection_with_too_many_resets_is_closed(outside: Server) -> None:
    with connect(outside) as connection, pytest.raises(ConnectionEndedError) as ended:
        reset_streams(outside, connection, RESETS)
    assert ended.value.code == ENHANCE_YOUR_CALM
    with connect(outside) as connection:
        assert connection.answer(connection.request("GET", "/livez")).status == 200


def test_streams_that_are_opened_and_reset_leave_nothing_behind(
    outside: Server, measured: Callable[[str], None]
) -> None:
    def reset_all(count: int) -> None:
        for _ in range(count // TOLERATED):
            with connect(outside) as connection:
                reset_streams(outside, connection, TOLERATED)

    reset_all(1000)  # what is made once is made before the measurement
    before, quick = resident_bytes(outside.process_id), answer_times(outside)
    began = time.monotonic()
    reset_all(RESETS)
    took = time.monotonic() - began
    after, still_quick = resident_bytes(outside.process_id), answer_times(outside)
    measured(
        f"rapid reset: {RESETS} streams, {TOLERATED} a connection, in {took:.1f} s, memory {before >> 10} -> "
        f"{after >> 10} KB, median answer {quick:.2f} -> {still_quick:.2f} ms"
    )
    assert after - before < 20 * MEGABYTE
    with connect(outside) as connection:
        metrics = connection.request("GET", "/metrics", [("authorization", f"Bearer {outside.token}")])
        lines = connection.answer(metrics).body.decode().splitlines()
    inside = [line for line in lines if line.startswith("apiserver_current_inflight_requests{")]
    assert sum(float(line.rpartition(" ")[2]) for line in inside) <= 1, inside


def test_a_connection_without_a_handshake_is_closed_after_its_timeout(
    fresh_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listening.HANDSHAKE_TIMEOUT == 32.0
    monkeypatch.setattr(listening, "HANDSHAKE_TIMEOUT", 0.1)
    with (
        RunningServer(fresh_root) as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection,
    ):
        assert connection.recv(1) == b""


def test_a_handshake_may_take_long(server: RunningServer) -> None:
    """Longer than the 5 s that h2corn gives by default."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.settimeout(6)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(PATIENCE)
        with server.trust.wrap_socket(connection, server_hostname="127.0.0.1") as secured:
            secured.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            assert secured.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("already_asked", [True, False])
def test_an_idle_connection_is_closed_after_the_idle_timeout(
    fresh_root: Path, monkeypatch: pytest.MonkeyPatch, already_asked: bool
) -> None:
    assert listening.IDLE_TIMEOUT == 90.0
    monkeypatch.setattr(listening, "IDLE_TIMEOUT", 1.0)

    def answered_and_closed(server: RunningServer) -> bool:
        """Return when the server has closed a connection; false if it did so before the client was ready."""
        with contextlib.suppress(ConnectionError, ssl.SSLError), secure(server) as connection:
            if already_asked:
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                if not connection.recv(65536).startswith(b"HTTP/1.1 200 "):
                    return False
            while connection.recv(65536):  # times out unless the server closes the connection
                pass
            return True
        return False

    with RunningServer(fresh_root) as server:
        wait_until(lambda: answered_and_closed(server), "a connection is closed when it is idle")
