"""One suite for every backend: a test runs on the backends with the capabilities that it requires."""

from __future__ import annotations

from pathlib import Path

import pytest

from kcp.store.contract import Store
from tests.store.conformance.backends import BACKENDS, Backend, opened
from tests.support.running_coroutines import Enter


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize each test with the backends that have the capabilities that it requires."""
    if "backend" in metafunc.fixturenames:
        required = [name for marker in metafunc.definition.iter_markers("requires") for name in marker.args]
        able = [kind for kind in BACKENDS if all(getattr(kind.capabilities, name) for name in required)]
        metafunc.parametrize("backend", able, ids=[kind.name for kind in able], indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest, tmp_path: Path, patient_etcd: None) -> Backend:
    """A backend with an empty log."""
    made: Backend = request.param.make(request, tmp_path)
    return made


@pytest.fixture
def store(enter: Enter, backend: Backend) -> Store:
    """An open store over an empty log of the backend."""
    return enter(opened(backend))
