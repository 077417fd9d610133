"""Failures that etcd causes: members of some releases lose acknowledged writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from devtools.etcd import EtcdCluster
from kcp.store.etcd.versions import LOSING


@contextlib.contextmanager
def excused(cluster: EtcdCluster) -> Iterator[None]:
    """Expect a failure where members of a release that loses writes have diverged.

    Then acknowledged writes are gone, or writes are refused, since each member checks their conditions against its own data.
    """
    try:
        yield
    except AssertionError as error:
        if not LOSING[0] <= cluster.version <= LOSING[1]:
            raise
        cluster.wait_for_all()
        if cluster.agree():
            raise
        pytest.xfail(f"etcd's members hold different things, as those of 3.5.0 to 3.5.2 do after kills: {error}")
