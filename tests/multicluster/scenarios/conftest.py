"""A kcp that runs the syncers of its clusters, and two simulated clusters: each in a process of its own, shared by the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kcp.testing import LogicalCluster, Server
from tests.multicluster.scenarios.fleet import ARGUMENTS, Fleet
from tests.support.simulated_clusters import SimulatedCluster, simulated_clusters


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SimulatedCluster]]:
    """The clusters us-east1 and us-west1."""
    folder = tmp_path_factory.mktemp("clusters")
    with simulated_clusters(folder, "us-east1", "us-west1", arguments=("--make-pods=false",)) as started:
        yield {each.name: each for each in started}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, clusters: dict[str, SimulatedCluster]) -> Iterator[Server]:
    """The kcp."""
    del clusters  # they start before it
    with Server(root_directory=tmp_path_factory.mktemp("kcp"), in_process=False, arguments=ARGUMENTS) as started:
        yield started


@pytest.fixture
def home(server: Server) -> LogicalCluster:
    """A fresh logical cluster."""
    return server.logical_cluster()


@pytest.fixture
def fleet(home: LogicalCluster, clusters: dict[str, SimulatedCluster], tmp_path: Path) -> Iterator[Fleet]:
    """The logical cluster and the clusters, which are removed at the end."""
    made = Fleet(home, clusters, tmp_path)
    yield made
    made.remove_clusters()
