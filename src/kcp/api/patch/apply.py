"""Server-side apply.

Follows KEP-555 and what k8s.io/apimachinery's managedfields package lets clients observe: conflicts and their messages,
removal of what a manager no longer applies, sharing of fields, objects from before the first apply, and kubectl's move
from client-side apply.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import orjson

from kcp.api import errors
from kcp.api.patch import field_sets
from kcp.api.patch.comparing import (
    Changes,
    Paths,
    changes,
    field_set_of,
    problems,
    reconciled,
    with_named_fields,
    without,
)
from kcp.api.patch.field_sets import FieldSet
from kcp.api.patch.managed_fields import APPLY, UPDATE, Entry, disowned, identity, in_order, new_entry, stored_entries
from kcp.api.patch.merge_types import MergeType
from kcp.api.patch.merging import merge_maps, remove
from kcp.api.patch.printing import quoted

BEFORE_FIRST_APPLY: Final = "before-first-apply"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL: Final = "kubectl"
_MAX_ANNOTATION_BYTES: Final = 256 * 1024
_IDENTITY: Final[FieldSet] = {"f:metadata": {"f:name": {}}}
"""What is there of every object, whatever managers stop to apply of its metadata."""

Conflict = tuple[Entry, tuple[str, ...]]


class _ConflictsError(Exception):
    """Fields that the configuration would change and that others own."""

    def __init__(self, conflicts: list[Conflict]) -> None:
        super().__init__()
        self.conflicts = conflicts


class _Request:
    """What one apply is about."""

    __slots__ = ("api_version", "applied", "live", "merge_type", "mine", "now", "reset_fields", "served_versions")

    def __init__(
        self,
        live: dict[str, Any] | None,
        applied: dict[str, Any],
        merge_type: MergeType,
        mine: tuple[str, str, str, str],
        api_version: str,
        now: str,
        reset_fields: Paths,
        served_versions: Collection[str] | None,
    ) -> None:
        self.live = live
        self.applied = applied
        self.merge_type = merge_type
        self.mine = mine
        self.api_version = api_version
        self.now = now
        self.reset_fields = reset_fields
        self.served_versions = served_versions


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
) -> dict[str, Any]:
    """The object that applying ``applied`` makes of ``live`` (None: there is none yet), with its managed fields.

    Gives ``live`` itself when nothing changes, also in who owns what. ``now`` is an RFC 3339 time; ``reset_fields`` are the paths
    that this write cannot change; entries of versions outside ``served_versions`` (None: all are served) are dropped.

    Raises StatusError 400 when the configuration is not one of this type, 409 with a cause for every field that another
    manager owns and that would change, unless ``force`` takes them over.

    53 us for a 15-field configuration that changes one field of an object of one manager.
    """
    check_version(applied, api_version)
    _check(applied, merge_type, api_version)
    mine = (manager, APPLY, "", subresource)
    request = _Request(live, applied, merge_type, mine, api_version, now, reset_fields, served_versions)
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
    """Raise StatusError 400 for a configuration of another version, or of none: it may follow another schema."""
    if applied.get("apiVersion") != api_version:
        raise errors.bad_request(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {applied.get('apiVersion') or ''}, expected: {api_version}"
        )


def _check(applied: dict[str, Any], merge_type: MergeType, api_version: str) -> None:
    meta = applied.get("metadata")
    if isinstance(meta, dict) and meta.get("managedFields") is not None:
        raise errors.bad_request("metadata.managedFields must be nil")
    found = problems(applied, merge_type)
    if found:
        named = meta if isinstance(meta, dict) else {}
        place = (
            f"{named.get('namespace') or ''}/{named.get('name') or ''}; {api_version}, Kind={applied.get('kind') or ''}"
        )
        listed = found[0] if len(found) == 1 else "\n  ".join(["errors:", *found])
        raise errors.bad_request(f"failed to create typed patch object ({place}): {listed}")


def _applied(request: _Request, force: bool) -> dict[str, Any]:
    """Merge, prune, and bring the managed fields up to date. Raises _ConflictsError."""
    type_ = request.merge_type
    base = request.live or {}
    before = _entries_before(request)
    entries = [_reconciled(entry, type_) for entry in before]
    previous = next((entry for entry in entries if identity(entry) == request.mine), None)
    others = [entry for entry in entries if entry is not previous]
    owned = without(field_set_of(request.applied, type_), request.reset_fields)
    merged = merge_maps(base, request.applied, type_)
    if previous is not None and field_sets.difference(previous["fieldsV1"], owned):
        sets = [owned, _IDENTITY, *(entry["fieldsV1"] for entry in others)]
        merged = _pruned(merged, previous["fieldsV1"], sets, type_)
    made = Changes({}, {}) if merged is base else changes(base, merged, type_, request.reset_fields)
    if made.taken and not force and (conflicts := _conflicts(others, made.taken)):
        raise _ConflictsError(conflicts)
    kept = disowned(others, made.all(), type_) if made else others
    if owned:
        kept.append(_own_entry(request, previous, owned, changed=merged is not base and merged != base))
    in_order(kept)
    if merged is base and request.live is not None and kept == (base.get("metadata") or {}).get("managedFields"):
        return base
    meta = dict(merged.get("metadata") or {})
    if kept:
        meta["managedFields"] = kept
    else:
        meta.pop("managedFields", None)
    return {**merged, "metadata": meta}


def _entries_before(request: _Request) -> list[Entry]:
    """The live object's managed fields; what was there before anybody was tracked belongs to one manager of its own."""
    entries = stored_entries(request.live)
    if not entries and request.live is not None:
        fields = changes({}, request.live, request.merge_type, request.reset_fields).taken
        if fields:
            mine = (BEFORE_FIRST_APPLY, UPDATE, request.api_version, request.mine[3])
            entries = [new_entry(mine, request.now, fields)]
    served = request.served_versions
    return [entry for entry in entries if served is None or entry["apiVersion"] in served]


def _reconciled(entry: Entry, type_: MergeType) -> Entry:
    fields = entry["fieldsV1"]
    fitting = reconciled(fields, type_)
    return entry if fitting is fields else {**entry, "fieldsV1": fitting}


def _own_entry(request: _Request, previous: Entry | None, owned: FieldSet, *, changed: bool) -> Entry:
    """The applier's entry. Its time is that of the last apply that changed the object or what the applier owns."""
    if (
        not changed
        and previous is not None
        and previous["apiVersion"] == request.api_version
        and previous["fieldsV1"] == owned
    ):
        return previous
    return new_entry(request.mine, request.now, owned, api_version=request.api_version)


def _conflicts(others: list[Entry], taken: FieldSet) -> list[Conflict]:
    found: list[Conflict] = []
    for entry in others:
        if not taken.keys().isdisjoint(entry["fieldsV1"]):
            common = field_sets.intersection(entry["fieldsV1"], taken)
            found += [(entry, path) for path in field_sets.paths(common)]
    return found


def _pruned(merged: dict[str, Any], last: FieldSet, sets: list[FieldSet], type_: MergeType) -> dict[str, Any]:
    """``merged`` without what the manager applied last time and that nobody owns now.

    Structured merge in three steps: take out all of ``last``, put back what anybody owns, put back what was not in ``last``.
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
    going = field_sets.difference(whole, field_sets.union(named(bare), owned))
    without_unowned = remove(merged, going, type_)
    dangling = field_sets.difference(whole, named(without_unowned))
    # where Kubernetes leaves null of a map or list that loses all its parts, it stays empty here: null breaks most schemas
    pruned: dict[str, Any] = remove(merged, field_sets.intersection(dangling, last), type_, emptied=True)
    return pruned


def _conflict_error(conflicts: list[Conflict]) -> errors.StatusError:
    """409 with one cause for every field, worded as Kubernetes words it: kubectl and others show the message as it is."""
    conflicts.sort(key=lambda conflict: identity(conflict[0]))
    causes = []
    by_manager: dict[str, list[str]] = {}
    for entry, path in conflicts:
        shown, manager = field_sets.printed(path), _printed_manager(entry)
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
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return errors.StatusError(409, "Conflict", message, details={"causes": causes})


def _printed_manager(entry: Entry) -> str:
    text = quoted(entry.get("manager") or "")
    if subresource := entry.get("subresource"):
        text += f" with subresource {quoted(subresource)}"
    return f"{text} using {entry['apiVersion']}" if entry["operation"] == UPDATE else text


def _annotation(obj: dict[str, Any] | None) -> str:
    annotations = ((obj or {}).get("metadata") or {}).get("annotations") or {}
    return annotations.get(LAST_APPLIED) or ""


def _allowed_by_last_applied(request: _Request) -> FieldSet | None:
    """The fields that kubectl's client-side apply set and nobody has changed since: kubectl may take them without force."""
    text = _annotation(request.live)
    if not text or request.live is None:
        return None
    try:
        last = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(last, dict) or last.get("apiVersion") != request.api_version:
        return None
    if problems(last, request.merge_type):
        return None
    type_ = request.merge_type
    return field_sets.difference(field_set_of(last, type_), changes(last, request.live, type_).all())


def _with_last_applied(made: dict[str, Any], applied: dict[str, Any]) -> dict[str, Any]:
    """Keep the annotation of client-side apply right, so that a user can go back to it."""
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
