"""The paths that are not resources: discovery, OpenAPI, version, health, metrics.

Follows the API concepts page ("API Discovery"), KEP-3352 (aggregated discovery) and KEP-2896 (OpenAPI version 3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import orjson

from kcp.api import errors, protobuf
from kcp.registry.documents.discovery import AGGREGATED_VERSIONS, DiscoveryDocuments, Document
from kcp.registry.documents.openapi import OpenAPIDocuments
from kcp.registry.types.catalog import Catalog
from kcp.server.observability.health import Health
from kcp.server.observability.metrics import Metrics
from kcp.server.requests import negotiation, version
from kcp.server.requests.exchanges import TEXT, Exchange, Header
from kcp.server.requests.request_info import RequestInfo

_SWAGGER_PROTOBUF: Final = (
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
)
_HEALTH: Final = ("healthz", "livez", "readyz")
_METRICS_TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
_VARY: Final = (b"vary", b"Accept")
_FOR_EVER: Final = (b"cache-control", b"public, immutable, max-age=31536000")
_GROUP: Final = 2
_VERSION: Final = 3
_ROOTS: Final = frozenset({"", "api", "apis", "openapi", "version", "metrics", *_HEALTH})
_STATIC_PATHS: Final = ("/metrics", "/openapi/v2", "/openapi/v3", "/version")


class DocumentRoutes:
    """The handlers of these paths."""

    def __init__(self, catalog: Catalog, health: Health, metrics: Metrics, server_address: str) -> None:
        self._catalog = catalog
        self._health = health
        self._metrics = metrics
        self._server_address = server_address

    async def serve(self, exchange: Exchange, info: RequestInfo) -> None:
        """Answer a request. Raises StatusError 404 or 405."""
        parts = info.parts
        root = parts[0] if parts else ""
        if root not in _ROOTS:
            raise errors.page_not_found()
        if info.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        if not parts:
            await self._send_json(exchange, self._root_paths(info))
        elif root in ("api", "apis"):
            await self._discovery(exchange, info)
        elif root == "openapi":
            await self._openapi(exchange, info)
        elif root in _HEALTH:
            await self._answer_health(exchange, info)
        elif len(parts) > 1:
            raise errors.unknown_path() if root == "version" else errors.page_not_found()
        elif root == "version":
            await self._send_json(exchange, version.document())
        else:
            text = await asyncio.to_thread(self._metrics.text)
            await exchange.send(200, text, _METRICS_TEXT)

    async def _send_json(self, exchange: Exchange, body: bytes, more: Sequence[Header] = ()) -> None:
        accepted = negotiation.negotiate(exchange.accept)
        yaml = accepted.media_type == negotiation.YAML
        await exchange.send_object(200, body, negotiation.YAML_VIEW if yaml else negotiation.PLAIN_VIEW, more)

    def _root_paths(self, info: RequestInfo) -> bytes:
        surface = self._catalog.surface(info.cluster)
        paths = {"/api", "/apis", *_STATIC_PATHS, *self._health.paths()}
        for group, its_version in surface.group_versions:
            base = f"/apis/{group}" if group else "/api"
            paths |= {base, f"{base}/{its_version}"}
            paths.add(f"/openapi/v3{base}/{its_version}")
        return orjson.dumps({"paths": sorted(paths)})

    async def _discovery(self, exchange: Exchange, info: RequestInfo) -> None:
        parts = info.parts
        documents = self._catalog.surface(info.cluster).derive(DiscoveryDocuments)
        body: bytes | None
        if len(parts) == 1:
            found = negotiation.aggregated_version(exchange.accept, AGGREGATED_VERSIONS)
            if found is not None:
                kind = f"application/json;g=apidiscovery.k8s.io;v={found};as=APIGroupDiscoveryList"
                await self._send_document(exchange, documents.aggregated(parts[0], found), kind.encode(), (_VARY,))
                return
            body = documents.core_versions(self._server_address) if parts[0] == "api" else documents.groups()
        elif parts[0] == "api":
            body = documents.resources("", parts[1]) if len(parts) == _GROUP else None
        elif len(parts) == _GROUP:
            body = documents.group(parts[1])
        else:
            body = documents.resources(parts[1], parts[2]) if len(parts) == _VERSION and parts[1] else None
        if body is None:
            raise self._catalog.not_served("" if parts[0] == "api" else parts[1])
        if negotiation.status_view(exchange.accept).protobuf:
            await exchange.send_object(
                200, protobuf.encode_body(orjson.loads(body)), negotiation.PROTOBUF_VIEW, (_VARY,)
            )
            return
        await self._send_json(exchange, body, (_VARY,))

    async def _send_document(
        self, exchange: Exchange, document: Document, content_type: bytes, more: Sequence[Header]
    ) -> None:
        tag = document.etag.encode()
        head = ((b"etag", tag), *more)
        if not_modified(exchange.headers.get(b"if-none-match", b""), tag):
            await exchange.send(304, b"", content_type, head)
            return
        view = negotiation.PLAIN_VIEW._replace(content_type=content_type)
        await exchange.send_object(200, document.body, view, head)

    async def _openapi(self, exchange: Exchange, info: RequestInfo) -> None:
        parts = info.parts
        openapi = self._catalog.surface(info.cluster).derive(OpenAPIDocuments)
        if parts[1:] == ("v2",):
            await self._swagger(exchange, openapi)
            return
        if len(parts) < _GROUP or parts[1] != "v3":
            raise errors.page_not_found()
        negotiation.negotiate(exchange.accept, offered=(negotiation.JSON,))
        if len(parts) == _GROUP:
            index = await asyncio.to_thread(openapi.index)
            if info.prefix:
                body = index.body.replace(b'"/openapi/v3/', b'"%b/openapi/v3/' % info.prefix.encode())
                index = index._replace(body=body)
            await self._send_document(exchange, index, b"application/json", (_VARY,))
            return
        await self._openapi_version(exchange, info, openapi, "/".join(parts[2:]))

    async def _openapi_version(
        self, exchange: Exchange, info: RequestInfo, openapi: OpenAPIDocuments, name: str
    ) -> None:
        document = await asyncio.to_thread(openapi.v3, name)
        if document is None:
            raise errors.page_not_found()
        asked = info.query.text("hash")
        if asked and asked != document.digest:
            place = f"{info.prefix}/openapi/v3/{quote(name)}?hash={document.digest}"
            await exchange.send(301, b"", TEXT, ((b"location", place.encode()),))
            return
        more = (_VARY, _FOR_EVER) if asked else (_VARY,)
        await self._send_document(exchange, document, b"application/json", more)

    async def _swagger(self, exchange: Exchange, openapi: OpenAPIDocuments) -> None:
        accepted = negotiation.negotiate(exchange.accept, offered=(negotiation.JSON, *_SWAGGER_PROTOBUF))
        if accepted.media_type == negotiation.JSON:
            document = await asyncio.to_thread(openapi.v2_json)
            await self._send_document(exchange, document, b"application/json", (_VARY,))
            return
        document = await asyncio.to_thread(openapi.v2_protobuf)
        tag = document.etag.encode()
        head = ((b"etag", tag), _VARY)
        modified = not not_modified(exchange.headers.get(b"if-none-match", b""), tag)
        status, body = (200, document.body) if modified else (304, b"")
        await exchange.send_bytes(status, body, _SWAGGER_PROTOBUF[1].encode(), head)

    async def _answer_health(self, exchange: Exchange, info: RequestInfo) -> None:
        query = info.query
        verdict = self._health.answer(
            info.parts[0],
            "/".join(info.parts[1:]),
            verbose=query.optional_flag("verbose") is not None,
            exclude=query.all("exclude"),
        )
        if verdict is None:
            raise errors.page_not_found()
        await exchange.send(verdict.status, verdict.text.encode(), TEXT, (_NO_SNIFFING,))


def not_modified(if_none_match: bytes, tag: bytes) -> bool:
    """The client's copy is the current one (RFC 9110, If-None-Match; weak comparison)."""
    if not if_none_match:
        return False
    offered = {entry.strip().removeprefix(b"W/") for entry in if_none_match.split(b",")}
    return tag in offered or b"*" in offered
