"""CREATE and UPDATE: from a decoded body to the log.

Follows k8s.io/apiserver's generic registry store (``registry/generic/registry/store.go``) in what clients can observe.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from kcp.api import documents, errors, field_errors, json_values, metadata
from kcp.api.kinds import GroupKind
from kcp.registry.admission import chain as admission
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import Target, Written
from kcp.registry.types.catalog import Catalog, terminating
from kcp.registry.verbs import namespaces, pipeline, stale_refusals
from kcp.registry.verbs.records import key_of, served_object, stored_value
from kcp.registry.verbs.serialized_writes import WriteLocks, fencing_changes, fencing_changes_of_delete
from kcp.registry.verbs.source import Source, expected_revision
from kcp.store.contract import ABSENT, Change, Condition, PreconditionFailedError, Record

Object = dict[str, Any]
Transform = Callable[[Object | None, Record | None], Awaitable[Object]]

_GENERATE_ATTEMPTS: Final = 8
_RETRIES: Final = 50
_SYSTEM_FIELDS: Final = ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink")


class Writer:
    """The verbs that put objects into the log."""

    def __init__(self, source: Source, chain: admission.Chain, catalog: Catalog) -> None:
        self._source = source
        self._store = source.store
        self._chain = chain
        self._catalog = catalog
        self._locks = WriteLocks()

    async def create(
        self, context: RequestContext, target: Target, obj: Object, duplicates: list[str] | None = None
    ) -> Written:
        """Store a new object. Raises StatusError 400, 403, 404, 409 or 422."""
        type_ = target.type
        pipeline.check_kind(obj, type_)
        meta = pipeline.metadata_of(obj, type_)
        if meta.get("resourceVersion") not in (None, "", "0"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        pipeline.check_place(meta, target)
        pipeline.refuse_unknown(await pipeline.shape_anywhere(obj, type_, context, duplicates or []), type_)
        return await self.create_shaped(context, target, obj)

    async def create_shaped(
        self, context: RequestContext, target: Target, obj: Object, *, owned: bool = False
    ) -> Written:
        """Store a new object that is pruned and defaulted; ``owned`` says that its managed fields are right already."""
        type_ = target.type
        await pipeline.precompute(obj, type_)
        if type_.strategy.writes_are_serialized:
            async with self._locks.of(context.cluster, type_.resource):
                return await self._create_serialized(context, target, obj, owned=owned)
        return await self._store_new(context, target, obj, [], owned=owned)

    async def _create_serialized(self, context: RequestContext, target: Target, obj: Object, *, owned: bool) -> Written:
        """Judge and store, again while another server's write of such an object came between."""
        for _ in range(_RETRIES):
            judged = dict(obj, metadata=dict(obj["metadata"]))
            fences = fencing_changes(self._store, target.type, context.cluster)
            try:
                return await self._store_new(context, target, judged, fences, owned=owned)
            except PreconditionFailedError:
                continue
        raise errors.server_timeout(target.type.resource, "create")

    async def _store_new(
        self, context: RequestContext, target: Target, obj: Object, fences: list[Change], *, owned: bool
    ) -> Written:
        """Judge and store. Raises PreconditionFailedError when one of ``fences`` was another's."""
        type_ = target.type
        if type_.terminating:
            raise terminating()
        meta = obj["metadata"]
        prefix = "" if meta.get("name") else meta.get("generateName") or ""
        if prefix:
            meta["name"] = metadata.generate_name(prefix)
        accepted = await self._accepting_content(context, target, meta.get("name") or "") if type_.namespaced else None
        self._prepare_new(obj, target, context)
        if not owned:
            pipeline.own_fields(None, obj, target, context)
        attributes = admission.Attributes(context, target, "CREATE", obj, None)
        await pipeline.admit_mutating(self._chain, attributes)
        pipeline.validate(obj, None, target)
        pipeline.warn_about(obj, None, target, context)
        if self._chain:
            await self._chain.validate(attributes)
        return await self._insert(context, target, obj, prefix, fences, accepted)

    async def _accepting_content(self, context: RequestContext, target: Target, name: str) -> Condition:
        try:
            return namespaces.accepting_content(self._store, context.cluster, target, name)
        except errors.StatusError:
            await self._store.catch_up()  # another server may have made it
            return namespaces.accepting_content(self._store, context.cluster, target, name)

    def _prepare_new(self, obj: Object, target: Target, context: RequestContext) -> None:
        type_ = target.type
        meta = obj["metadata"]
        for name in _SYSTEM_FIELDS:
            meta.pop(name, None)
        metadata.drop_empty(meta)
        meta["uid"] = metadata.new_uid()
        meta["creationTimestamp"] = metadata.now()
        meta.pop("generation", None)
        if type_.strategy.counts_generation:
            meta["generation"] = 1
        if type_.has_status and not type_.builtin:
            obj.pop("status", None)
        type_.strategy.prepare_for_create(obj, context)

    async def _insert(
        self,
        context: RequestContext,
        target: Target,
        obj: Object,
        prefix: str,
        fences: list[Change],
        accepted: Condition | None,
    ) -> Written:
        type_ = target.type
        meta = obj["metadata"]
        for attempt in range(_GENERATE_ATTEMPTS):
            value, tag = stored_value(obj, type_)
            _check_size(value)
            key = key_of(type_, context.cluster, target.namespace, meta["name"])
            taken = self._source.virtual(type_, context.cluster, key.name) is not None
            try:
                if taken or (context.dry_run and self._store.latest(key) is not None):
                    raise PreconditionFailedError(key, ABSENT, None)
                if context.dry_run:
                    return _answer(obj, value, tag, 0, target, created=True)
                change = Change(key, value, expected=ABSENT, tag=tag, lifetime=type_.strategy.lifetime)
                revision = await self._write_new(context, target, [change, *fences], accepted)
            except PreconditionFailedError as error:
                if error.key != key:
                    raise
                if not prefix:
                    raise errors.already_exists(type_.resource, meta["name"]) from error
                if attempt + 1 == _GENERATE_ATTEMPTS:
                    raise errors.generated_name_conflict(type_.resource, meta["name"]) from error
                meta["name"] = metadata.generate_name(prefix)
            else:
                return _answer(obj, value, tag, revision, target, created=True)
        raise AssertionError("unreachable")

    async def _write_new(
        self, context: RequestContext, target: Target, changes: list[Change], accepted: Condition | None
    ) -> int:
        """Write, if the namespace and the definition still take new objects: another server may have been told to delete them.

        ``accepted`` is on what it rested, when that was judged before, that the namespace takes them.
        """
        type_ = target.type
        for _ in range(_RETRIES):
            conditions = [] if accepted is None else [accepted]
            if not type_.builtin:
                conditions.append(self._catalog.accepting_objects(context.cluster, type_))
            try:
                return await self._store.write(changes, conditions)
            except PreconditionFailedError as error:
                if all(error.key != condition.key for condition in conditions):
                    raise
                if accepted is not None:
                    accepted = await self._accepting_content(context, target, changes[0].key.name)
        raise errors.server_timeout(type_.resource, "create")

    async def update(
        self, context: RequestContext, target: Target, sent: Object, duplicates: list[str] | None = None
    ) -> Written:
        """Replace an object (PUT), or a subresource of it. Raises StatusError 400, 403, 404, 409 or 422."""
        type_ = target.type
        pipeline.check_kind(sent, type_)
        meta = pipeline.metadata_of(sent, type_)
        if not meta.get("name"):
            raise errors.undeterminable_name(target.name)
        pipeline.check_place(meta, target)
        pipeline.refuse_unknown(await pipeline.shape_anywhere(sent, type_, context, duplicates or []), type_)
        wanted = meta.get("resourceVersion") or ""
        if wanted == "0":
            wanted = ""

        async def transform(_old: Object | None, _record: Record | None) -> Object:
            return dict(sent, metadata=dict(meta))

        uid = meta.get("uid") or ""
        create = type_.strategy.allow_create_on_update and not target.subresource and not wanted and not uid
        if not wanted and not type_.strategy.allow_unconditional_update:
            wanted = "0"
        return await self.change(context, target, transform, resource_version=wanted, uid=uid, may_create=create)

    async def change(
        self,
        context: RequestContext,
        target: Target,
        transform: Transform,
        *,
        resource_version: str = "",
        uid: str = "",
        may_create: bool = False,
        owned: bool = False,
    ) -> Written:
        """Read, transform, check and write, again until nobody came between.

        ``transform`` gets the newest object, which it must not change, and gives the new one, which shares nothing with it; or
        the very same one, which means that there is nothing to do. ``resource_version`` pins the state that may be replaced,
        ``uid`` the object. ``owned`` says that the transformed object's managed fields are right already (apply).

        A refusal holds for the current state, and an answer that rests on one that is not durable yet is given when it is.
        """

        def attempt() -> Awaitable[Written]:
            return self._change(context, target, transform, resource_version, uid, may_create, owned=owned)

        return await stale_refusals.retry_if_stale(self._source, context, target, attempt)

    async def _change(
        self,
        context: RequestContext,
        target: Target,
        transform: Transform,
        resource_version: str,
        uid: str,
        may_create: bool,
        *,
        owned: bool,
    ) -> Written:
        type_ = target.type
        for _ in range(_RETRIES):
            record = self._source.latest(type_, context.cluster, target.namespace, target.name)
            if record is None:
                if uid:
                    raise _another_object(target, uid, "")
                if not may_create:
                    raise errors.not_found(type_.resource, target.name)
                obj = await transform(None, None)
                try:
                    return await self.create_shaped(context, target, obj, owned=owned)
                except errors.StatusError as error:
                    if error.reason != "AlreadyExists":
                        raise
                    continue
            old = served_object(record, type_)
            obj = await transform(old, record)
            pinned = _check_preconditions(old, record, target, resource_version, uid)
            if obj is old:
                return await self._unchanged(context, target, old)
            await pipeline.precompute(obj if target.subresource in _WHOLE_OBJECT else old, type_)
            if type_.strategy.writes_are_serialized:
                async with self._locks.of(context.cluster, type_.resource):
                    written = await self._replace(context, target, obj, old, record, owned=owned)
            else:
                written = await self._replace(context, target, obj, old, record, owned=owned)
            if written is not None:
                return written
            if pinned and not type_.strategy.writes_are_serialized:
                raise errors.conflict(type_.resource, target.name, errors.MODIFIED)
        raise errors.server_timeout(type_.resource, "update")

    async def _unchanged(self, context: RequestContext, target: Target, obj: Object) -> Written:
        await self._source.settled(target.type, context.cluster, target.namespace, target.name)
        return Written(documents.encode(obj), target.type, object=obj)

    async def _replace(
        self, context: RequestContext, target: Target, obj: Object, old: Object, record: Record, *, owned: bool
    ) -> Written | None:
        """Write a new state over ``record``; None when somebody else was faster."""
        type_ = target.type
        fences = fencing_changes(self._store, type_, context.cluster)
        obj = self._prepare_changed(obj, old, target, context)
        if not owned:
            pipeline.own_fields(old, obj, target, context)
        attributes = admission.Attributes(context, target, "UPDATE", obj, old)
        await pipeline.admit_mutating(self._chain, attributes)
        _count_generation(obj, old, target)
        pipeline.validate(obj, old, target)
        pipeline.warn_about(obj, old, target, context)
        if self._chain:
            await self._chain.validate(attributes)
        obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        ended = _deletion_complete(obj, type_)
        # Python takes 1 for True: equal is equal JSON
        if obj == old and not ended and record.tag == type_.tag and json_values.equal(obj, old):
            return await self._unchanged(context, target, old)
        value, tag = stored_value(obj, type_)
        _check_size(value)
        if context.dry_run:
            return _answer(obj, value, tag, record.revision, target)
        key = key_of(type_, context.cluster, target.namespace, target.name)
        change = Change(key, value, expected_revision(record), tag, lifetime=type_.strategy.lifetime)
        if ended:
            change = Change(key, None, expected_revision(record), final=value, tag=tag)
            fences = fences and fencing_changes_of_delete(self._store, fences, type_, context.cluster)
        try:
            revision = await self._store.write([change, *fences])
        except PreconditionFailedError:
            return None
        return _answer(obj, value, tag, revision, target)

    def _prepare_changed(self, obj: Object, old: Object, target: Target, context: RequestContext) -> Object:
        type_ = target.type
        strategy = type_.strategy
        if target.subresource == "status":
            obj = _with_status(obj, old)
        elif own := strategy.subresource_updates.get(target.subresource):
            obj = own(obj, old)
        elif type_.has_status:
            _keep_status(obj, old)
        meta, old_meta = obj["metadata"], old["metadata"]
        for name in ("creationTimestamp", "generation"):
            if name in old_meta:
                meta[name] = old_meta[name]
            else:
                meta.pop(name, None)
        if "deletionTimestamp" in old_meta:
            meta["deletionTimestamp"] = old_meta["deletionTimestamp"]
        # what is said otherwise of these is refused in validation
        for name in ("uid", "deletionGracePeriodSeconds"):
            if name in old_meta and meta.get(name) in (None, ""):
                meta[name] = old_meta[name]
        meta.pop("selfLink", None)
        metadata.drop_empty(meta)
        if target.subresource in _WHOLE_OBJECT:
            strategy.prepare_for_update(obj, old, context)
        elif target.subresource == "status":
            strategy.prepare_for_status_update(obj, context)
        return obj


_WHOLE_OBJECT: Final = ("", "scale")
"""Updates that may change what the strategy guards; the other subresources have merged their own part already."""


def _with_status(sent: Object, old: Object) -> Object:
    obj = dict(old)
    if "status" in sent:
        obj["status"] = sent["status"]
    else:
        obj.pop("status", None)
    meta = dict(old["metadata"])
    if "managedFields" in sent["metadata"]:
        meta["managedFields"] = sent["metadata"]["managedFields"]
    obj["metadata"] = meta
    return obj


def _keep_status(obj: Object, old: Object) -> None:
    if "status" in old:
        obj["status"] = old["status"]
    else:
        obj.pop("status", None)


def _count_generation(obj: Object, old: Object, target: Target) -> None:
    if not target.type.strategy.counts_generation:
        return
    generation = int(old["metadata"].get("generation") or 0)
    if target.subresource != "status":
        ignored = ("metadata", "status") if target.type.has_status else ("metadata",)
        if any(obj.get(name) != old.get(name) for name in {*obj, *old} if name not in ignored):
            generation += 1
    if generation:
        obj["metadata"]["generation"] = generation


def _deletion_complete(obj: Object, type_: Any) -> bool:
    meta = obj["metadata"]
    return bool(
        meta.get("deletionTimestamp") and not meta.get("finalizers") and not type_.strategy.blocks_deletion(obj)
    )


def _another_object(target: Target, wanted: str, found: Any) -> errors.StatusError:
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    return errors.conflict(target.type.resource, target.name, why)


def _check_preconditions(old: Object, record: Record, target: Target, resource_version: str, uid: str) -> bool:
    """Whether the change is pinned to one state. Raises StatusError 409 when the object is in another, or is another."""
    type_ = target.type
    if uid and uid != old["metadata"].get("uid"):
        raise _another_object(target, uid, old["metadata"].get("uid"))
    if resource_version == "0":
        missing = field_errors.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        # the plural where others say the kind: kube-apiserver's words, which clients have come to know
        raise errors.invalid(GroupKind(type_.group, type_.plural), target.name, [missing])
    if resource_version and resource_version != str(record.revision):
        if not resource_version.isdigit():
            bad = field_errors.invalid("metadata.resourceVersion", resource_version, "must be a resource version")
            raise errors.invalid(type_.group_kind, target.name, [bad])
        raise errors.conflict(type_.resource, target.name, errors.MODIFIED)
    return bool(resource_version)


def _check_size(value: bytes) -> None:
    if len(value) > pipeline.MAX_OBJECT_BYTES:
        limit = pipeline.MAX_OBJECT_BYTES
        raise errors.request_entity_too_large(f"the object takes {len(value)} bytes, the limit is {limit}")


def _answer(obj: Object, value: bytes, tag: str, revision: int, target: Target, *, created: bool = False) -> Written:
    type_ = target.type
    if revision:
        obj["metadata"]["resourceVersion"] = str(revision)
    else:
        obj["metadata"].pop("resourceVersion", None)
    served = documents.splice_revision(value, revision) if tag and revision else documents.encode(obj)
    return Written(served, type_, created, obj)
