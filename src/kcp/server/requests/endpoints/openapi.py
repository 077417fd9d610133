"""OpenAPI: ``/openapi/v2``, and ``/openapi/v3`` with a document per group and version (KEP-2896)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from kcp.api import errors
from kcp.registry.types.catalog import Catalog
from kcp.registry.types.surfaces import Surface
from kcp.server.requests import content_negotiation
from kcp.server.requests.endpoints.document_responses import VARY_ACCEPT, send_document, send_packed
from kcp.server.requests.exchanges import TEXT, Exchange
from kcp.server.requests.mounts import Mount
from kcp.server.requests.request_info import RequestInfo

if TYPE_CHECKING:
    from kcp.registry.documents.openapi import OpenAPIDocuments

_SWAGGER_PROTOBUF: Final = (
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
)
_V3_PROTOBUF: Final = (
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
)
_IMMUTABLE: Final = (b"cache-control", b"public, immutable, max-age=31536000")
_JSON: Final = b"application/json"
_INDEX_DEPTH: Final = 2


class OpenAPI:
    """The OpenAPI documents of each logical cluster."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def mounts(self) -> tuple[Mount, ...]:
        """Return the mounts of both versions."""
        return (
            Mount("/openapi/v2", self.serve_v2),
            Mount("/openapi/v3", self.serve_v3, subpaths=True, index=self._paths),
        )

    def _paths(self, info: RequestInfo) -> Iterator[str]:
        yield "/openapi/v3"
        for group, version in self._catalog.surface(info.cluster).group_versions:
            yield f"/openapi/v3/apis/{group}/{version}" if group else f"/openapi/v3/api/{version}"

    async def _documents(self, info: RequestInfo) -> OpenAPIDocuments:
        surface = await self._catalog.load(info.cluster)
        return await asyncio.to_thread(_documents_of, surface)

    async def serve_v2(self, exchange: Exchange, info: RequestInfo) -> None:
        """Answer with the document of version 2, as JSON or protobuf. Raises StatusError 406."""
        openapi = await self._documents(info)
        accepted = content_negotiation.negotiate(
            exchange.accept, offered=(content_negotiation.JSON, *_SWAGGER_PROTOBUF)
        )
        if accepted.media_type == content_negotiation.JSON:
            document = await asyncio.to_thread(openapi.v2_json)
            await send_packed(exchange, document, _JSON, (VARY_ACCEPT,))
            return
        document = await asyncio.to_thread(openapi.v2_protobuf)
        await send_packed(exchange, document, _SWAGGER_PROTOBUF[1].encode(), (VARY_ACCEPT,))

    async def serve_v3(self, exchange: Exchange, info: RequestInfo) -> None:
        """Answer with the index of version 3, or with the document of a group and version. Raises StatusError 404 or 406.

        The index is JSON whatever the client accepts, as in kube-apiserver.
        """
        if len(info.parts) > _INDEX_DEPTH:
            await self._serve_group_version(exchange, info, "/".join(info.parts[_INDEX_DEPTH:]))
            return
        index = await asyncio.to_thread((await self._documents(info)).index)
        if info.prefix:
            body = index.body.replace(b'"/openapi/v3/', b'"%b/openapi/v3/' % info.prefix.encode())
            index = index._replace(body=body)
        await send_document(exchange, index, _JSON, (VARY_ACCEPT,))

    async def _serve_group_version(self, exchange: Exchange, info: RequestInfo, name: str) -> None:
        accepted = content_negotiation.negotiate(exchange.accept, offered=(content_negotiation.JSON, *_V3_PROTOBUF))
        openapi = await self._documents(info)
        digest = await asyncio.to_thread(openapi.digest, name)
        if digest is None:
            raise errors.page_not_found()
        asked = info.query.text("hash")
        if asked and asked != digest:
            location = f"{info.prefix}/openapi/v3/{quote(name)}?hash={digest}"
            await exchange.send(301, b"", TEXT, ((b"location", location.encode()),))
            return
        more = (VARY_ACCEPT, _IMMUTABLE) if asked else (VARY_ACCEPT,)
        is_json = accepted.media_type == content_negotiation.JSON
        document = await asyncio.to_thread(openapi.v3 if is_json else openapi.v3_protobuf, name)
        assert document is not None
        await send_packed(exchange, document, _JSON if is_json else _V3_PROTOBUF[1].encode(), more)


def _documents_of(surface: Surface) -> OpenAPIDocuments:
    """The documents of a surface. The first request imports what makes them, in its thread: no start waits for it."""
    from kcp.registry.documents.openapi import OpenAPIDocuments

    return surface.derive(OpenAPIDocuments)
