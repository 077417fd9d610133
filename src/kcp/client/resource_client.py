"""The verbs of one resource."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final, TypedDict, Unpack

import orjson

from kcp.client.errors import ExpiredError, TransportError
from kcp.client.objects import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    METADATA_LIST,
    STRATEGIC_MERGE_PATCH,
    TABLE,
    Object,
    ObjectList,
    Selector,
    Table,
    WatchEvent,
    read_list,
    read_table,
    selector_text,
)
from kcp.client.resources import APIResource
from kcp.client.transport.connections import Connection
from kcp.client.transport.requests import JSON, Request
from kcp.client.watching import WatchOptions, batches, watch

PAGE_SIZE: Final = 500

Query = list[tuple[str, str]]
EventBatch = list[WatchEvent]


class WriteOptions(TypedDict, total=False):
    """Keyword arguments of writes. ``field_validation`` is ``Strict``, ``Warn`` or ``Ignore``; a ``dry_run`` stores nothing."""

    dry_run: bool
    field_manager: str
    field_validation: str


class ListArguments(TypedDict, total=False):
    """Keyword arguments of lists. ``match`` is the ``resourceVersionMatch``; ``metadata_only`` omits all other fields."""

    label_selector: Selector
    field_selector: Selector
    resource_version: str
    match: str
    metadata_only: bool
    retries: bool


class ResourceClient:
    """The verbs on a resource in one namespace (``""``: in all, or the resource has none) of one logical cluster.

    Every verb raises StatusError (of the class that the reason names), TransportError and
    CredentialsError.
    """

    def __init__(self, connection: Connection, resource: APIResource, namespace: str, prefix: str) -> None:
        self.resource = resource
        self.namespace = namespace if resource.namespaced else ""
        self._connection = connection
        self._prefix = prefix

    def path(self, name: str = "", subresource: str = "") -> str:
        """Return the path of the collection, an object or a subresource. Raises ValueError for a subresource without a name."""
        if subresource and not name:
            raise ValueError("a subresource belongs to an object: its name is missing")
        return self._prefix + self.resource.path(self.namespace, name, subresource)

    async def get(self, name: str, *, subresource: str = "", resource_version: str = "") -> Object:
        """Read an object. With a ``resource_version`` of ``"0"``, the server may answer from its cache."""
        query = _query(resourceVersion=resource_version)
        return await self._json(Request("GET", self.path(_named(name), subresource), query, idempotent=True))

    async def list(self, *, limit: int = 0, continue_: str = "", **options: Unpack[ListArguments]) -> ObjectList:
        """Read a page of ``limit`` objects, or all objects at once."""
        query = _selecting(options.get("label_selector", ""), options.get("field_selector", "")) + _query(
            limit=str(limit or ""),
            resourceVersion=options.get("resource_version", ""),
            resourceVersionMatch=options.get("match", ""),
            **{"continue": continue_},
        )
        request = Request(
            *("GET", self.path(), query),
            accept=METADATA_LIST if options.get("metadata_only") else JSON,
            idempotent=True,
            retries=options.get("retries", True),
        )
        response = await self._connection.request(request)
        return read_list(response.json(), str(request), len(response.body))

    async def pages(
        self, *, limit: int = PAGE_SIZE, **options: Unpack[ListArguments]
    ) -> AsyncGenerator[ObjectList, None]:
        """Read the pages of a list at one resource version. Raises ExpiredError when the continue token is expired."""
        page = await self.list(limit=limit, **options)
        yield page
        options.pop("resource_version", None)  # the token says it
        options.pop("match", None)
        while page.continue_:
            page = await self.list(limit=limit, continue_=page.continue_, **options)
            yield page

    async def list_all(self, *, limit: int = PAGE_SIZE, **options: Unpack[ListArguments]) -> ObjectList:
        """Read all objects in pages. If the continue token expires, read all again without pages, as client-go does.

        Raises TransportError where they are larger than the configuration allows.
        """
        items: list[Object] = []
        version, first = "", True
        size, most = 0, self._connection.configuration.max_listed
        try:
            async with aclosing(self.pages(limit=limit, **options)) as pages:
                async for page in pages:
                    items += page.items
                    size += page.size
                    if 0 < most < size:
                        raise TransportError(f"GET {self.path()}: the list is larger than {most} bytes", final=True)
                    version, first = version or page.resource_version, False
        except ExpiredError:
            if first:
                raise
            return await self.list(**options)
        return ObjectList(items, version)

    async def table(self, name: str = "", *, label_selector: Selector = "", field_selector: Selector = "") -> Table:
        """Read the collection, or one object, as a table for printing."""
        query = [*_selecting(label_selector, field_selector), ("includeObject", "Metadata")]
        request = Request("GET", self.path(name), query, accept=TABLE, idempotent=True)
        return read_table(await self._json(request), str(request))

    async def create(
        self, object_: Object, *, name: str = "", subresource: str = "", **options: Unpack[WriteOptions]
    ) -> Object:
        """Create an object, or a subresource of an object (``token``, ``eviction``)."""
        body = object_ if subresource else self._typed(object_)
        return await self._write("POST", self.path(name, subresource), body, **options)

    async def replace(self, object_: Object, *, subresource: str = "", **options: Unpack[WriteOptions]) -> Object:
        """Replace an object. If its metadata has a resource version, only that version is replaced."""
        body = object_ if subresource else self._typed(object_)
        return await self._write("PUT", self.path(_name_of(object_), subresource), body, **options)

    async def patch(
        self,
        name: str,
        patch: Object | Sequence[Object],
        *,
        strategic: bool = False,
        subresource: str = "",
        **options: Unpack[WriteOptions],
    ) -> Object:
        """Patch an object: with a list as a JSON patch (RFC 6902), with a mapping as a merge patch (RFC 7396, or strategic)."""
        kind = (STRATEGIC_MERGE_PATCH if strategic else MERGE_PATCH) if isinstance(patch, dict) else JSON_PATCH
        return await self._write("PATCH", self.path(_named(name), subresource), patch, content_type=kind, **options)

    async def apply(
        self,
        object_: Object,
        *,
        field_manager: str,
        force: bool = False,
        subresource: str = "",
        dry_run: bool = False,
        field_validation: str = "",
    ) -> Object:
        """Apply a configuration (server-side apply). ``force`` takes fields over from other field managers."""
        query = _writing(dry_run=dry_run, field_manager=field_manager, field_validation=field_validation)
        if force:
            query.append(("force", "true"))
        path = self.path(_name_of(object_), subresource)
        body = orjson.dumps(object_ if subresource else self._typed(object_))
        return await self._json(Request("PATCH", path, query, body, content_type=APPLY_PATCH, idempotent=True))

    async def delete(
        self,
        name: str,
        *,
        propagation_policy: str = "",
        grace_period_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Delete an object. ``uid`` and ``resource_version`` are preconditions. Returns the object, or a ``Status``."""
        preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
        body = _delete_options(propagation_policy, grace_period_seconds, preconditions, dry_run=dry_run)
        return await self._json(Request("DELETE", self.path(_named(name)), body=orjson.dumps(body)))

    async def delete_collection(
        self,
        *,
        label_selector: Selector = "",
        field_selector: Selector = "",
        propagation_policy: str = "",
        dry_run: bool = False,
    ) -> None:
        """Delete the objects that match the selectors; without selectors, all objects."""
        body = _delete_options(propagation_policy, None, {}, dry_run=dry_run)
        query = _selecting(label_selector, field_selector)
        await self._json(Request("DELETE", self.path(), query, orjson.dumps(body)))

    def watch(self, options: WatchOptions) -> AsyncGenerator[WatchEvent, None]:
        """Yield the events of one watch request, until the server ends it. An `Informer` continues after that."""
        return watch(self._connection, self.path(), options)

    def watch_batches(self, options: WatchOptions) -> AsyncGenerator[EventBatch, None]:
        """Yield the events of one watch request, in the batches in which they arrive."""
        return batches(self._connection, self.path(), options)

    async def _write(
        self, method: str, path: str, body: Any, *, content_type: str = JSON, **options: Unpack[WriteOptions]
    ) -> Object:
        request = Request(method, path, _writing(**options), orjson.dumps(body), content_type=content_type)
        return await self._json(request)

    async def _json(self, request: Request) -> Object:
        return (await self._connection.request(request)).json()

    def _typed(self, object_: Object) -> Object:
        if "kind" in object_ and "apiVersion" in object_:
            return object_
        return {"apiVersion": self.resource.api_version, "kind": self.resource.kind, **object_}


def _query(**parameters: str) -> Query:
    return [(name, value) for name, value in parameters.items() if value]


def _selecting(label_selector: Selector, field_selector: Selector) -> Query:
    return _query(labelSelector=selector_text(label_selector), fieldSelector=selector_text(field_selector))


def _writing(**options: Unpack[WriteOptions]) -> Query:
    return _query(
        dryRun="All" if options.get("dry_run") else "",
        fieldManager=options.get("field_manager", ""),
        fieldValidation=options.get("field_validation", ""),
    )


def _named(name: str) -> str:
    if not name:
        raise ValueError("the name of the object is missing")
    return name


def _name_of(object_: Object) -> str:
    return _named(str((object_.get("metadata") or {}).get("name") or ""))


def _delete_options(
    propagation_policy: str, grace_period_seconds: int | None, preconditions: dict[str, str], *, dry_run: bool
) -> Object:
    options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if propagation_policy:
        options["propagationPolicy"] = propagation_policy
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    if preconditions:
        options["preconditions"] = preconditions
    if dry_run:
        options["dryRun"] = ["All"]
    return options
