"""The registry: the REST verbs on the resource types of all logical clusters, as HTTP and in-process controllers call them.

A request is a context (user, logical cluster), a target (type, namespace, name, subresource) and options. Results are the bytes
that a client gets, or records to render; refusals are StatusErrors.
"""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from kcp.api import documents, errors, json_values
from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.registry.admission import chain as admission
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import DeleteOptions, ListOptions, Target, Written
from kcp.registry.types.catalog import Catalog
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import confidential, deleting, listing, patching, scale
from kcp.registry.verbs.attempts import Write
from kcp.registry.verbs.large_work import run_large
from kcp.registry.verbs.large_writes import LargeWrites, Owner, Permit
from kcp.registry.verbs.listing import Listing
from kcp.registry.verbs.records import conversion_failed, served_bytes, served_object
from kcp.registry.verbs.representation import Representation
from kcp.registry.verbs.source import DamagedObjectError, Source
from kcp.registry.verbs.watching import WatchStream
from kcp.registry.verbs.writing import CheckPermission, Writer
from kcp.store.contract import Store

Object = dict[str, Any]

_NOT_FOUND: Final = 404
_DELETE_UNREAD: Final = "unsafe-delete-ignore-read-errors"
"""The verb that the delete of a damaged object needs beside ``delete``."""


class Registry:
    """The verbs. One instance serves the process."""

    def __init__(self, store: Store, catalog: Catalog, chain: admission.Chain | None = None) -> None:
        """``chain`` is the admission chain of all writes; None admits every write as it is."""
        self.store = store
        self.catalog = catalog
        self.source = Source(store)
        self.large_writes = LargeWrites()
        self._check_permission: CheckPermission | None = None
        self._writer = Writer(
            self.source, chain if chain is not None else admission.Chain(), catalog, self.large_writes
        )

    def check_permissions_by(self, check: CheckPermission) -> None:
        """Check what a write needs beside the permission of its request: to create by a replace or an apply, to delete unread."""
        self._check_permission = self._writer.check_permission = check

    def find_type(self, cluster: LogicalClusterName, group: str, version: str, plural: str) -> ResourceType | None:
        """The type that a logical cluster (or, for the wildcard, any of them) serves at a path.

        For the wildcard, prefer `Catalog.look_up`, which does not hold the event loop.
        """
        return self.catalog.find(cluster, group, version, plural)

    def type_of_cluster(self, type_: ResourceType) -> Any:
        """For wildcard requests: a logical cluster's own definition of the type."""

        def find(cluster: LogicalClusterName) -> ResourceType | None:
            return self.catalog.find(cluster, type_.group, type_.version, type_.plural)

        return find

    async def get(self, context: RequestContext, target: Target, resource_version: str = "") -> bytes:
        """One object. Raises StatusError 404, or 504 for a resource version from the future."""
        _check_servable(context, target, "get")
        type_ = target.type
        if resource_version != "0":
            await self.store.catch_up()
        if resource_version and (wanted := listing.parse_resource_version(resource_version)) > self.store.revision:
            raise errors.too_large_resource_version(wanted, self.store.revision)
        record = self.source.get(type_, context.cluster, target.namespace, target.name)
        if record is None:
            raise errors.not_found(type_.resource, target.name)
        if target.subresource == "scale":
            obj = await run_large(len(record.value), served_object, record, type_)
            return documents.encode(scale.scale_of(obj, type_))
        if record.tag == type_.schema_hash:
            return documents.splice_revision(record.value, record.revision)
        return await run_large(len(record.value), served_bytes, record, type_)

    async def list(self, context: RequestContext, target: Target, options: ListOptions) -> Listing:
        """A collection, to be rendered by a representation."""
        _refuse_unconverted(context, target)
        return await listing.list_objects(self.source, context, target, options)

    async def watch(
        self, context: RequestContext, target: Target, options: ListOptions, representation: Representation
    ) -> WatchStream:
        """The changes of a collection."""
        _refuse_unconverted(context, target)
        if options.resource_version != "0":
            await self.store.catch_up()
        find = self.type_of_cluster(target.type)
        stream = WatchStream(self.source.warning(context.warn), context, target, options, representation, find)
        try:
            await stream.read_first()
        except BaseException:
            stream.close()
            raise
        return stream

    async def permit(self, context: RequestContext, target: Target, size: int) -> Permit | None:
        """Wait for the permit of a write with a large body of ``size`` bytes, before the body is decoded."""
        if target.name and context.cluster != WILDCARD:
            with contextlib.suppress(DamagedObjectError):  # the write reports it
                present = self.source.latest(target.type, context.cluster, target.namespace, target.name)
                size += len(present.value) if present is not None else 0
        return await self.large_writes.enter(size, Owner(context.cluster, context.user.name))

    def create(
        self, context: RequestContext, target: Target, obj: Object, duplicates: builtins.list[str] | None = None
    ) -> Coroutine[Any, Any, Written]:
        """Store a new object, or answer a review. ``duplicates`` are the paths of fields that the body has twice."""
        _check_servable(context, target, "create")
        problems = _duplicate_fields(duplicates) if duplicates else ()
        if target.type.stored and not target.subresource:
            return self._writer.write(Write(context, target, "create", body=obj, problems=problems))
        return self._writer.review(Write(context, target, "review", body=obj, problems=problems))

    def update(
        self, context: RequestContext, target: Target, obj: Object, duplicates: builtins.list[str] | None = None
    ) -> Coroutine[Any, Any, Written]:
        """Replace an object or a subresource; for some types, a replace may create the object."""
        _check_servable(context, target, "update")
        if target.subresource == "scale":
            return self._rescale(context, target, obj)
        problems = _duplicate_fields(duplicates) if duplicates else ()
        return self._writer.write(Write(context, target, "update", body=obj, problems=problems))

    async def _rescale(self, context: RequestContext, target: Target, sent: Object) -> Written:
        write = scale.rescale(context, target, lambda _: json_values.copy(sent), replaces=True)
        return scale.as_scale(await self._writer.write(write))

    async def change(
        self, context: RequestContext, target: Target, change: Callable[[Object], Object], *, resource_version: str = ""
    ) -> Written:
        """Read, change and write an object, for in-process controllers; repeated after conflicts."""

        def changed(write: Write) -> Object:
            assert write.old is not None
            return change(json_values.copy(write.old))

        write = Write(context, target, "update", change=changed, resource_version=resource_version, trusted=True)
        return await self._writer.write(write)

    async def patch(
        self,
        context: RequestContext,
        target: Target,
        media_type: str,
        body: Any,
        *,
        force: bool | None = None,
        duplicates: builtins.list[str] | None = None,
    ) -> Written:
        """Patch an object or a subresource; an apply patch may create the object."""
        _check_servable(context, target, "patch")
        patching.check_options(media_type, force)
        forced = force is True
        if target.subresource != "scale":
            patched = patching.patch(
                self._writer, context, target, media_type, body, force=forced, duplicates=duplicates
            )
            if not target.type.strategy.confidential:
                del body
                return await patched
            async with confidential.redacting(context, target.type, body):
                return await patched
        if media_type == patching.APPLY_YAML:
            applied = scale.apply_configuration(body, target.type)
            return scale.as_scale(
                await patching.patch(self._writer, context, target, media_type, applied, force=forced)
            )
        return await patching.patch_scale(self._writer, context, target, media_type, body)

    async def delete(self, context: RequestContext, target: Target, options: DeleteOptions) -> Written:
        """Delete one object. Raises StatusError 403, 404, 409 or 422, and 500 for a damaged one unless the options take it."""
        _check_servable(context, target, "delete")
        write = deleting.delete_of(context, target, options)
        try:
            return await self._writer.write(write)
        except DamagedObjectError as error:
            if not options.ignore_store_read_error or error.recoverable:
                raise
            if self._check_permission is not None:
                await self._check_permission(context, target, _DELETE_UNREAD)
            return await self._writer.remove_damaged(write, error.revision)

    async def delete_collection(
        self, context: RequestContext, target: Target, options: DeleteOptions, selection: ListOptions
    ) -> Listing:
        """Delete the objects that a selection holds, each by a write of its own; the answer lists their last states."""
        _check_servable(context, target, "deletecollection")
        deleting.validate_options(options)
        deleting.check_damaged_deletable(context, options, collection=True)
        listing.check_selection(target.type, selection)
        type_ = target.type
        deleted = []
        for record in await deleting.select(self.source, context, target, selection):
            one = Target(type_, record.key.namespace, record.key.name)
            if type_.strategy.check_deletable(one.name):
                continue
            try:
                await self.delete(context, one, options)
            except errors.StatusError as error:
                if error.code != _NOT_FOUND:
                    raise
            else:
                deleted.append(record)
        return Listing(type_, False, self.store.revision, "", 0, iter([deleted]))


def _duplicate_fields(paths: builtins.list[str]) -> builtins.list[str]:
    return [f'duplicate field "{path}"' for path in paths]


def _refuse_unconverted(context: RequestContext, target: Target) -> None:
    """Raise StatusError 500 for a version that needs a conversion webhook."""
    if target.type.needs_webhook and context.cluster != WILDCARD:
        raise conversion_failed(target.type.stored_form)


def _check_servable(context: RequestContext, target: Target, verb: str) -> None:
    if target.type.needs_webhook:
        _refuse_unconverted(context, target)
    if context.cluster == WILDCARD:
        error = errors.method_not_supported(target.type.resource, verb)
        error.message = f"{error.message} in the logical cluster * (only list and watch are)"
        raise error
