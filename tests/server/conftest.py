"""A server for all tests of this folder; each test uses logical clusters of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running_server import RunningServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A running server."""
    running = RunningServer(tmp_path_factory.mktemp("server") / ".kcp")
    yield running
    running.stop()


@pytest.fixture
def cluster() -> str:
    """The path prefix of a fresh logical cluster."""
    return f"/clusters/c-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def fresh_root(tmp_path: Path) -> Path:
    """The root directory of a server that the test starts itself."""
    return tmp_path / ".kcp"
