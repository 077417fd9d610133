"""Where the Go programs of ``contrib/clients`` are: in the folder that a variable names, which .ci/run builds."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

CHOSEN: Final = "KCP_TEST_CLIENTS"
"""The variable that names the folder."""


def go_program(name: str) -> Path:
    """Return the path of a program; skip the test if there is none."""
    if chosen := os.environ.get(CHOSEN):
        path = Path(chosen, name).absolute()
        assert os.access(path, os.X_OK), f"{CHOSEN} is {chosen}, where there is no {name}"
        return path
    pytest.skip(f"{CHOSEN} names no folder with {name}, built from contrib/clients (go build)")


def helm() -> Path:
    """Return the path of Helm 4: from the chosen folder, else from PATH."""
    found = None if os.environ.get(CHOSEN) else shutil.which("helm")
    if found is not None:
        shown = subprocess.run(
            [found, "version", "--template={{.Version}}"], capture_output=True, text=True, check=False
        )
        if shown.stdout.startswith("v4"):
            return Path(found)
    return go_program("helm")
