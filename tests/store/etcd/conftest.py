"""The clusters that the tests of the etcd backend run on; a log of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.etcd import EtcdCluster
from kcp.store.contract import Store
from tests.store.conformance.backends import opened
from tests.store.etcd.backends import EtcdBackend
from tests.support.running_coroutines import Enter


@pytest.fixture(scope="session", params=["etcd_of_one", "etcd_of_three"], ids=["one-member", "three-members"])
def cluster(request: pytest.FixtureRequest) -> EtcdCluster:
    """A running etcd cluster."""
    found: EtcdCluster = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def backend(cluster: EtcdCluster, tmp_path: Path, patient_etcd: None) -> EtcdBackend:
    """A backend with an empty log."""
    return EtcdBackend(cluster, tmp_path)


@pytest.fixture
def store(enter: Enter, backend: EtcdBackend) -> Store:
    """An open store over an empty log in the cluster."""
    return enter(opened(backend))
