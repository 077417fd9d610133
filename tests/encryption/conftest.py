"""A KMS plugin for tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.encryption.kms_plugin import Plugin, plugin_at


@pytest.fixture
def plugin() -> Iterator[Plugin]:
    """A running KMS plugin. Its socket is in a folder of a short name: a socket's path has a limit."""
    with tempfile.TemporaryDirectory() as folder, plugin_at(Path(folder) / "kms.sock") as running:
        yield running
