"""A real HTTPS server in a thread of its own, whose answers a test decides: a webhook, an issuer, or a misbehaving one."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import orjson
import yaml
from aiohttp import web

from kcp.auth.certificates import KeyPair, new_authority, new_serving_identity
from tests.support.waiting import PATIENCE

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class HTTPSServer:
    """A server on a free port of 127.0.0.1, for the duration of a ``with`` block."""

    def __init__(
        self, folder: Path, handler: Handler, *, names: tuple[str, ...] = ("localhost", "127.0.0.1"), port: int = 0
    ) -> None:
        """``folder`` gets the files of certificates; ``names`` are those of the serving certificate."""
        self.authority = new_authority("ca of the test")
        self.requests: list[tuple[str, str]] = []
        """Method and path of each request."""
        self.headers: list[dict[str, str]] = []
        self.client_certificates: list[str] = []
        """Subjects of the client certificates, of the requests that have one."""
        self.connections: set[asyncio.Transport] = set()
        self.ca_file = folder / "https-ca.crt"
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file.write_bytes(self.authority.certificate)
        self._handler = handler
        self._port = port
        self._context = self._tls(folder, new_serving_identity(self.authority, "test", names))
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def _tls(self, folder: Path, serving: KeyPair) -> ssl.SSLContext:
        pair = folder / "https-serving.pem"
        pair.write_bytes(serving.certificate + serving.key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.authority.certificate.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_cert_chain(pair)
        return context

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.ServerRunner(web.Server(self._handle), handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port, ssl_context=self._context).start()
        self.port = runner.addresses[0][1]
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()
        for transport in self.connections:
            transport.abort()
        await asyncio.sleep(0)  # aborted transports close their sockets in the next iteration
        await asyncio.sleep(0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append((request.method, str(request.rel_url)))
        self.headers.append({name.lower(): text for name, text in request.headers.items()})
        assert isinstance(request.transport, asyncio.Transport)
        self.connections.add(request.transport)
        if certificate := request.transport.get_extra_info("peercert"):
            self.client_certificates.append(dict(pair for (pair,) in certificate["subject"])["commonName"])
        return await self._handler(request)

    def url(self, path: str = "/", host: str = "localhost") -> str:
        return f"https://{host}:{self.port}{path}"

    def kubeconfig(self, name: str, path: str = "/", user: dict[str, Any] | None = None, **cluster: Any) -> Path:
        """Write a kubeconfig as webhooks have it."""
        target = {"server": self.url(path), "certificate-authority": str(self.ca_file), **cluster}
        content = {
            "kind": "Config",
            "apiVersion": "v1",
            "clusters": [{"name": "webhook", "cluster": target}],
            "users": [{"name": "server", "user": user or {}}],
            "contexts": [{"name": "webhook", "context": {"cluster": "webhook", "user": "server"}}],
            "current-context": "webhook",
        }
        written = self.folder / name
        written.write_text(yaml.safe_dump(content))
        return written


def json_answer(value: Any, status: int = 200, **headers: str) -> web.Response:
    """An answer in JSON; underscores in the names of headers stand for hyphens."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", headers=named)
