"""Simulated clusters in processes of their own: ``kcp simulate-cluster`` as its users run it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from devtools.ports import free_ports
from kcp.client import Client, load_configuration
from tests.support.kubectl import CURRENT, Kubectl
from tests.support.waiting import PATIENCE

_READY = re.compile(r"ready at https://[^:]+:(\d+)")


class SimulatedCluster:
    """A cluster: `start`, then `ready`. It keeps its port and its objects when it is stopped and started again."""

    def __init__(self, name: str, directory: Path, *arguments: str, prefix: Sequence[str] = ()) -> None:
        """``directory`` will hold what the cluster keeps; ``arguments`` are those of ``kcp simulate-cluster``.

        ``prefix`` is that of the command of the process.
        """
        self.name = name
        self.directory = directory
        (self.port,) = free_ports(1)
        self._arguments = arguments
        self._prefix = prefix
        self._process: subprocess.Popen[str] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The command of ``kcp``, without options."""
        return "simulate-cluster", self.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "data" / "admin.kubeconfig"

    @property
    def process_id(self) -> int:
        """The ID of the process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [*self._prefix, sys.executable, "-m", "kcp", *self.words]
        options = ["--root-directory", str(self.directory), "--secure-port", str(self.port), *self._arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with (self.directory / "errors.log").open("a") as errors:
            self._process = subprocess.Popen(
                [*command, *options], stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            )

    def ready(self) -> None:
        """Wait until the cluster is complete."""
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := _READY.search(line):
                self.port = int(found[1])
            if "export KUBECONFIG" in line:
                return
        raise AssertionError(f"cluster {self.name} ended: {(self.directory / 'errors.log').read_text()}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop the process, or kill it with SIGKILL."""
        if self._process is None:
            return
        with self._process as process:  # closes the pipe
            if process.poll() is None:
                process.send_signal(number)
                try:
                    process.wait(PATIENCE)
                finally:
                    process.kill()
        self._process = None

    def client(self, **options: Any) -> Client:
        """A client of the administrator."""
        return Client(load_configuration(self.kubeconfig, **options))

    def kubectl(self, home: Path) -> Kubectl:
        """A kubectl of the administrator, with a directory of its own."""
        return Kubectl(CURRENT, self.kubeconfig, home)


@contextlib.contextmanager
def simulated_clusters(
    directory: Path, *names: str, arguments: tuple[str, ...] = ()
) -> Iterator[list[SimulatedCluster]]:
    """Run clusters, which start at the same time, until the end of the block."""
    clusters = [SimulatedCluster(name, directory / name, *arguments) for name in names]
    try:
        for cluster in clusters:
            cluster.start()
        for cluster in clusters:
            cluster.ready()
        yield clusters
    finally:
        for cluster in clusters:
            cluster.stop()
