"""A real HTTP server whose answers a test decides: for what no well-behaved API server does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from kcp.client import Client, ClientConfiguration

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class ScriptedServer:
    """A running server: its address, and the requests that came."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def configuration(self, **choices: Any) -> ClientConfiguration:
        """The configuration of a client without a limit on its rate."""
        return ClientConfiguration(server=self.url, **{"qps": 0.0, **choices})

    def client(self, **choices: Any) -> Client:
        """A client of the server."""
        return Client(self.configuration(**choices))


@asynccontextmanager
async def scripted(handler: Handler, port: int = 0) -> AsyncIterator[ScriptedServer]:
    """Serve on a port of 127.0.0.1, by default on a free one."""
    running = ScriptedServer()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        running.requests.append(f"{request.method} {request.rel_url}")
        running.headers.append(dict(request.headers))
        return await handler(request)

    runner = web.ServerRunner(web.Server(handle), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    running.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield running
    finally:
        await runner.cleanup()


def answer(value: Any, status: int = 200, **headers: str) -> web.Response:
    """An answer in JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", headers=named)


def refusal(code: int, reason: str, message: str = "refused", **headers: str) -> web.Response:
    """An answer with a Status."""
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
    return answer(status, code, **headers)


def config_map(name: str, version: int | str, **data: str) -> dict[str, Any]:
    """An object as a server gives it."""
    meta = {"name": name, "namespace": "default", "uid": f"uid-of-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def config_map_list(version: int | str, *items: dict[str, Any], **meta: Any) -> dict[str, Any]:
    """A list as a server gives it."""
    metadata = {"resourceVersion": str(version), **meta}
    return {"apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": list(items)}


def event(type_: str, object_: dict[str, Any]) -> bytes:
    """A line of a watch."""
    return orjson.dumps({"type": type_, "object": object_}) + b"\n"


def bookmark(version: int | str, *, initial: bool = False) -> bytes:
    """A bookmark; ``initial``: the one that ends the initial events."""
    meta: dict[str, Any] = {"resourceVersion": str(version)}
    if initial:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    return event("BOOKMARK", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})


async def stream(request: web.BaseRequest, *pieces: bytes, hold: bool = False, cut: bool = False) -> web.StreamResponse:
    """A body in pieces; ``hold`` leaves it open until the client goes, ``cut`` closes the connection in the middle of it."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    if hold:
        await asyncio.Event().wait()
    if cut:
        assert request.transport is not None
        request.transport.abort()
    return response
