"""One suite, every backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.conformance.backends import BACKENDS, Backend


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """A backend with an empty log."""
    made: Backend = request.param(tmp_path)
    return made
