"""DELETE and DELETECOLLECTION: finalizers, propagation, and the objects of a collection.

Follows the API concepts page "Resource deletion" and ``rest.BeforeDelete`` of k8s.io/apiserver. An object without finalizers is
removed at once; one with finalizers is marked with a deletion timestamp and removed with its last finalizer. The propagation
policies ``Foreground`` and ``Orphan`` add finalizers that the garbage collector removes.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api import errors, field_errors, metadata
from kcp.api.kinds import GroupKind
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import IGNORE_READ_ERROR, DeleteOptions, ListOptions, Target
from kcp.registry.verbs.attempts import Write
from kcp.registry.verbs.filtering import Filter
from kcp.registry.verbs.listing import parse_resource_version, range_of
from kcp.registry.verbs.selecting import Walk
from kcp.registry.verbs.source import Source
from kcp.store.contract import Record

Object = dict[str, Any]

ORPHAN_FINALIZER: Final = "orphan"
FOREGROUND_FINALIZER: Final = "foregroundDeletion"
POLICIES: Final = ("Foreground", "Background", "Orphan")


def validate_options(options: DeleteOptions) -> None:
    """Raise StatusError 422 for contradictory or unknown options."""
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


def check_damaged_deletable(context: RequestContext, options: DeleteOptions, *, collection: bool = False) -> None:
    """Raise StatusError 422 for options that contradict the deletion of a damaged object (KEP-3926)."""
    if not options.ignore_store_read_error:
        return
    pinned = options.uid is not None or options.resource_version is not None
    given = {
        "dryRun": context.dry_run,
        "propagationPolicy": options.propagation_policy is not None,
        "orphanDependents": options.orphan_dependents is not None,
        "gracePeriodSeconds": options.grace_period_seconds is not None,
        "preconditions": pinned,
    }
    reasons = [f"cannot be set together with .{name}" for name, present in given.items() if present]
    if collection:
        reasons.append("is not allowed with DELETECOLLECTION, try again after removing the option")
    if reasons:
        problems = [field_errors.invalid(IGNORE_READ_ERROR, True, reason) for reason in reasons]
        raise errors.invalid(GroupKind("meta.k8s.io", "DeleteOptions"), "", problems)


def delete_of(context: RequestContext, target: Target, options: DeleteOptions) -> Write:
    """The write of a delete. Raises StatusError 403 for an object that may never be deleted, 422 for unusable options."""
    validate_options(options)
    check_damaged_deletable(context, options)
    if why := target.type.strategy.check_deletable(target.name):
        raise errors.forbidden(target.type.resource, target.name, why)
    return Write(context, target, "delete", options=options)


def marked(write: Write) -> Object | None:
    """The object as it waits for its finalizers: None where it is removed at once, ``old`` itself where it is marked already."""
    old, options, strategy = write.old, write.options, write.target.type.strategy
    assert old is not None
    assert options is not None
    present = old["metadata"].get("finalizers") or []
    deleted_before = bool(old["metadata"].get("deletionTimestamp"))
    finalizers = _finalizers(present, options)
    if not deleted_before and strategy.deletion_finalizers:
        finalizers = [*finalizers, *(name for name in strategy.deletion_finalizers if name not in finalizers)]
    if not finalizers and not strategy.blocks_deletion(old):
        return None
    if deleted_before and finalizers == present:
        return old
    obj = {**old, "metadata": dict(old["metadata"])}
    meta = obj["metadata"]
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    if not deleted_before:
        meta["deletionTimestamp"] = metadata.now()
        if strategy.deletion_has_grace_period:
            meta["deletionGracePeriodSeconds"] = 0
        if strategy.counts_generation and meta.get("generation"):
            meta["generation"] += 1
        strategy.prepare_for_delete(obj, write.context)
    return obj


async def select(source: Source, context: RequestContext, target: Target, selection: ListOptions) -> list[Record]:
    """The objects that a deletecollection selects, at the current revision.

    Raises StatusError 504 for a resource version that the log has not reached.
    """
    type_, store = target.type, source.store
    source = source.warning(context.warn)
    chosen = Filter(type_, selection.label_selector, selection.field_selector, target.name)
    range_ = range_of(context, target, chosen)
    await store.catch_up()
    requested = parse_resource_version(selection.resource_version)
    if requested > store.revision:
        raise errors.too_large_resource_version(requested, store.revision)
    walk = Walk(source, type_, chosen, range_, store.revision)
    found: list[Record] = []
    while not walk.done:
        found += await walk.next()
    return found[: selection.limit] if selection.limit else found


def _finalizers(current: list[str], options: DeleteOptions) -> list[str]:
    """The finalizers of the object after the delete, by its propagation policy."""
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
