"""Discovery: ``/api``, ``/apis`` and the documents below them.

Follows the API concepts page ("API Discovery") and KEP-3352 (aggregated discovery).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import orjson

from kcp.api import protobuf
from kcp.registry.documents.discovery import AGGREGATED_VERSIONS, DiscoveryDocuments
from kcp.registry.types.catalog import Catalog
from kcp.registry.verbs.large_work import run_large
from kcp.server.requests import content_negotiation
from kcp.server.requests.endpoints.document_responses import VARY_ACCEPT, send_document, send_json
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.mounts import Mount
from kcp.server.requests.request_info import RequestInfo

_SIZE: Final = 512
"""Bytes of discovery documents for each definition, about."""
_GROUP_DEPTH: Final = 2
_VERSION_DEPTH: Final = 3


class DiscoveryEndpoint:
    """The discovery documents of each logical cluster."""

    def __init__(self, catalog: Catalog, server_address: str) -> None:
        """``server_address`` is the host and port in the response to ``/api``."""
        self._catalog = catalog
        self._server_address = server_address

    def mounts(self) -> tuple[Mount, ...]:
        """Return the mounts of ``/api`` and ``/apis``."""
        return (
            Mount("/api", self.serve, subpaths=True, index=lambda info: self._paths("/api", info)),
            Mount("/apis", self.serve, subpaths=True, index=lambda info: self._paths("/apis", info)),
        )

    def _paths(self, root: str, info: RequestInfo) -> Iterator[str]:
        yield root
        for group, version in self._catalog.surface(info.cluster).group_versions:
            if bool(group) == (root == "/apis"):
                base = f"/apis/{group}" if group else "/api"
                yield base
                yield f"{base}/{version}"

    async def serve(self, exchange: Exchange, info: RequestInfo) -> None:
        """Answer a request. Raises StatusError 404 or 406."""
        root = info.parts[0]
        surface = await self._catalog.load(info.cluster)
        size = len(surface.definitions) * _SIZE
        documents = await run_large(size, surface.derive, DiscoveryDocuments)
        if len(info.parts) == 1:
            found = content_negotiation.aggregated_version(exchange.accept, AGGREGATED_VERSIONS)
            if found is not None:
                kind = f"application/json;g=apidiscovery.k8s.io;v={found};as=APIGroupDiscoveryList"
                document = await run_large(size, documents.aggregated, root, found)
                await send_document(exchange, document, kind.encode(), (VARY_ACCEPT,))
                return
        body = await run_large(size, self._document, documents, info.parts)
        if body is None:
            raise self._catalog.not_served("" if root == "api" else info.parts[1])
        if content_negotiation.status_view(exchange.accept).protobuf:
            encoded = await run_large(len(body), _protobuf_of, body)
            await exchange.send_object(200, encoded, content_negotiation.PROTOBUF_VIEW, (VARY_ACCEPT,))
            return
        await send_json(exchange, body, (VARY_ACCEPT,))

    def _document(self, documents: DiscoveryDocuments, parts: tuple[str, ...]) -> bytes | None:
        """The unaggregated document of a path; None when the group or version is not served."""
        if len(parts) == 1:
            return documents.core_versions(self._server_address) if parts[0] == "api" else documents.groups()
        if parts[0] == "api":
            return documents.resources("", parts[1]) if len(parts) == _GROUP_DEPTH else None
        if len(parts) == _GROUP_DEPTH:
            return documents.group(parts[1])
        return documents.resources(parts[1], parts[2]) if len(parts) == _VERSION_DEPTH and parts[1] else None


def _protobuf_of(body: bytes) -> bytes:
    """Convert a document from JSON to protobuf."""
    return protobuf.encode_body(orjson.loads(body))
