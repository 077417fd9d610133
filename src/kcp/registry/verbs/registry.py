"""The REST verbs on the resource types of all logical clusters: what the HTTP edge and in-process controllers call.

A request is a context (who, which logical cluster), a target (type, namespace, name, subresource) and options. Answers
are the bytes that a client gets, or records to render; refusals are StatusErrors.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import orjson

from kcp.api import documents, errors
from kcp.api.patch import json_patch, merge_patch, merge_types, strategic_merge
from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.registry.admission import chain as admission
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import DeleteOptions, ListOptions, Target, Written
from kcp.registry.types.catalog import Catalog
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import listing, patching, pipeline, scale
from kcp.registry.verbs.deleting import Deleted, Deleter
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.records import served_bytes, served_object
from kcp.registry.verbs.representation import Representation
from kcp.registry.verbs.source import Source
from kcp.registry.verbs.watching import WatchStream
from kcp.registry.verbs.writing import Object, Writer
from kcp.store.contract import Record, Store


class Registry:
    """The verbs. One instance serves the process."""

    def __init__(self, store: Store, catalog: Catalog, chain: admission.Chain | None = None) -> None:
        chain = chain if chain is not None else admission.Chain()
        self.store = store
        self.catalog = catalog
        self.source = Source(store)
        self._writer = Writer(self.source, chain, catalog)
        self._deleter = Deleter(self.source, chain)

    def find_type(self, cluster: LogicalClusterName, group: str, version: str, plural: str) -> ResourceType | None:
        """The type that a logical cluster, or any of them for the wildcard, serves at a path."""
        if cluster == WILDCARD:
            return self.catalog.find_anywhere(group, version, plural)
        return self.catalog.surface(cluster).find(group, version, plural)

    def type_of_cluster(self, type_: ResourceType) -> Any:
        """For wildcard requests: a logical cluster's own definition of the type."""

        def find(cluster: LogicalClusterName) -> ResourceType | None:
            return self.catalog.surface(cluster).find(type_.group, type_.version, type_.plural)

        return find

    async def get(self, context: RequestContext, target: Target, resource_version: str = "") -> bytes:
        """One object. Raises StatusError 404, or 504 for a resource version from the future."""
        record = await self._record(context, target, resource_version)
        if target.subresource == "scale":
            obj = served_object(record, target.type)
            return documents.encode(scale.scale_of(obj, target.type))
        return served_bytes(record, target.type)

    async def _record(self, context: RequestContext, target: Target, resource_version: str) -> Record:
        type_ = target.type
        _refuse_wildcard(context, target, "get")
        if resource_version != "0":
            await self.store.catch_up()
        if resource_version and (wanted := listing.parse_resource_version(resource_version)) > self.store.revision:
            raise errors.too_large_resource_version(wanted, self.store.revision)
        record = self.source.get(type_, context.cluster, target.namespace, target.name)
        if record is None:
            raise errors.not_found(type_.resource, target.name)
        return record

    async def list(self, context: RequestContext, target: Target, options: ListOptions) -> Listing:
        """A collection, to be rendered by a representation."""
        return await listing.list_objects(self.source, context, target, options)

    async def watch(
        self, context: RequestContext, target: Target, options: ListOptions, representation: Representation
    ) -> WatchStream:
        """The changes of a collection."""
        if options.resource_version != "0":
            await self.store.catch_up()
        find = self.type_of_cluster(target.type)
        return WatchStream(self.source, context, target, options, representation, find)

    async def create(
        self, context: RequestContext, target: Target, obj: Object, duplicates: builtins.list[str] | None = None
    ) -> Written:
        """Store a new object, or answer a review."""
        _refuse_wildcard(context, target, "create")
        type_ = target.type
        if type_.stored and not target.subresource:
            return await self._writer.create(context, target, obj, duplicates)
        pipeline.check_kind(obj, type_)
        pipeline.metadata_of(obj, type_)
        pipeline.refuse_unknown(pipeline.shape(obj, type_, context, duplicates or []), type_)
        if type_.namespaced:
            obj["metadata"]["namespace"] = target.namespace
        answered = await type_.strategy.answer(obj, context)
        if answered is None:
            raise errors.method_not_supported(type_.resource, "create")
        return Written(documents.encode(answered), type_, True, answered)

    async def update(
        self, context: RequestContext, target: Target, obj: Object, duplicates: builtins.list[str] | None = None
    ) -> Written:
        """Replace an object or a subresource."""
        _refuse_wildcard(context, target, "update")
        if target.subresource == "scale":
            return await self._rescale(context, target, lambda _: obj)
        return await self._writer.update(context, target, obj, duplicates)

    async def change(
        self, context: RequestContext, target: Target, change: Callable[[Object], Object], *, resource_version: str = ""
    ) -> Written:
        """Read, change and write an object, for in-process controllers; tried again when somebody came between."""

        async def transform(old: Object | None, _record: Record | None) -> Object:
            assert old is not None
            return change(orjson.loads(orjson.dumps(old)))

        return await self._writer.change(context, target, transform, resource_version=resource_version)

    async def patch(
        self,
        context: RequestContext,
        target: Target,
        media_type: str,
        body: Any,
        *,
        force: bool = False,
        duplicates: builtins.list[str] | None = None,
    ) -> Written:
        """Patch an object or a subresource; an apply patch may create the object."""
        _refuse_wildcard(context, target, "patch")
        if target.subresource == "scale" and media_type == patching.APPLY_YAML:
            applied = scale.apply_configuration(body, target.type)
            written = await patching.patch(self._writer, context, target, media_type, applied, force=force)
            return _as_scale(written, target.type)
        if target.subresource == "scale":
            return await self._rescale(context, target, lambda old: _patched_scale(old, media_type, body))
        return await patching.patch(self._writer, context, target, media_type, body, force=force, duplicates=duplicates)

    async def delete(self, context: RequestContext, target: Target, options: DeleteOptions) -> Deleted:
        """Delete one object."""
        _refuse_wildcard(context, target, "delete")
        return await self._deleter.delete(context, target, options)

    async def delete_collection(
        self, context: RequestContext, target: Target, options: DeleteOptions, selection: ListOptions
    ) -> Listing:
        """Delete what a selection holds; the answer lists the last states."""
        _refuse_wildcard(context, target, "deletecollection")
        records = await self._deleter.delete_collection(context, target, options, selection)
        return Listing(target.type, False, self.store.revision, "", 0, iter([records]))

    async def _rescale(self, context: RequestContext, target: Target, change: Any) -> Written:
        """Write ``spec.replicas`` through a Scale; ``change`` gives the Scale that is wanted from the present one."""
        type_ = target.type
        record = self.source.latest(type_, context.cluster, target.namespace, target.name)
        if record is None:
            record = await self._record(context, target, "")  # another server may have made it
        sent = change(scale.scale_of(served_object(record, type_), type_, unset=scale.NOT_SET))
        if not isinstance(sent, dict) or sent.get("kind", "Scale") != "Scale":
            raise errors.bad_request("the scale subresource takes a Scale of autoscaling/v1")
        metadata = sent.get("metadata")
        if not isinstance(metadata, dict) or not metadata.get("name"):
            raise errors.undeterminable_name(target.name)
        if metadata["name"] != target.name:
            raise errors.bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
            )
        wanted_version = str(metadata.get("resourceVersion") or "")

        async def transform(old: Object | None, _record: Record | None) -> Object:
            assert old is not None
            wanted = change(scale.scale_of(old, type_, unset=scale.NOT_SET))
            return scale.with_replicas(orjson.loads(orjson.dumps(old)), wanted, type_)

        written = await self._writer.change(context, target, transform, resource_version=wanted_version)
        return _as_scale(written, type_)


def _as_scale(written: Written, type_: ResourceType) -> Written:
    obj = written.object if written.object is not None else orjson.loads(written.value)
    return Written(documents.encode(scale.scale_of(obj, type_)), type_, False)


def _patched_scale(old: Object, media_type: str, body: Any) -> Any:
    if media_type == patching.JSON_PATCH:
        return json_patch.apply(old, body)
    if media_type == patching.STRATEGIC_MERGE_PATCH:
        return strategic_merge.apply(old, body, merge_types.UNTYPED)
    return merge_patch.apply(old, body)


def _refuse_wildcard(context: RequestContext, target: Target, verb: str) -> None:
    if context.cluster == WILDCARD:
        error = errors.method_not_supported(target.type.resource, verb)
        error.message = f"{error.message} in the logical cluster * (only list and watch are)"
        raise error
