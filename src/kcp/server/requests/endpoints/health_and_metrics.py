"""Mounts for operators: health, metrics, version, and the index of paths."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import orjson

from kcp.api import errors
from kcp.auth.users import MASTERS, MONITORING
from kcp.server.observability.health import ENDPOINTS, Health
from kcp.server.observability.metrics import Metrics
from kcp.server.requests.endpoints import version
from kcp.server.requests.endpoints.document_responses import send_json
from kcp.server.requests.exchanges import NO_SNIFFING, TEXT, Exchange
from kcp.server.requests.mounts import READ_METHODS, Mount
from kcp.server.requests.request_info import RequestInfo

_METRICS_TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"
_TRUSTED: Final = frozenset({MASTERS, MONITORING})
"""Groups whose members see what faults are about."""
_ANY_METHOD: Final = READ_METHODS | {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
"""Health checks of some load balancers use other methods than GET; kube-apiserver answers them all."""


def health_mounts(health: Health) -> tuple[Mount, ...]:
    """Return the mounts of the health endpoints. Their requests are not counted: a busy server is still healthy."""
    serve = partial(_serve_health, health)
    return tuple(
        Mount(
            f"/{name}",
            serve,
            methods=_ANY_METHOD,
            subpaths=True,
            in_flight=False,
            index=lambda _, name=name: health.paths(name),  # type: ignore[misc]
        )
        for name in ENDPOINTS
    )


async def _serve_health(health: Health, exchange: Exchange, info: RequestInfo) -> None:
    query = info.query
    verdict = health.answer(
        info.parts[0],
        "/".join(info.parts[1:]),
        verbose=query.optional_flag("verbose") is not None,
        exclude=query.all("exclude"),
        trusted=not _TRUSTED.isdisjoint(exchange.user.groups),
    )
    if verdict is None:
        raise errors.page_not_found()
    await exchange.send(verdict.status, verdict.text.encode(), TEXT, (NO_SNIFFING,))


def metrics_mount(metrics: Metrics) -> Mount:
    """Return the mount of ``/metrics``."""

    async def serve(exchange: Exchange, _: RequestInfo) -> None:
        await exchange.send(200, await asyncio.to_thread(metrics.text), _METRICS_TEXT)

    return Mount("/metrics", serve)


def version_mount() -> Mount:
    """Return the mount of ``/version``."""

    async def serve(exchange: Exchange, info: RequestInfo) -> None:
        if len(info.parts) > 1:
            raise errors.unknown_path()
        await send_json(exchange, version.document())

    return Mount("/version", serve, subpaths=True)


def index_mount(paths: Callable[[RequestInfo], Awaitable[list[str]]]) -> Mount:
    """Return the mount of ``/``: the list of all paths."""

    async def serve(exchange: Exchange, info: RequestInfo) -> None:
        await send_json(exchange, orjson.dumps({"paths": await paths(info)}))

    return Mount("/", serve, index=lambda _: ())
