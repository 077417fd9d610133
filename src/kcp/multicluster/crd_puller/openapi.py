"""A cluster's OpenAPI schemas, from version 3 where it serves that (KEP-2896), else from version 2."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from kcp.api.kinds import GroupVersion, GroupVersionKind
from kcp.client import Client, NotFoundError, StatusError
from kcp.schema.raw_schemas import properties, schema

Schemas = dict[str, dict[str, Any]]

_KIND: Final = "x-kubernetes-group-version-kind"


class OpenAPISchemas:
    """The OpenAPI schemas of one cluster. A document is read when a kind in it is first requested."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._index: dict[str, Any] | None = None
        self._documents: dict[str, Schemas] = {}
        self._unavailable: dict[str, str] = {}

    async def of_kind(self, kind: GroupVersionKind) -> tuple[Schemas, str]:
        """Return the schemas of the kind's document, and the name of the kind's schema among them.

        Raises LookupError where the cluster publishes no schema of the kind or refuses the document; TransportError.
        """
        schemas = await self._schemas_of(GroupVersion(kind.group, kind.version))
        wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        for name, found in schemas.items():
            kinds = found.get(_KIND)
            if isinstance(kinds, list) and wanted in kinds:
                return schemas, name
        raise LookupError(f"the cluster publishes no OpenAPI schema of {kind.kind} in {kind.api_version}")

    async def _schemas_of(self, version: GroupVersion) -> Schemas:
        if self._index is None:
            self._index = await self._read_index()
        location = f"apis/{version}" if version.group else f"api/{version}"
        if self._index and location not in self._index:
            return {}
        path = f"/openapi/v3/{location}" if self._index else "/openapi/v2"
        if path in self._unavailable:
            raise LookupError(self._unavailable[path])
        if path not in self._documents:
            try:
                self._documents[path] = await self._read(path)
            except StatusError as error:  # the aggregated API server of one group may be down
                self._unavailable[path] = f"the cluster refuses {path}: {error}"
                raise LookupError(self._unavailable[path]) from error
        return self._documents[path]

    async def _read(self, path: str) -> Schemas:
        document = (await self._client.raw("GET", quote(path))).json()
        if path == "/openapi/v2":
            return properties(document, "definitions")
        return properties(schema(document, "components") or {}, "schemas")

    async def _read_index(self) -> dict[str, Any]:
        """Read the index of version 3. Returns an empty one where the cluster has none."""
        try:
            return schema((await self._client.raw("GET", "/openapi/v3")).json(), "paths") or {}
        except NotFoundError:
            return {}
