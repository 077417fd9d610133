"""A cluster's OpenAPI schemas, from version 3 where it serves that (KEP-2896), else from version 2."""

from __future__ import annotations

from typing import Any, Final

from kcp.api.kinds import GroupVersion, GroupVersionKind
from kcp.client import Client, NotFoundError

Schemas = dict[str, dict[str, Any]]

_KIND: Final = "x-kubernetes-group-version-kind"


class OpenAPISchemas:
    """The schemas of one cluster, each document read when a kind in it is first asked for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._index: dict[str, Any] | None = None
        self._documents: dict[str, Schemas] = {}

    async def of_kind(self, kind: GroupVersionKind) -> tuple[Schemas, str]:
        """The schemas of the kind's document, and the name of the kind's schema among them.

        Raises LookupError where the cluster publishes no schema of the kind; StatusError, TransportError.
        """
        schemas = await self._schemas_of(GroupVersion(kind.group, kind.version))
        wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        for name, schema in schemas.items():
            if wanted in schema.get(_KIND, ()):
                return schemas, name
        raise LookupError(f"the cluster publishes no OpenAPI schema of {kind.kind} in {kind.api_version}")

    async def _schemas_of(self, version: GroupVersion) -> Schemas:
        if self._index is None:
            self._index = await self._read_index()
        place = f"apis/{version}" if version.group else f"api/{version}"
        entry = self._index.get(place)
        if entry is None and self._index:
            return {}
        path = "/openapi/v2" if entry is None else f"/openapi/v3/{place}"
        if path not in self._documents:
            document = (await self._client.raw("GET", path)).json()
            found = document.get("definitions") if entry is None else document.get("components", {}).get("schemas")
            self._documents[path] = found or {}
        return self._documents[path]

    async def _read_index(self) -> dict[str, Any]:
        """The index of version 3; empty where the cluster has none."""
        try:
            paths: dict[str, Any] = (await self._client.raw("GET", "/openapi/v3")).json().get("paths", {})
        except NotFoundError:
            return {}
        return paths
