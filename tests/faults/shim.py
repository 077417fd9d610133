"""The faults of `shim.c`, built with gcc, switched on and off while a server runs."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("shim.c")
_FIELDS = ("clock_offset", "sync_held", "sync_permits", "sync_error", "write_error", "read_error", "syncs", "injected")


class Shim:
    """The library that is preloaded between programs and libc. Skips the test without gcc."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("gcc")
        if compiler is None:
            pytest.skip("gcc is not installed, with which the faults of fsync and clocks are built")
        self._library = folder / "shim.so"
        self._file = folder / "shim.control"
        self._file.write_bytes(bytes(8 * len(_FIELDS)))
        command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", self._library, _SOURCE, "-ldl"]
        subprocess.run([str(word) for word in command], check=True)
        with self._file.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), 0)

    @property
    def prefix(self) -> list[str]:
        """The prefix of a command whose process is to have the faults."""
        return ["env", f"LD_PRELOAD={self._library}", f"FAULTS_CONTROL={self._file}"]

    def set(self, **values: int) -> None:
        """Set faults.

        ``clock_offset`` is in seconds; ``sync_error``, ``write_error`` and ``read_error`` are an errno. While ``sync_held``
        is not 0, each fsync waits for one of the ``sync_permits``.
        """
        for name, value in values.items():
            struct.pack_into("=q", self._control, 8 * _FIELDS.index(name), value)

    def get(self, name: str) -> int:
        """Return a value, such as ``syncs`` (calls of fsync) or ``injected`` (calls that were made to fail)."""
        found: int = struct.unpack_from("=q", self._control, 8 * _FIELDS.index(name))[0]
        return found
