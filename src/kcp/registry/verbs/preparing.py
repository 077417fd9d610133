"""Preparation: set the fields of a new state that the server owns, and record the owners of the others.

Follows ``rest.BeforeCreate``, ``rest.BeforeUpdate`` and the ``PrepareFor...`` hooks of k8s.io/apiserver. Pure, except for the
clock and UIDs.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kcp.api import metadata
from kcp.api.patch import managed_fields
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import validation

Object = dict[str, Any]

_NOT_FROM_CLIENTS: Final = frozenset(
    ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink"),
)
"""Metadata of a new object that the server owns."""
_WHOLE_OBJECT: Final = ("", "scale")
"""The subresources whose updates pass ``prepare_for_update``; the others have merged their own part already."""
_RESET_FIELDS: Final = {"": (("status",),), "status": (("metadata",), ("spec",))}
"""By subresource: the paths that a write through it cannot change, in a type with the status subresource."""


def whole_object(target: Target) -> bool:
    """Whether a write may change all of the object but its status."""
    return target.subresource in _WHOLE_OBJECT


def prepare_create(obj: Object, target: Target, context: RequestContext) -> None:
    """Set the fields of a new object that the server owns."""
    type_ = target.type
    meta = obj["metadata"]
    for name in _NOT_FROM_CLIENTS.intersection(meta):
        del meta[name]
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
    if type_.builtin and type_.has_status:
        _check_replaced(obj, type_)
    type_.strategy.prepare_for_create(obj, context)


def _check_replaced(obj: Object, type_: ResourceType) -> None:
    """Raise UndecodableError where a part of a new object does not decode that the server replaces."""
    paths = type_.strategy.set_by_server_on_create or _RESET_FIELDS[""]
    sent = {path[0]: value for path in paths if (value := obj.get(path[0])) is not None and value != {}}
    if sent:
        validation.check_decodable(sent, type_)


def prepare_update(obj: Object, old: Object, target: Target, context: RequestContext) -> Object:
    """The new state with the fields that the client may not change as they are in ``old``."""
    type_ = target.type
    strategy = type_.strategy
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
    return obj


def drop_duplicate_owners(obj: Object) -> list[str]:
    """Keep one of equal owner references; return the UIDs of the others."""
    references = obj["metadata"].get("ownerReferences")
    if not references or len(references) == 1:
        return []
    kept: dict[bytes, Object] = {}
    duplicates = []
    for reference in references:
        content = orjson.dumps(reference, option=orjson.OPT_SORT_KEYS)
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
        if any(obj.get(name) != old.get(name) for name in {*obj, *old} if name not in ignored):
            generation += 1
    if generation:
        obj["metadata"]["generation"] = generation


def reset_fields(target: Target) -> tuple[tuple[str, ...], ...]:
    """The paths that a write to the target cannot change: nobody comes to own them by it (KEP-555)."""
    own = target.type.strategy.reset_fields.get(target.subresource)
    if own is not None:
        return own
    return _RESET_FIELDS.get(target.subresource, ()) if target.type.has_status else ()


def own_fields(obj: Object, old: Object | None, target: Target, context: RequestContext) -> None:
    """Update ``metadata.managedFields`` for a write that is not an apply."""
    type_ = target.type
    managed = managed_fields.update_managed_fields(
        old,
        obj,
        type_.merge_type,
        manager=context.field_manager or "unknown",
        api_version=type_.api_version,
        subresource=target.subresource,
        now=metadata.now(),
        reset_fields=reset_fields(target)
        if old is not None
        else type_.strategy.set_by_server_on_create or reset_fields(target),
        served_versions=type_.served_versions or None,
        zero_value=type_.strategy.zero_value,
    )
    if managed:
        obj["metadata"]["managedFields"] = managed
    else:
        obj["metadata"].pop("managedFields", None)
