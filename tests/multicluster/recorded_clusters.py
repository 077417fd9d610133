"""A Kubernetes cluster as its API server describes itself: a real HTTP server with the discovery and OpenAPI of a recording."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from kcp.api.kinds import GroupVersion, version_order
from tests.client.scripted_servers import ScriptedServer, answer, refusal, scripted
from tests.multicluster.recordings import recording

Schemas = dict[str, dict[str, Any]]


class RecordedCluster:
    """A cluster of a version of Kubernetes. Its schemas and resources may be changed while it runs."""

    def __init__(self, version: str) -> None:
        found = recording(version)
        self.schemas: Schemas = copy.deepcopy(found.schemas)
        self.documents = {document["groupVersion"]: copy.deepcopy(document) for document in found.groups}
        self.unavailable: set[str] = set()
        """The group versions of aggregated API servers that are down."""
        self._openapi_v3 = version != "1.20"

    def drop_field(self, kind: str, name: str) -> dict[str, Any]:
        """Remove a field from a type, as in a release before it. Returns its schema."""
        (schema,) = (schema for key, schema in self.schemas.items() if key.endswith(f".{kind}"))
        dropped: dict[str, Any] = schema["properties"].pop(name)
        return dropped

    def drop_resource(self, group_version: str, plural: str) -> None:
        """Stop serving a resource."""
        document = self.documents[group_version]
        document["resources"] = [each for each in document["resources"] if each["name"].partition("/")[0] != plural]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        path = request.path.rstrip("/")
        if path == "/api":
            return answer({"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            return answer({"kind": "APIGroupList", "groups": self._groups()})
        if path == "/openapi/v2" and not self._openapi_v3:
            return answer({"swagger": "2.0", "definitions": self.schemas})
        if path == "/openapi/v3" and self._openapi_v3:
            return answer({"paths": {_location(name): {} for name in self.documents}})
        name = path.removeprefix("/openapi/v3").removeprefix("/apis/").removeprefix("/api/")
        if name in self.unavailable:
            return refusal(503, "ServiceUnavailable")
        if name in self.documents:
            if path.startswith("/openapi/"):
                return answer({"components": {"schemas": self.schemas}})
            return answer({"kind": "APIResourceList", **self.documents[name]})
        return refusal(404, "NotFound")

    def _groups(self) -> list[dict[str, Any]]:
        versions: dict[str, list[str]] = {}
        for name in self.documents:
            group, version = GroupVersion.parse(name)
            if group:
                versions.setdefault(group, []).append(version)
        return [
            {"name": group, "versions": [_entry(group, version) for version in sorted(known, key=version_order)]}
            for group, known in versions.items()
        ]


def _entry(group: str, version: str) -> dict[str, str]:
    return {"groupVersion": f"{group}/{version}", "version": version}


def _location(name: str) -> str:
    return f"apis/{name}" if "/" in name else f"api/{name}"


@asynccontextmanager
async def serving(cluster: RecordedCluster) -> AsyncIterator[ScriptedServer]:
    """Serve a cluster on a free port."""
    async with scripted(cluster.handle) as server:
        yield server
