"""A limited address space (``ulimit -v``): requests are refused before an allocation fails, which would end the process."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kcp.api.errors import StatusError
from kcp.registry.verbs.large_writes import LargeWrites
from kcp.server.process.address_space import LEAST, AddressSpace
from tests.support.kcp_process import Started, started
from tests.support.waiting import PATIENCE

PATH = "/api/v1/namespaces/default/configmaps"
CUT = 0


def test_work_for_which_too_little_address_space_is_left_is_refused() -> None:
    space = AddressSpace(1 << 50)
    space.require(3 << 20)
    with pytest.raises(StatusError) as refused:
        AddressSpace(1).require()
    assert (refused.value.code, refused.value.retry_after) == (503, 1)
    assert "ulimit -v" in str(refused.value)


async def test_a_large_write_that_is_refused_leaves_its_turn_to_others() -> None:
    writes = LargeWrites(limit=10)
    writes.require = AddressSpace(1).require
    with pytest.raises(StatusError):
        await writes.enter(10)
    assert writes.bytes == 0


def _post(server: Started, number: int) -> int:
    """Send an object that takes twenty times its size when it is decoded; return the status, `CUT` where none came.

    The server refuses before it has the whole body, and closes the connection: a client that still sends may not get the answer.
    """
    address = urlsplit(server.url)
    assert address.hostname is not None
    trust = ssl.create_default_context(cafile=str(server.root / "data" / "ca.crt"))
    token = (server.root / "data" / "admin.token").read_text()
    connection = http.client.HTTPSConnection(address.hostname, address.port, context=trust, timeout=PATIENCE)
    body = json.dumps({"metadata": {"name": f"m{number}"}, "data": {"a": "x" * 900_000}, "unknown": [[]] * 500_000})
    with contextlib.closing(connection):
        try:
            connection.request(
                "POST", PATH, body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            )
        except (ConnectionError, ssl.SSLEOFError):
            return CUT
        response = connection.getresponse()
        response.read()
        return response.status


def test_large_writes_do_not_end_a_server_with_little_address_space(tmp_path: Path) -> None:
    with started(tmp_path / "root", megabytes=LEAST >> 20) as server, ThreadPoolExecutor(8) as clients:
        statuses = list(clients.map(lambda number: _post(server, number), range(48)))
        assert set(statuses) <= {201, 503, CUT}
        stored = server.get(f"{PATH}?fieldSelector=metadata.name!=kube-root-ca.crt")
        assert stored.count(b'"uid"') == statuses.count(201)
        assert server.stop()[0] == 0
