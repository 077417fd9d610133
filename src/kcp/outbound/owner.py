"""The owner of all clients of a server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kcp.outbound.errors import DestinationError

if TYPE_CHECKING:
    from kcp.outbound.clients import OutboundClient
    from kcp.outbound.destinations import Destination


class Outbound:
    """The clients of one server: made here, and closed when the server stops. Nothing else makes a client."""

    def __init__(self) -> None:
        self._clients: set[OutboundClient] = set()
        self._draining: dict[asyncio.Task[None], OutboundClient] = {}
        """The clients that are closed when their last request has ended."""

    def client(self, destination: Destination) -> OutboundClient:
        """Return a new client of a destination. Connects at the first request. Raises DestinationError."""
        if not destination.url.startswith(("https://", "http://")) or not destination.host.partition("://")[2]:
            raise DestinationError(f"{destination.described}: not an HTTP URL")
        from kcp.outbound.clients import OutboundClient

        made = OutboundClient(destination)
        self._clients.add(made)
        return made

    def retire(self, client: OutboundClient) -> None:
        """Close a client that is no longer used as soon as its requests in flight have ended."""
        self._clients.discard(client)
        task = asyncio.create_task(client.drain())
        self._draining[task] = client
        task.add_done_callback(self._draining.pop)

    async def close(self) -> None:
        """Close all clients, also those that are retired."""
        draining = dict(self._draining)
        clients, self._clients = self._clients.union(draining.values()), set()
        for task in draining:
            task.cancel()
        for client in clients:
            await client.close()
        await asyncio.gather(*draining, return_exceptions=True)
