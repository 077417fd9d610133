"""The measured server as a separate process: its start, the time until it is ready, and its memory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.client import Peer

CHECKOUT = Path(__file__).resolve().parents[1]
"""The source tree that this benchmark is part of."""


@dataclass
class Server:
    """A running kcp."""

    peer: Peer
    pid: int
    root: Path
    ready_seconds: float

    def resident_megabytes(self) -> float:
        """Resident memory, in MB (Linux)."""
        return resident_megabytes(self.pid)

    def file_megabytes(self) -> float:
        """The size of its directory on the disk, in MB."""
        return sum(path.stat().st_blocks for path in self.root.rglob("*") if path.is_file()) * 512 / 1024**2


def resident_megabytes(process: int | str = "self") -> float:
    """Return the resident memory of a process, by default of this one, in MB (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else float("nan")


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in seconds (Linux; a multiple of 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peer_of(kubeconfig: Path, name: str = "kcp", pid: int | None = None) -> Peer:
    """Return the server of a kubeconfig that kcp wrote, in the logical cluster of the root path."""
    loaded = yaml.safe_load(kubeconfig.read_text())
    servers = sorted((entry["cluster"]["server"] for entry in loaded["clusters"]), key=len)
    return Peer(name, servers[0], loaded["users"][0]["user"]["token"], pid)


@contextmanager
def kcp_server(
    arguments: Sequence[str] = (), *, name: str = "kcp", checkout: Path = CHECKOUT, prefix: Sequence[str] = ()
) -> Iterator[Server]:
    """Run the kcp of a checkout on a free port with a directory of its own; ``name`` is its name in tables.

    ``prefix`` is the start of its command.
    """
    with tempfile.TemporaryDirectory(prefix="kcp-bench-") as root:
        start = time.perf_counter()
        command = [
            *prefix,
            sys.executable,
            "-m",
            "kcp",
            "start",
            "--root-directory",
            root,
            "--secure-port",
            "0",
            *arguments,
        ]
        environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
        # as installed: only the first start of a checkout compiles the modules
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root, env=environment
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "export KUBECONFIG" in line:
                    break
            else:
                raise RuntimeError(f"kcp start ended with {process.wait()}")
            seconds = time.perf_counter() - start
            peer = peer_of(Path(root) / "data" / "admin.kubeconfig", name, process.pid)
            yield Server(peer, process.pid, Path(root), seconds)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)
