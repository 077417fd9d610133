"""Preparation: set the fields of a new state that the server owns, and record the owners of the others.

Follows ``rest.BeforeCreate``, ``rest.BeforeUpdate`` and the ``PrepareFor...`` hooks of k8s.io/apiserver. Pure, except for the
clock and UIDs.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api import json_values, metadata
from kcp.api.patch import managed_fields
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import validation

Object = dict[str, Any]

_NOT_FROM_CLIENTS: Final = frozenset({"deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink"})
"""Metadata of a new object that the server owns."""
_WHOLE_OBJECT: Final = ("", "scale")
"""The subresources whose updates pass ``prepare_for_update``; the others have merged their own part already."""
_RESET_FIELDS: Final = {"": (("status",),), "status": (("metadata",), ("spec",))}
"""By subresource: the paths that a write through it cannot change, in a type with the status subresource."""
_RESET_WITH_METADATA: Final = {**_RESET_FIELDS, "status": (("spec",),)}
"""The same for a type whose status subresource takes metadata."""


def whole_object(target: Target) -> bool:
    """Whether a write may change all of the object but its status."""
    return target.subresource in _WHOLE_OBJECT


def prepare_create(obj: Object, target: Target, context: RequestContext) -> None:
    """Set the fields of a new object that the server owns."""
    type_ = target.type
    meta = obj["metadata"]
    if not _NOT_FROM_CLIENTS.isdisjoint(meta):
        for name in _NOT_FROM_CLIENTS:
            meta.pop(name, None)
    metadata.drop_empty(meta)
    meta["uid"] = metadata.new_uid()
    meta["creationTimestamp"] = metadata.now()
    if type_.strategy.counts_generation:
        meta["generation"] = 1
    elif "generation" in meta and not meta["generation"]:
        del meta["generation"]
    if type_.has_status and not type_.builtin:
        obj.pop("status", None)
        type_.schema.default_missing(obj, "status")
    sent = dict(obj) if type_.builtin and type_.has_status else None
    type_.strategy.prepare_for_create(obj, context)
    if sent is not None:
        _check_replaced(sent, obj, type_)


def _check_replaced(sent: Object, obj: Object, type_: ResourceType) -> None:
    """Raise UndecodableError for a part of the body that the server replaces, but that does not decode."""
    replaced = {
        name: value
        for name, value in sent.items()
        if name != "metadata" and value is not None and value != {} and value != obj.get(name)
    }
    if replaced:
        validation.check_decodable(replaced, type_)


def prepare_update(obj: Object, old: Object, target: Target, context: RequestContext) -> Object:
    """The new state with the fields that the client may not change as they are in ``old``."""
    type_ = target.type
    strategy = type_.strategy
    sent = dict(obj) if type_.builtin and type_.has_status else None
    if target.subresource == "status":
        obj = _with_status(obj, old, whole_metadata=strategy.status_takes_metadata)
        strategy.prepare_for_status_update(obj, old)
    elif merge := strategy.subresource_updates.get(target.subresource):
        obj = merge(obj, old)
    elif type_.has_status:
        _keep(obj, old, "status")
    meta, old_meta = obj["metadata"], old["metadata"]
    for name in ("creationTimestamp", "generation"):
        _keep(meta, old_meta, name)
    if "deletionTimestamp" in old_meta:
        meta["deletionTimestamp"] = old_meta["deletionTimestamp"]
    # other values of these are refused by validation
    for name in ("uid", "deletionGracePeriodSeconds"):
        if name in old_meta and meta.get(name) in (None, ""):
            meta[name] = old_meta[name]
    meta.pop("selfLink", None)
    metadata.drop_empty(meta)
    if whole_object(target):
        strategy.prepare_for_update(obj, old, context)
    if sent is not None:
        _check_replaced(sent, obj, type_)
    return obj


def drop_duplicate_owners(obj: Object) -> list[str]:
    """Keep one of equal owner references; return the UIDs of the others."""
    references = obj["metadata"].get("ownerReferences")
    if not references or len(references) == 1:
        return []
    kept: dict[bytes, Object] = {}
    duplicates = []
    for reference in references:
        content = json_values.kept_text(reference)
        if content in kept:
            duplicates.append(str(reference.get("uid", "")))
        else:
            kept[content] = reference
    if duplicates:
        obj["metadata"]["ownerReferences"] = list(kept.values())
    return duplicates


def duplicate_owners_warning(uids: list[str], *, after_admission: bool) -> str:
    """kube-apiserver's warning of equal owner references. Those in a patch are found after mutating admission."""
    when = " after mutating admission happens" if after_admission else ""
    return (
        f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may "
        f"reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {', '.join(uids)}"
    )


def _with_status(sent: Object, old: Object, *, whole_metadata: bool) -> Object:
    obj = {**old, "metadata": dict(sent["metadata"] if whole_metadata else old["metadata"])}
    _keep(obj, sent, "status")
    if "managedFields" in sent["metadata"]:
        obj["metadata"]["managedFields"] = sent["metadata"]["managedFields"]
    return obj


def _keep(obj: Object, source: Object, name: str) -> None:
    """Take a member from ``source``, or remove it where ``source`` has none."""
    if name in source:
        obj[name] = source[name]
    else:
        obj.pop(name, None)


def count_generation(obj: Object, old: Object, target: Target) -> None:
    """Increment ``metadata.generation`` where something outside metadata and status changes."""
    if not target.type.strategy.counts_generation:
        return
    generation = int(old["metadata"].get("generation") or 0)
    if target.subresource != "status":
        ignored = ("metadata", "status") if target.type.has_status else ("metadata",)
        generation += _differ(obj, old, ignored)
    if generation:
        obj["metadata"]["generation"] = generation


def _differ(obj: Object, old: Object, ignored: tuple[str, ...]) -> bool:
    """Whether a member differs, apart from some."""
    for name, value in obj.items():
        if name not in ignored and value != old.get(name):
            return True
    return any(name not in obj and name not in ignored and value is not None for name, value in old.items())


def reset_fields(target: Target) -> tuple[tuple[str, ...], ...]:
    """The paths that a write to the target cannot change: its manager does not become their owner (KEP-555)."""
    strategy = target.type.strategy
    own = strategy.reset_fields.get(target.subresource)
    if own is not None:
        return own
    if not target.type.has_status:
        return ()
    return (_RESET_WITH_METADATA if strategy.status_takes_metadata else _RESET_FIELDS).get(target.subresource, ())


def owned_as_sent(obj: Object, type_: ResourceType) -> Object | None:
    """The members that `own_fields` takes from what the client sent, since the server changes their values."""
    members = type_.strategy.owned_as_sent
    return {name: obj[name] for name in members if name in obj} if members else None


def own_fields(
    obj: Object,
    old: Object | None,
    target: Target,
    context: RequestContext,
    sent: Object | None = None,
    *,
    encoded: bool = False,
) -> None:
    """Update ``metadata.managedFields`` for a write that is not an apply. ``sent`` is that of `owned_as_sent`.

    ``encoded``: nothing reads those of a new object before it is encoded, so they may be JSON text.
    """
    type_ = target.type
    managed = managed_fields.update_managed_fields(
        old,
        {**obj, **sent} if sent else obj,
        type_.merge_type,
        manager=context.field_manager or "unknown",
        api_version=type_.api_version,
        subresource=target.subresource,
        now="" if target.subresource == "scale" else metadata.now(),  # kube-apiserver writes none there
        reset_fields=reset_fields(target)
        if old is not None
        else type_.strategy.set_by_server_on_create or reset_fields(target),
        served_versions=type_.served_versions or None,
        zero_value=type_.strategy.zero_value,
        encoded=encoded,
    )
    if managed:
        obj["metadata"]["managedFields"] = managed
    else:
        obj["metadata"].pop("managedFields", None)
