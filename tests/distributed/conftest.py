"""A cluster of three etcd members, and servers over it, for each test that requests them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from kcp.testing import Server

StartServers = Callable[[int], list[Server]]


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Three etcd members."""
    if binary() is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path, 3) as running:
        yield running


@pytest.fixture
def start_servers(etcd: EtcdCluster) -> Iterator[StartServers]:
    """Start servers over the cluster, each in a process of its own."""
    with contextlib.ExitStack() as stack:

        def start(count: int) -> list[Server]:
            arguments = ["--etcd-servers", ",".join(etcd.urls), "--v", "1"]
            return [stack.enter_context(Server(in_process=False, arguments=arguments)) for _ in range(count)]

        yield start
