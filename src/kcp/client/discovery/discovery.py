"""Discovery of an API server's resources: the aggregated form, or the older one from servers that lack it.

The result is cached. It is read again by `Discovery.refresh`, and when a name is not found: a new CRD may serve it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

from kcp.api.kinds import GroupVersion
from kcp.client.discovery.decoding import (
    AGGREGATED,
    GroupVersions,
    is_aggregated,
    read_aggregated,
    read_groups,
    read_resources,
)
from kcp.client.discovery.resolution import Discovered
from kcp.client.errors import DiscoveryError, StatusError, TransportError, described
from kcp.client.resources import APIResource, group_version_path
from kcp.client.transport.connections import Connection
from kcp.client.transport.requests import JSON, Request, Response

_decoded: Final[WeakValueDictionary[bytes, Discovered]] = WeakValueDictionary()
"""What was decoded from aggregated documents, by their digest: logical clusters that serve the same share it."""


class Discovery:
    """The cached discovery of one API server or logical cluster. ``aggregated``: whether to request that form first."""

    def __init__(self, connection: Connection, prefix: str, *, aggregated: bool = True) -> None:
        self._connection = connection
        self._prefix = prefix
        self._accept = AGGREGATED if aggregated else JSON
        self._found: Discovered | None = None
        self._reading = asyncio.Lock()

    async def find(self, name: str) -> APIResource:
        """Find a resource by plural, singular, short name or kind: ``deploy``, ``deployments.apps``, ``deployments.v1.apps``.

        Raises DiscoveryError, StatusError, TransportError.
        """
        return await self._search(lambda found: found.find(name))

    async def resource_of(self, object_: dict[str, object]) -> APIResource:
        """Find the resource of an object, by its apiVersion and kind. Raises as `find`."""
        return await self._search(lambda found: found.of_object(object_))

    async def all(self) -> Discovered:
        """Return all resources that the server serves. Raises as `refresh`."""
        return self._found or await self.refresh()

    async def refresh(self) -> Discovered:
        """Read the discovery documents again. Raises DiscoveryError, StatusError, TransportError."""
        before = self._found
        async with self._reading:
            if self._found is None or self._found is before:  # else another caller has just asked
                self._found = await self._read()
            return self._found

    async def _search(self, search: Callable[[Discovered], APIResource]) -> APIResource:
        known = self._found
        if known is not None:
            try:
                return search(known)
            except DiscoveryError:
                pass
        return search(await self.refresh())

    async def _read(self) -> Discovered:
        roots = await asyncio.gather(
            self._get("/api", self._accept), self._get("/apis", self._accept), return_exceptions=True
        )
        answers = []
        for root in roots:
            if isinstance(root, StatusError) and root.code == 404:
                continue  # a server without the core group, or with nothing else
            if isinstance(root, BaseException):
                raise root
            answers.append(root)
        if not answers:
            raise DiscoveryError("the server serves neither /api nor /apis: is this an API server?")
        digest = hashlib.sha256(b"\0".join(each.body for each in answers)).digest()
        known = _decoded.get(digest)
        return known or await self._decode(digest, [each.json() for each in answers])

    async def _decode(self, digest: bytes, documents: Sequence[Mapping[str, Any]]) -> Discovered:
        resources: list[APIResource] = []
        failed: dict[GroupVersion, str] = {}
        for document in documents:
            if is_aggregated(document):
                found, stale = read_aggregated(document)
                resources += found
                failed.update(dict.fromkeys(stale, "the server's discovery of it is stale"))
            else:
                await self._read_each(read_groups(document), resources, failed)
        discovered = Discovered(tuple(resources), failed)
        if all(is_aggregated(document) for document in documents):
            _decoded[digest] = discovered
        return discovered

    async def _read_each(
        self, groups: Sequence[GroupVersions], resources: list[APIResource], failed: dict[GroupVersion, str]
    ) -> None:
        versions = [GroupVersion(each.group, version) for each in groups for version in each.versions]
        # without retries: the aggregated API server of a group may be down
        requests = (self._get(group_version_path(each), retries=False) for each in versions)
        answers = await asyncio.gather(*requests, return_exceptions=True)
        for version, answer in zip(versions, answers, strict=True):
            if isinstance(answer, StatusError | TransportError):
                failed[version] = described(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                resources += read_resources(answer.json(), *version)

    async def _get(self, path: str, accept: str = JSON, *, retries: bool = True) -> Response:
        request = Request("GET", self._prefix + path, accept=accept, idempotent=True, retries=retries)
        return await self._connection.request(request)
