"""An etcd for one test, which may inject faults in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary


@contextmanager
def own_etcd(folder: Path) -> Iterator[EtcdCluster]:
    """Run an etcd of one member below ``folder``. Skips the test where there is no etcd."""
    if binary() is None:
        pytest.skip(MISSING)
    data = folder / "etcd"
    data.mkdir()
    with EtcdCluster(data) as running:
        yield running
