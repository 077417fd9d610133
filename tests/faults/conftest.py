"""Fixtures: each test owns every process in which it injects a fault, and adds a line to the fault table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.distributed.conftest import etcd, start_servers  # noqa: F401 - fixtures
from tests.faults.disk import Disk
from tests.faults.shim import Shim
from tests.faults.table import PROPERTY, Line, Record, encoded

ROUNDS = int(os.environ.get("KCP_FAULT_ROUNDS", "1"))
"""How many times each fault is injected on the same servers."""


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Record:
    """Add a line to the table."""

    def add(line: Line) -> None:
        record_property(PROPERTY, encoded(line))

    return add


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    """A shim that injects faults of fsync, writes and the clock."""
    return Shim(tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of 24 MB."""
    with Disk(tmp_path, 24) as mounted:
        yield mounted
