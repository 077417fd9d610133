"""DELETE and DELETECOLLECTION: preconditions, finalizers, propagation.

Follows the API concepts page "Resource deletion" and k8s.io/apiserver's ``BeforeDelete``. An object that nothing holds
goes at once; one with finalizers is marked and goes when the last finalizer does. ``Foreground`` and ``Orphan`` are
finalizers that the garbage collector takes off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kcp.api import documents, errors, field_errors, metadata
from kcp.api.kinds import GroupKind, GroupResource
from kcp.registry.admission import chain as admission
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import DeleteOptions, ListOptions, Target
from kcp.registry.verbs import pipeline, stale_refusals
from kcp.registry.verbs.filtering import Filter
from kcp.registry.verbs.listing import range_of
from kcp.registry.verbs.records import key_of, served_bytes, served_object, stored_value
from kcp.registry.verbs.serialized_writes import fencing_changes, fencing_changes_of_delete
from kcp.registry.verbs.source import Source, expected_revision
from kcp.store.contract import Change, PreconditionFailedError, Record

Object = dict[str, Any]

ORPHAN_FINALIZER: Final = "orphan"
FOREGROUND_FINALIZER: Final = "foregroundDeletion"
POLICIES: Final = ("Foreground", "Background", "Orphan")
_RETRIES: Final = 50


@dataclass(slots=True)
class Deleted:
    """The outcome: gone at once or only marked, and the last state (bytes and object)."""

    gone: bool
    value: bytes
    object: Object


def validate_options(options: DeleteOptions) -> None:
    """Raise StatusError 422 for options that mean nothing."""
    problems = []
    policy = options.propagation_policy
    if policy is not None and options.orphan_dependents is not None:
        problems.append(
            field_errors.invalid(
                "propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"
            )
        )
    if policy is not None and policy not in POLICIES:
        problems.append(field_errors.not_supported("propagationPolicy", policy, (*POLICIES, "nil")))
    if problems:
        raise errors.invalid(GroupKind("meta.k8s.io", "DeleteOptions"), "", problems)


class Deleter:
    """The verbs that take objects out of the log."""

    def __init__(self, source: Source, chain: admission.Chain) -> None:
        self._source = source
        self._store = source.store
        self._chain = chain

    async def delete(self, context: RequestContext, target: Target, options: DeleteOptions) -> Deleted:
        """Delete one object. Raises StatusError 403, 404, 409 or 422, once what it rests on is current and durable."""
        return await stale_refusals.retry_if_stale(
            self._source, context, target, lambda: self._delete(context, target, options)
        )

    async def _delete(self, context: RequestContext, target: Target, options: DeleteOptions) -> Deleted:
        validate_options(options)
        type_ = target.type
        if why := type_.strategy.check_deletable(target.name):
            raise errors.forbidden(type_.resource, target.name, why)
        for _ in range(_RETRIES):
            record = self._source.latest(type_, context.cluster, target.namespace, target.name)
            if record is None:
                raise errors.not_found(type_.resource, target.name)
            obj = served_object(record, type_)
            _check_preconditions(obj, record, target, options)
            if self._chain:
                await self._chain.validate(admission.Attributes(context, target, "DELETE", None, obj))
            await pipeline.precompute(obj, type_)
            outcome = await self._try(context, target, options, record, obj)
            if outcome is not None:
                return outcome
        raise errors.server_timeout(type_.resource, "delete")

    async def _try(
        self, context: RequestContext, target: Target, options: DeleteOptions, record: Record, old: Object
    ) -> Deleted | None:
        """Delete or mark this state; None when somebody else was faster."""
        type_ = target.type
        fences = fencing_changes(self._store, type_, context.cluster)
        obj = served_object(record, type_)
        meta = obj["metadata"]
        finalizers = _finalizers(meta.get("finalizers") or [], options)
        if not meta.get("deletionTimestamp"):
            own = type_.strategy.deletion_finalizers
            finalizers = [*finalizers, *(name for name in own if name not in finalizers)]
        key = key_of(type_, context.cluster, target.namespace, target.name)
        if not finalizers and not type_.strategy.blocks_deletion(obj):
            if not context.dry_run:
                try:
                    fences = fences and fencing_changes_of_delete(self._store, fences, type_, context.cluster)
                    await self._store.write([Change(key, None, expected_revision(record)), *fences])
                except PreconditionFailedError:
                    return None
            return Deleted(True, served_bytes(record, type_), old)
        if meta.get("deletionTimestamp") and finalizers == (meta.get("finalizers") or []):
            await self._source.settled(type_, context.cluster, target.namespace, target.name)
            return Deleted(False, served_bytes(record, type_), old)
        if finalizers:
            meta["finalizers"] = finalizers
        else:
            meta.pop("finalizers", None)
        if not meta.get("deletionTimestamp"):
            meta["deletionTimestamp"] = metadata.now()
            meta["deletionGracePeriodSeconds"] = 0
            if type_.strategy.counts_generation and meta.get("generation"):
                meta["generation"] += 1
            type_.strategy.prepare_for_delete(obj, context)
        value, tag = stored_value(obj, type_)
        if context.dry_run:
            return Deleted(False, documents.encode(obj), obj)
        try:
            revision = await self._store.write([Change(key, value, expected_revision(record), tag), *fences])
        except PreconditionFailedError:
            return None
        meta["resourceVersion"] = str(revision)
        return Deleted(False, documents.encode(obj), obj)

    async def delete_collection(
        self, context: RequestContext, target: Target, options: DeleteOptions, selection: ListOptions
    ) -> list[Record]:
        """Delete what the selection holds; returns the last states. Objects that vanish meanwhile are passed over."""
        validate_options(options)
        type_ = target.type
        chosen = Filter(type_, selection.label_selector, selection.field_selector, target.name)
        range_ = range_of(context, target, chosen)
        await self._store.catch_up()
        at, after, found = self._store.revision, None, []
        while True:
            page = self._source.page(type_, range_, limit=500, after=after, at=at)
            found += [record for record in page.records if chosen.matches(record, type_)]
            if not page.remaining:
                break
            after = page.records[-1].key
        if selection.limit:
            found = found[: selection.limit]
        deleted = []
        for record in found:
            one = Target(type_, record.key.namespace, record.key.name)
            if type_.strategy.check_deletable(one.name):
                continue
            try:
                await self.delete(context, one, options)
            except errors.StatusError as error:
                if error.code != 404:
                    raise
            else:
                deleted.append(record)
        return deleted


def _check_preconditions(obj: Object, record: Record, target: Target, options: DeleteOptions) -> None:
    # the kind where others say the plural: kube-apiserver's words
    resource = GroupResource(target.type.group, target.type.kind)
    uid = obj["metadata"].get("uid")
    if options.uid is not None and options.uid != uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(resource, target.name, why)
    if options.resource_version is not None and options.resource_version != str(record.revision):
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion in "
            f"record ({record.revision}). The object might have been modified"
        )
        raise errors.conflict(resource, target.name, why)


def _finalizers(current: list[str], options: DeleteOptions) -> list[str]:
    """The finalizers that the deletion leaves on the object, by the propagation that is asked for."""
    policy = options.propagation_policy
    if policy is None and options.orphan_dependents is not None:
        policy = "Orphan" if options.orphan_dependents else "Background"
    if policy is None:
        return current
    kept = [name for name in current if name not in (ORPHAN_FINALIZER, FOREGROUND_FINALIZER)]
    if policy == "Orphan":
        kept.append(ORPHAN_FINALIZER)
    elif policy == "Foreground":
        kept.append(FOREGROUND_FINALIZER)
    return kept
