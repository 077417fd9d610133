"""One etcd for all tests, which have a log of their own each; and pairs of logs of all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from tests.store.transfer.logs import EtcdLog, Log, SQLiteLog

KINDS: dict[str, type[Log]] = {"sqlite": SQLiteLog, "etcd": EtcdLog}


@pytest.fixture(autouse=True)
def patience(patient_etcd: None) -> None:
    """No test here is about an etcd that is too slow."""


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """A running etcd of one member."""
    if binary() is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path_factory.mktemp("etcd"), extra=("--max-request-bytes", "4194304")) as running:
        yield running


def _log(request: pytest.FixtureRequest, folder: Path) -> Log:
    kind = KINDS[request.param]
    return EtcdLog(folder, request.getfixturevalue("etcd")) if kind is EtcdLog else SQLiteLog(folder)


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    """A log of each kind."""
    return _log(request, tmp_path)


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    """Another one of each kind."""
    return _log(request, tmp_path)


@pytest.fixture
def etcd_log(etcd: EtcdCluster, tmp_path: Path) -> EtcdLog:
    """A log in etcd."""
    return EtcdLog(tmp_path, etcd)
