"""A TCP proxy between a client and a server that can be cut: connections break, and new ones are refused or never answered."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import yaml

from kcp.testing import LogicalCluster


class NetworkCut:
    """Forwards connections to a port of 127.0.0.1 until it is `cut`, and again after `heal`. ``connections`` counts them."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._is_cut = False
        self._is_silent = False
        self.connections = 0
        self.port = 0

    async def start(self) -> None:
        """Start on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self, *, silent: bool = False) -> None:
        """Cut all connections. New ones are closed at once, or (``silent``) accepted and never answered."""
        self._is_cut, self._is_silent = True, silent
        if not silent:
            for writer in tuple(self._writers):
                writer.transport.abort()

    def heal(self) -> None:
        """Forward new connections. Those that were silent break."""
        self._is_cut = self._is_silent = False
        for writer in tuple(self._writers):
            writer.transport.abort()

    def retarget(self, target: int) -> None:
        """Forward to another port: the server was started again."""
        self._target = target

    async def stop(self) -> None:
        """Stop and break all connections."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        await asyncio.gather(*self._serving)
        await asyncio.sleep(0)  # transports that are aborted close in the next iteration of the event loop

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self._writers.add(writer)
        try:
            if self._is_cut and not self._is_silent:
                return
            with contextlib.suppress(OSError):
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
                self._writers.add(there_writer)
                try:
                    await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
                finally:
                    self._writers.discard(there_writer)
                    there_writer.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self._is_cut:
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def network_to(port: int) -> AsyncIterator[NetworkCut]:
    """A network to a port of 127.0.0.1."""
    network = NetworkCut(port)
    await network.start()
    try:
        yield network
    finally:
        await network.stop()


def readdressed(kubeconfig: Path, port: int) -> str:
    """Return the content of a kubeconfig, with the addresses of all servers replaced by a port of 127.0.0.1."""
    content = yaml.safe_load(kubeconfig.read_text())
    for entry in content["clusters"]:
        entry["cluster"]["server"] = re.sub(r"//[^/]*", f"//127.0.0.1:{port}", entry["cluster"]["server"])
    return yaml.safe_dump(content)


def through(cluster: LogicalCluster, network: NetworkCut, directory: Path) -> Path:
    """A kubeconfig of a logical cluster that reaches it through a network."""
    file = directory / f"{network.port}.kubeconfig"
    file.write_text(readdressed(cluster.kubeconfig, network.port))
    return file
