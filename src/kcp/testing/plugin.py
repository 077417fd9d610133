"""The pytest plugin: one server for the session, one logical cluster for each test.

``kcp_server`` starts on first use and runs until the end of the session (one per pytest-xdist worker). ``kcp_cluster`` is
a logical cluster of its own for each test: its ``kubeconfig`` is a file for any client.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kcp.testing.server import LogicalCluster, Server


@pytest.fixture(scope="session")
def kcp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running kcp in this process."""
    from kcp.testing.server import Server

    with Server(root_directory=tmp_path_factory.mktemp("kcp")) as server:
        yield server


@pytest.fixture
def kcp_cluster(kcp_server: Server) -> LogicalCluster:
    """A fresh logical cluster."""
    return kcp_server.logical_cluster()
