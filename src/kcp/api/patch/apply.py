"""Server-side apply.

Follows KEP-555 and the observable behaviour of k8s.io/apimachinery's managedfields package: conflicts and their messages,
removal of fields that a manager no longer applies, shared ownership, objects that existed before their first apply, and
kubectl's migration from client-side apply.

An example, with ``fieldsV1`` and ``data`` only. Manager ``a`` creates a ConfigMap by applying ``{"color":"red","size":"1"}``::

    live            {"color":"red","size":"1"}
    managedFields   [{"manager":"a","operation":"Apply","fieldsV1":{"f:data":{"f:color":{},"f:size":{}}}}]

Manager ``b`` applies ``{"color":"blue"}``. ``b`` would modify ``f:data/f:color``, which ``a`` owns: 409, conflict with "a":
.data.color; nothing is written. ``b`` applies ``{"color":"red","shape":"round"}`` instead. ``color`` has the value of the live
object, so there is no conflict, and both managers own it::

    live            {"color":"red","shape":"round","size":"1"}
    managedFields   [{"manager":"a","operation":"Apply","fieldsV1":{"f:data":{"f:color":{},"f:size":{}}}},
                     {"manager":"b","operation":"Apply","fieldsV1":{"f:data":{"f:color":{},"f:shape":{}}}}]

``b`` repeats its first attempt, ``{"color":"blue"}``, with ``force``. ``color`` changes, so ``a`` loses it; ``shape`` was in
``b``'s last configuration, is not in this one, and has no other owner, so it is removed::

    live            {"color":"blue","size":"1"}
    managedFields   [{"manager":"a","operation":"Apply","fieldsV1":{"f:data":{"f:size":{}}}},
                     {"manager":"b","operation":"Apply","fieldsV1":{"f:data":{"f:color":{}}}}]

Manager ``a`` applies a configuration without ``data``: ``size`` has no other owner, so it is removed, and with its last field
the entry of ``a``::

    live            {"color":"blue"}
    managedFields   [{"manager":"b","operation":"Apply","fieldsV1":{"f:data":{"f:color":{}}}}]
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kcp.api import errors
from kcp.api.field_errors import MAX_ERRORS, join, shorten
from kcp.api.patch import field_sets
from kcp.api.patch.field_sets import FieldSet
from kcp.api.patch.go_format import json_text
from kcp.api.patch.managed_fields import (
    APPLY,
    UPDATE,
    Entry,
    identity,
    new_entry,
    sort_entries,
    stored_entries,
    without_changed,
)
from kcp.api.patch.merge_types import MergeType
from kcp.api.patch.typed_comparison import (
    Paths,
    compare,
    field_set_of,
    reconcile,
    with_named_fields,
    without_untracked,
)
from kcp.api.patch.typed_merge import merge_maps, remove
from kcp.api.patch.typed_validation import type_errors

BEFORE_FIRST_APPLY: Final = "before-first-apply"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL: Final = "kubectl"
_MAX_ANNOTATION_BYTES: Final = 256 * 1024
_IDENTITY: Final[FieldSet] = {"f:metadata": {"f:name": {}}}
"""The field that is never removed, even when no manager applies any of the metadata."""

Conflict = tuple[Entry, tuple[str, ...]]


class _ConflictsError(Exception):
    """The configuration would modify fields that other managers own."""

    def __init__(self, conflicts: list[Conflict]) -> None:
        super().__init__()
        self.conflicts = conflicts


@dataclass(slots=True)
class _Request:
    """The arguments of one apply. ``own`` is the identity of the manager's entry."""

    live: dict[str, Any] | None
    applied: dict[str, Any]
    merge_type: MergeType
    own: tuple[str, str, str, str]
    api_version: str
    now: str
    reset_fields: Paths
    served_versions: Collection[str] | None
    zero_value: Mapping[str, Any] | None


def server_side_apply(
    live: dict[str, Any] | None,
    applied: dict[str, Any],
    merge_type: MergeType,
    *,
    manager: str,
    force: bool,
    api_version: str,
    subresource: str = "",
    now: str,
    reset_fields: Paths = (),
    served_versions: Collection[str] | None = None,
    zero_value: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Apply the configuration ``applied`` to ``live`` (None: the object does not exist). Returns the object to store.

    Returns ``live`` itself when neither a field nor its ownership changes. ``now`` is an RFC 3339 time; ``reset_fields`` are the
    paths that this write cannot change; entries of versions outside ``served_versions`` (None: all are served) are dropped;
    ``zero_value`` is what an object has before anybody sets anything.

    Raises StatusError 400 when the configuration does not match the type; 409 with a cause for every field that the
    configuration modifies and another manager owns, unless ``force`` takes the fields over.
    """
    check_version(applied, api_version)
    _check(applied, merge_type, api_version)
    own = (manager, APPLY, "", subresource)
    request = _Request(live, applied, merge_type, own, api_version, now, reset_fields, served_versions, zero_value)
    try:
        made = _applied(request, force)
    except _ConflictsError as refusal:
        conflicts = refusal.conflicts
        if manager == _KUBECTL:
            allowed = _allowed_by_last_applied(request)
            if allowed is not None:
                conflicts = [conflict for conflict in conflicts if not field_sets.contains(allowed, conflict[1])]
        if conflicts:
            raise _conflict_error(conflicts) from None
        made = _applied(request, force=True)
    if manager == _KUBECTL:
        made = _with_last_applied(made, applied)
    return live if live is not None and made == live else made


def check_version(applied: dict[str, Any], api_version: str) -> None:
    """Raise StatusError 400 unless the configuration states this version: its schema may differ from another version's."""
    if applied.get("apiVersion") != api_version:
        raise errors.bad_request(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {applied.get('apiVersion') or ''}, expected: {api_version}"
        )


def _check(applied: dict[str, Any], merge_type: MergeType, api_version: str) -> None:
    meta = applied.get("metadata")
    if isinstance(meta, dict) and meta.get("managedFields") is not None:
        raise errors.bad_request("metadata.managedFields must be nil")
    found = type_errors(applied, merge_type)
    if found:
        named = meta if isinstance(meta, dict) else {}
        version = api_version if "/" in api_version else f"/{api_version}"
        subject = (
            f"{named.get('namespace') or ''}/{named.get('name') or ''}; {version}, Kind={applied.get('kind') or ''}"
        )
        listed = found[0] if len(found) == 1 else join(["errors:", *found], "\n  ")
        raise errors.bad_request(f"failed to create typed patch object ({subject}): {listed}")


def _applied(request: _Request, force: bool) -> dict[str, Any]:
    """Merge, prune, and update the managed fields. Raises _ConflictsError."""
    type_ = request.merge_type
    base = request.live or {}
    before = _entries_before(request)
    entries = [_reconcile_entry(entry, type_) for entry in before]
    previous = next((entry for entry in entries if identity(entry) == request.own), None)
    others = [entry for entry in entries if entry is not previous]
    merged = merge_maps(base, request.applied, type_)
    if previous is not None:
        owned = _owned(request, previous)
        if field_sets.difference(previous["fieldsV1"], owned):
            sets = [owned, _IDENTITY, *(entry["fieldsV1"] for entry in others)]
            merged = _pruned(merged, previous["fieldsV1"], sets, type_)
    kept = _without_overwritten(request, base, merged, others, force) if others and merged is not base else others
    if previous is None:
        owned = _owned(request, previous)  # not before: the comparison is as large
    if owned:
        kept.append(_own_entry(request, previous, owned, changed=merged is not base and merged != base))
    sort_entries(kept)
    if merged is base and request.live is not None and kept == (base.get("metadata") or {}).get("managedFields"):
        return base
    meta = dict(merged.get("metadata") or {})
    if kept:
        meta["managedFields"] = kept
    else:
        meta.pop("managedFields", None)
    return {**merged, "metadata": meta}


def _without_overwritten(
    request: _Request, base: dict[str, Any], merged: dict[str, Any], others: list[Entry], force: bool
) -> list[Entry]:
    """The other managers' entries without the fields that the configuration changes. Raises _ConflictsError."""
    comparison = compare(base, merged, request.merge_type, request.reset_fields)
    if not force and (conflicts := _conflicts(others, comparison.modified)):
        raise _ConflictsError(conflicts)
    return without_changed(others, comparison.all(), request.merge_type) if comparison else others


def _owned(request: _Request, previous: Entry | None) -> FieldSet:
    """The fields of the configuration: the same object as those of the applier's last one, where they are equal."""
    owned = without_untracked(field_set_of(request.applied, request.merge_type), request.reset_fields)
    return previous["fieldsV1"] if previous is not None and previous["fieldsV1"] == owned else owned


def _entries_before(request: _Request) -> list[Entry]:
    """The live object's managed fields. An object without any gets one entry for all its fields (``before-first-apply``)."""
    entries = stored_entries(request.live)
    if not entries and request.live is not None:
        fields = compare(
            dict(request.zero_value or {}), request.live, request.merge_type, request.reset_fields
        ).modified
        if fields:
            owner = (BEFORE_FIRST_APPLY, UPDATE, request.api_version, request.own[3])
            entries = [new_entry(owner, request.now, fields)]
    served = request.served_versions
    return [entry for entry in entries if served is None or entry["apiVersion"] in served]


def _reconcile_entry(entry: Entry, type_: MergeType) -> Entry:
    fields = entry["fieldsV1"]
    fitting = reconcile(fields, type_)
    return entry if fitting is fields else {**entry, "fieldsV1": fitting}


def _own_entry(request: _Request, previous: Entry | None, owned: FieldSet, *, changed: bool) -> Entry:
    """The applier's entry. Its time is that of the applier's last apply that changed the object, if any did."""
    time = request.now if changed else previous.get("time") if previous is not None else None
    return new_entry(request.own, time, owned, api_version=request.api_version)


def _conflicts(others: list[Entry], modified: FieldSet) -> list[Conflict]:
    found: list[Conflict] = []
    for entry in others:
        if not modified.keys().isdisjoint(entry["fieldsV1"]):
            common = field_sets.intersection(entry["fieldsV1"], modified)
            found += [(entry, path) for path in field_sets.paths(common)]
    return found


def _pruned(merged: dict[str, Any], last: FieldSet, sets: list[FieldSet], type_: MergeType) -> dict[str, Any]:
    """``merged`` without the fields that the manager applied last time (``last``) and that no manager in ``sets`` owns now.

    As structured-merge-diff's ``prune``: remove all of ``last``, add back owned fields, then add back fields outside ``last``.
    """

    def named(value: Any) -> FieldSet:
        return with_named_fields(field_set_of(value or {}, type_), type_)

    last = with_named_fields(last, type_)
    owned: FieldSet = {}
    for fields in sets:
        owned = field_sets.union(owned, fields)
    owned = with_named_fields(owned, type_)
    whole = named(merged)
    bare = remove(merged, last, type_)
    unowned = field_sets.difference(whole, field_sets.union(named(bare), owned))
    without_unowned = remove(merged, unowned, type_)
    dangling = field_sets.difference(whole, named(without_unowned))
    # Kubernetes leaves null for a map or list that loses all its members; here it stays empty: most schemas refuse null
    pruned: dict[str, Any] = remove(merged, field_sets.intersection(dangling, last), type_, emptied=True)
    return pruned


def _conflict_error(conflicts: list[Conflict]) -> errors.StatusError:
    """409 with one cause for each field, in Kubernetes' words: kubectl and other clients print the message."""
    conflicts.sort(key=lambda conflict: identity(conflict[0]))
    total = len(conflicts)
    more = total - MAX_ERRORS
    conflicts = conflicts[:MAX_ERRORS]
    causes = []
    by_manager: dict[str, list[str]] = {}
    for entry, path in conflicts:
        shown, manager = shorten(field_sets.format_path(path)), _format_manager(entry)
        causes.append({"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": shown})
        by_manager.setdefault(manager, []).append(shown)
    if len(conflicts) == 1:
        cause = causes[0]
        message = f"Apply failed with 1 conflict: {cause['message']}: {cause['field']}"
    else:
        lines = []
        for manager, fields in by_manager.items():
            lines.append(f"conflicts with {manager}:")
            lines += [f"- {field}" for field in fields]
        if more > 0:
            lines.append(f"and {more} more conflicts")
            causes.append({"reason": "FieldManagerConflict", "message": f"{more} more conflicts are not shown"})
        message = f"Apply failed with {total} conflicts: " + join(lines, "\n")
    return errors.StatusError(409, "Conflict", message, details={"causes": causes})


def _format_manager(entry: Entry) -> str:
    text = json_text(entry.get("manager") or "")
    if subresource := entry.get("subresource"):
        text += f" with subresource {json_text(subresource)}"
    return f"{text} using {entry['apiVersion']}" if entry["operation"] == UPDATE else text


def _annotation(obj: dict[str, Any] | None) -> str:
    annotations = ((obj or {}).get("metadata") or {}).get("annotations") or {}
    return annotations.get(LAST_APPLIED) or ""


def _allowed_by_last_applied(request: _Request) -> FieldSet | None:
    """The fields that kubectl's client-side apply set and nobody has changed since: kubectl may take them over without force."""
    text = _annotation(request.live)
    if not text or request.live is None:
        return None
    try:
        last = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(last, dict) or last.get("apiVersion") != request.api_version:
        return None
    if type_errors(last, request.merge_type):
        return None
    type_ = request.merge_type
    return field_sets.difference(field_set_of(last, type_), compare(last, request.live, type_).all())


def _with_last_applied(made: dict[str, Any], applied: dict[str, Any]) -> dict[str, Any]:
    """Update the annotation of client-side apply, so that a user can return to client-side apply."""
    if not _annotation(made):
        return made
    meta = applied.get("metadata") or {}
    if isinstance(meta.get("annotations"), dict):
        annotations = {key: value for key, value in meta["annotations"].items() if key != LAST_APPLIED}
        applied = {**applied, "metadata": {**meta, "annotations": annotations}}
    text = orjson.dumps(applied, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    if text == _annotation(made):
        return made
    annotations = {**made["metadata"]["annotations"], LAST_APPLIED: text}
    size = sum(len(key.encode()) + len(str(value).encode()) for key, value in annotations.items())
    if size > _MAX_ANNOTATION_BYTES:
        del annotations[LAST_APPLIED]
    return {**made, "metadata": {**made["metadata"], "annotations": annotations}}
