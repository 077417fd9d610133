"""A kcp server for the duration of a ``with`` block.

It runs in this process (the default: in a thread with its own event loop) or as a separate process, exactly as ``kcp start``
runs it. Both serve real TLS on a free port of 127.0.0.1 and keep all data in one directory.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import yaml

from kcp.logical_clusters import LogicalClusterName, path_of

if TYPE_CHECKING:
    from kcp.server.process.configuration import Configuration
    from kcp.server.process.parts import Parts

_STOP_SECONDS: Final = 30


class ServerError(Exception):
    """The server did not start; the message is its own."""


@dataclass(frozen=True)
class LogicalCluster:
    """One logical cluster of a server, as a client sees it."""

    name: str
    url: str
    kubeconfig: Path
    token: str
    certificate_authority: Path

    def write_kubeconfig(self, path: Path) -> None:
        """Write a copy of the kubeconfig."""
        shutil.copyfile(self.kubeconfig, path)
        path.chmod(0o600)


class Server:
    """A server that runs between ``__enter__`` and ``__exit__``.

    Without a ``root_directory`` it uses a temporary one, which it removes. ``arguments`` are those of ``kcp start``. ``parts``
    replace parts of the server (see `kcp.embedding`); only a server in this process can have them.
    """

    def __init__(
        self,
        *,
        root_directory: Path | None = None,
        in_process: bool = True,
        arguments: Sequence[str] = (),
        parts: Parts | None = None,
    ) -> None:
        if parts is not None and not in_process:
            raise ValueError("parts need a server in this process: in_process=True")
        self.parts = parts
        self._owned = root_directory is None
        self.root_directory = root_directory or Path(tempfile.mkdtemp(prefix="kcp-"))
        self._arguments = tuple(arguments)
        self._runner: _ThreadRunner | _ProcessRunner = _ThreadRunner(self) if in_process else _ProcessRunner(self)
        self._numbers = itertools.count(1)
        self._run = uuid.uuid4().hex[:8]
        self._admin: dict[str, Any] = {}

    @property
    def command(self) -> list[str]:
        """The command line that starts this server, from the interpreter on."""
        options = ["--root-directory", str(self.root_directory), "--secure-port", "0", *self._arguments]
        return [sys.executable, "-m", "kcp", "start", *options]

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root_directory / "data" / "admin.kubeconfig"

    @property
    def url(self) -> str:
        """The address of the default logical cluster."""
        return str(self._cluster["server"])

    @property
    def token(self) -> str:
        """The administrator's bearer token."""
        return str(self._admin["users"][0]["user"]["token"])

    @property
    def certificate_authority(self) -> Path:
        """The CA of the server's certificate, as a PEM file."""
        return self.root_directory / "data" / "ca.crt"

    @property
    def _cluster(self) -> dict[str, Any]:
        """The kubeconfig's entry without a path: the default logical cluster."""
        clusters: list[dict[str, Any]] = [entry["cluster"] for entry in self._admin["clusters"]]
        return min(clusters, key=lambda cluster: len(cluster["server"]))

    @property
    def process_id(self) -> int:
        """The ID of the process that serves."""
        return self._runner.process_id

    def logical_cluster(self, name: str | None = None) -> LogicalCluster:
        """Return a logical cluster by name, or an unused one."""
        name = name or f"test-{self._run}-{next(self._numbers)}"
        url = self.url + path_of(LogicalClusterName(name))
        kubeconfig = self.root_directory / "clusters" / f"{name}.kubeconfig"
        kubeconfig.parent.mkdir(exist_ok=True)
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {**self._cluster, "server": url}}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "admin"}}],
            "current-context": name,
        }
        descriptor = os.open(kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            yaml.dump(content, file, Dumper=yaml.CSafeDumper)
        return LogicalCluster(name, url, kubeconfig, self.token, self.certificate_authority)

    def start(self) -> None:
        """Start and wait for readiness. Raises ServerError."""
        self._runner.start()
        self._admin = yaml.load(self.kubeconfig.read_text(), Loader=yaml.CSafeLoader)

    def stop(self) -> None:
        """Stop as on SIGTERM, and wait for the end."""
        self._runner.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._remove()

    def _remove(self) -> None:
        if self._owned:
            shutil.rmtree(self.root_directory, ignore_errors=True)


class _ProcessRunner:
    """Runs ``kcp start`` as a child process."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._process: subprocess.Popen[str] | None = None

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        log = self._server.root_directory / "server.log"
        with log.open("a") as errors:
            self._process = subprocess.Popen(self._server.command, stdout=subprocess.PIPE, stderr=errors, text=True)  # noqa: S603
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "export KUBECONFIG" in line:
                return
        code = self._process.wait()
        self.stop()
        raise ServerError(f"kcp start ended with exit code {code}: {log.read_text()}")

    def stop(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


class _ThreadRunner:
    """Runs the server on an event loop of its own, in a thread of this process."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def process_id(self) -> int:
        return os.getpid()

    def start(self) -> None:
        from kcp.cli.start import configuration_of

        configuration = configuration_of(self._server.command[4:])
        outcome: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(configuration, outcome), name="kcp-test-server", daemon=True
        )
        self._thread.start()
        try:
            outcome.result()
        except Exception as error:
            self._thread.join()
            self._thread = None
            raise ServerError(str(error)) from error

    def _run(self, configuration: Configuration, outcome: Future[None]) -> None:
        import uvloop

        async def serve() -> None:
            from kcp.server.process.running import ServerProcess

            process = ServerProcess(configuration, self._server.parts)
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            try:
                await process.start()
            except BaseException as error:  # raised in the thread that called `start`
                outcome.set_exception(error)
                return
            outcome.set_result(None)
            await self._stop.wait()
            await process.stop()

        uvloop.run(serve())

    def stop(self) -> None:
        if self._thread is not None and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_STOP_SECONDS)
            self._thread = None
