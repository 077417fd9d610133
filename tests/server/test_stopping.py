"""The end of the HTTP server: after the grace period, whatever still runs is aborted."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcp.auth import certificates
from kcp.server.process import listening
from kcp.server.process.configuration import Configuration
from kcp.server.process.parts import Parts
from kcp.server.process.running import ServerProcess
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.request_info import RequestInfo
from tests.support.http2_frames import DATA, Http2Connection
from tests.support.objects import config_map
from tests.support.running_server import RunningServer
from tests.support.waiting import PATIENCE, wait_until

PATH = "/api/v1/namespaces/default/configmaps"
WATCH = PATH + "?watch=true"


class Waiting:
    """A filter that never lets a request pass, and the exceptions that ended requests in it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.cancelled = threading.Event()

    async def __call__(self, exchange: Exchange, info: RequestInfo) -> None:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def test_a_request_that_waits_for_ever_is_cancelled_after_the_grace_period(fresh_root: Path) -> None:
    waiting = Waiting()
    server = RunningServer(fresh_root, Parts(filters=lambda _: [waiting]), shutdown_grace_period=0.1)
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/version", headers=server.headers())
        assert waiting.entered.wait(PATIENCE)
        server.stop()
        assert waiting.cancelled.is_set()
        with pytest.raises((ConnectionError, http.client.HTTPException, ssl.SSLError)):
            connection.getresponse()
    with socket.create_server(("127.0.0.1", server.port)):
        pass  # nothing listens there any more


async def test_a_start_that_is_cancelled_leaves_no_request_running(
    fresh_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, accepts = Waiting(), asyncio.Event()

    async def started(generation: listening._Generation) -> None:
        await generation.server.wait_started()
        accepts.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(listening._Generation, "started", started)
    configuration = Configuration(root_directory=fresh_root, secure_port=0, shutdown_grace_period=0.1)
    process = ServerProcess(configuration, Parts(filters=lambda _: [waiting]))
    starting = asyncio.create_task(process.start())
    await asyncio.wait_for(accepts.wait(), PATIENCE)
    trust = ssl.create_default_context(cafile=str(configuration.data_directory / "ca.crt"))
    _, writer = await asyncio.open_connection(*process.address, ssl=trust)
    with contextlib.closing(writer):
        writer.write(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await asyncio.to_thread(waiting.entered.wait, PATIENCE)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert waiting.cancelled.is_set()


def test_an_unread_response_is_cut_after_the_grace_period(fresh_root: Path) -> None:
    server = RunningServer(fresh_root, shutdown_grace_period=0.1)
    for number in range(12):
        assert server.post(PATH, config_map(f"big{number}", text="x" * (1 << 20))).status == 201
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", PATH, headers=server.headers())
        response = connection.getresponse()
        server.stop()
        with pytest.raises((ConnectionError, http.client.HTTPException, ssl.SSLError)):
            response.read()


def test_servers_of_one_process_do_not_cut_the_connections_of_each_other(tmp_path: Path) -> None:
    waiting = Waiting()
    other = RunningServer(tmp_path / "other")
    server = RunningServer(tmp_path / "own", Parts(filters=lambda _: [waiting]), shutdown_grace_period=0.1)
    try:
        with other.watch(WATCH) as events, contextlib.closing(server.connect()) as connection:
            connection.request("GET", "/version", headers=server.headers())
            assert waiting.entered.wait(PATIENCE)
            server.stop()
            assert other.post(PATH, config_map("after")).status == 201
            assert next(events)["object"]["metadata"]["name"] == "after"
    finally:
        other.stop()


@pytest.fixture
def server(fresh_root: Path) -> Iterator[RunningServer]:
    found = RunningServer(fresh_root)
    yield found
    found.stop()


def replaced(server: RunningServer) -> None:
    http_server = server.process.http
    assert http_server is not None
    server.submit(http_server.replace()).result(PATIENCE)


def test_watches_of_a_replaced_server_go_on_over_http2(server: RunningServer) -> None:
    authority = server.process.configuration.data_directory / "ca.crt"
    with Http2Connection("127.0.0.1", server.port, authority) as connection:
        stream = connection.request("GET", WATCH, [("authorization", f"Bearer {server.token}")])
        connection.read()
        replaced(server)
        assert server.post(PATH, config_map("after")).status == 201
        while (found := connection.read()).kind != DATA or found.stream != stream:
            pass
        assert b'"after"' in found.payload


def test_watches_of_a_replaced_server_end_when_its_time_is_over(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "DRAIN_TIMEOUT", listening._ABORT_TIMEOUT + 0.1)
    with server.watch(WATCH) as events:
        replaced(server)
        assert list(events) == [], "a complete end, not a broken connection"


def test_a_second_replacement_ends_the_watches_of_the_first(server: RunningServer) -> None:
    with server.watch(WATCH) as oldest:
        replaced(server)
        assert any(outlives_a_replacement(server, f"after-{number}") for number in range(20))
        assert list(oldest) == []


def outlives_a_replacement(server: RunningServer, name: str) -> bool:
    """Whether a new watch goes on after a replacement: not if the server before the present one has accepted it."""
    with server.watch(WATCH) as events:
        replaced(server)
        assert server.post(PATH, config_map(name)).status == 201
        return any(event["object"]["metadata"]["name"] == name for event in events)


def test_a_replacement_that_cannot_start_changes_nothing(server: RunningServer) -> None:
    key = server.process.configuration.data_directory / "serving.key"
    key.write_bytes(certificates.new_authority("other").key)
    with server.watch(WATCH) as events:
        with pytest.raises(OSError, match="KeyMismatch"):
            replaced(server)
        assert server.post(PATH, config_map("after")).status == 201
        assert next(events)["object"]["metadata"]["name"] == "after"
    wait_until(lambda: server.get("/readyz").status == 200, "the server is ready")
