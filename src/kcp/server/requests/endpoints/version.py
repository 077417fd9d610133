"""``/version``: which Kubernetes this server behaves like, and which kcp it is."""

from __future__ import annotations

import platform
import sys
from functools import lru_cache
from typing import Final

import orjson

from kcp import __version__

KUBERNETES_MINOR: Final = 37
KUBERNETES: Final = f"v1.{KUBERNETES_MINOR}.0"
"""The version whose behaviour is followed. Clients derive from it what they may use."""


def git_version() -> str:
    """The version that clients show."""
    return f"{KUBERNETES}+kcp-{__version__}"


@lru_cache(1)
def document() -> bytes:
    """The body of ``/version``."""
    return orjson.dumps(
        {
            "major": "1",
            "minor": str(KUBERNETES_MINOR),
            "emulationMajor": "1",
            "emulationMinor": str(KUBERNETES_MINOR),
            "minCompatibilityMajor": "1",
            "minCompatibilityMinor": str(KUBERNETES_MINOR - 1),
            "gitVersion": git_version(),
            "gitCommit": "",
            "gitTreeState": "",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": f"python{platform.python_version()}",
            "compiler": sys.implementation.name,
            "platform": f"{sys.platform}/{_architecture()}",
        }
    )


def _architecture() -> str:
    machine = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
