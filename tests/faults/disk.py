"""A small file system in a mount namespace that only the server and its test see."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest

from kcp.testing import Server

_MISSING = "root, unshare and nsenter are needed to mount a small file system in a namespace of its own"


class Disk:
    """A tmpfs between ``__enter__`` and ``__exit__``. Skips the test where it cannot be made."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("nsenter"):
            pytest.skip(_MISSING)
        self.inside = folder / "disk"
        """The path for processes in the namespace."""
        self.inside.mkdir()
        script = f'mount -t tmpfs -o size={megabytes}m,mode=700 none "$0" && echo mounted && exec sleep infinity'
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, self.inside],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "mounted\n":
            pytest.skip(f"{_MISSING}: {self._holder.communicate()[1].strip()}")

    @property
    def outside(self) -> Path:
        """The path of the file system outside of its namespace."""
        return Path(f"/proc/{self._holder.pid}/root{self.inside}")

    @property
    def prefix(self) -> list[str]:
        """The prefix of a command whose process is to see the file system."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--wd={Path.cwd()}"]

    def fill(self) -> None:
        """Fill the file system completely."""
        with (self.outside / "filling").open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        """Remove what `fill` has written."""
        (self.outside / "filling").unlink()

    def remount(self, option: str) -> None:
        """Remount ``ro`` or ``rw``. The kernel refuses ``ro`` while a process has a file open for writing."""
        subprocess.run([*self.prefix, "mount", "-o", f"remount,{option}", str(self.inside)], check=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.communicate()


class FaultyServer(Server):
    """A server in a process of its own, started with a prefix that injects faults.

    ``inside`` is what the server calls its directory, where others call it ``root_directory``.
    """

    def __init__(
        self, root_directory: Path, prefix: Sequence[str], *, inside: Path | None = None, arguments: Sequence[str] = ()
    ) -> None:
        super().__init__(root_directory=root_directory, in_process=False, arguments=arguments)
        self._prefix = list(prefix)
        self._inside = inside or root_directory

    @property
    def command(self) -> list[str]:
        """The command line with the prefix."""
        options = ["--root-directory", str(self._inside), "--secure-port", "0", *self._arguments]
        return [*self._prefix, sys.executable, "-m", "kcp", "start", *options]
