"""A request that holds the event loop is counted by its route, and logged when it held it long."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

import pytest

from kcp.server.process.parts import Parts
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.request_info import RequestInfo
from tests.support.running_server import RunningServer


def burn(seconds: float) -> None:
    """Use the processor."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def holding(exchange: Exchange, info: RequestInfo) -> None:
    """A filter that holds the loop for as many milliseconds as the request says."""
    if asked := info.query.text("hold"):
        burn(int(asked) / 1000)


@pytest.fixture
def holds(fresh_root: Path) -> RunningServer:
    return RunningServer(fresh_root, Parts(filters=lambda _: [holding]))


LABELS = 'group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"'
LOGGED = re.compile(r"the event loop was held for (\d+) ms by the request GET (\S+) of 'admin'")
COUNT = f"kcp_event_loop_held_seconds_count{{{LABELS}}}"


def test_a_held_loop_is_counted_by_route_and_logged(holds: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    try:
        with caplog.at_level(logging.WARNING, "kcp.server"):
            assert holds.get(f"{path}?hold=30").status == 200
            assert holds.get(f"{path}?hold=150&secret=hunter2", token="jane-token").status in (200, 403)
            assert holds.get(f"{path}?hold=150&secret=hunter2").status == 200
        counted = [line for line in holds.get("/metrics").body.decode().splitlines() if line.startswith(COUNT)]
    finally:
        holds.stop()
    assert int(float(counted[0].split()[-1])) >= 2
    held = {where: int(milliseconds) for milliseconds, where in LOGGED.findall(caplog.text)}
    assert held[path] >= 150
    assert min(held.values()) >= 100, "less is not logged; on a slow machine, other requests may take as long"
    assert "hunter2" not in caplog.text
