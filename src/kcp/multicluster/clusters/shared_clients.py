"""Clients of Kubernetes clusters: Clusters that have the same kubeconfig share one, and what is asked with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from kcp.client import Client, ClientConfiguration
from kcp.multicluster.clusters import offers
from kcp.multicluster.clusters.probing import Facts, read_capacity, read_identity
from kcp.multicluster.negotiation import Offered, read_offered
from kcp.multicluster.shared_requests import Answer, SharedRequests
from kcp.multicluster.syncer import SharedCopies

_CAPACITY: Final = 300.0
"""Seconds for which the capacity of a cluster is not read again: the nodes of Kubernetes report theirs as often."""
_KEPT: Final = 60.0
"""Seconds for which schemas that were read are kept: Clusters that are connected together need them once each."""


class SharedClient:
    """A client of a Kubernetes cluster, with what its users share."""

    def __init__(self, digest: str, configuration: ClientConfiguration) -> None:
        self.digest = digest
        self.client = Client(configuration)
        self.copies = SharedCopies(self.client)
        self.users = 0
        self._configuration = configuration
        self._requests = SharedRequests()
        self._index: Answer[bytes] | None = None

    async def facts(self, since: float) -> Answer[Facts]:
        """Return the facts about the cluster, asked for at a time or later. Raises StatusError, ClientError.

        Its capacity may be older: a cluster can have thousands of nodes, each of which is large.
        """
        identity = await self._requests.answer("identity", lambda: read_identity(self.client), since)
        capacity = await self._requests.answer("capacity", lambda: read_capacity(self.client), since - _CAPACITY)
        return Answer(identity.began, Facts(self._configuration.server, *identity.value, *capacity.value))

    async def index(self, since: float) -> bytes:
        """Return the index of what the cluster serves, asked for at a time or later. Raises StatusError, ClientError."""
        found = await self._requests.answer("index", lambda: offers.read_index(self.client), since)
        if self._index is None or self._index.value != found.value:
            self._index = found
        return found.value

    async def offered(self, names: Sequence[str]) -> Offered:
        """Return what the cluster serves of some resources, read after its last known change. Raises as `read_offered`."""
        loop, key = asyncio.get_running_loop(), ("offered", tuple(names))
        since = now = loop.time()
        if self._index is not None and self._index.value:
            since = max(now - _KEPT, self._index.began)
        answer = await self._requests.answer(key, lambda: read_offered(self.client, names), since)
        if answer.value.pulled.skipped or answer.value.pulled.unread:
            self._requests.forget(key)  # another attempt may find more
        else:
            loop.call_later(_KEPT, self._requests.forget, key)
        return answer.value


class SharedClients:
    """The clients that are in use, by the digests of their kubeconfigs. Each is closed by its last user."""

    def __init__(self) -> None:
        self._clients: dict[str, SharedClient] = {}

    async def acquire(self, digest: str, configuration: ClientConfiguration) -> SharedClient:
        """Return the client of a kubeconfig, until `release`."""
        found = self._clients.get(digest)
        if found is None:
            found = SharedClient(digest, configuration)
            await found.client.__aenter__()  # does not wait for anything
            self._clients[digest] = found
        found.users += 1
        return found

    async def release(self, shared: SharedClient) -> None:
        """Give a client back."""
        shared.users -= 1
        if not shared.users:
            del self._clients[shared.digest]
            await shared.client.__aexit__(None, None, None)

    @asynccontextmanager
    async def using(self, digest: str, configuration: ClientConfiguration) -> AsyncIterator[SharedClient]:
        """Use the client of a kubeconfig until the end of the block."""
        shared = await self.acquire(digest, configuration)
        try:
            yield shared
        finally:
            await self.release(shared)
