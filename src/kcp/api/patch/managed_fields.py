"""``metadata.managedFields``: the field manager that set each field, for every write but apply (which is in `apply`).

Follows KEP-555 and the observable behaviour of k8s.io/apimachinery's managedfields package: one entry for each manager,
operation, API version and subresource; untracked fields; at most ten managers with the operation Update; clients that
clear or edit the list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from kcp.api.patch import field_sets
from kcp.api.patch.field_sets import FieldSet
from kcp.api.patch.merge_types import MergeType
from kcp.api.patch.typed_comparison import Paths, compare, reconcile
from kcp.api.times import whole_time

Entry = dict[str, Any]

APPLY: Final = "Apply"
UPDATE: Final = "Update"
MAX_UPDATE_MANAGERS: Final = 10
ANCIENT_CHANGES: Final = "ancient-changes"
UNKNOWN_MANAGER: Final = "unknown"


def update_managed_fields(
    live: dict[str, Any] | None,
    new: dict[str, Any],
    merge_type: MergeType,
    *,
    manager: str,
    operation: str = UPDATE,
    api_version: str,
    subresource: str = "",
    now: str,
    reset_fields: Paths = (),
    served_versions: Collection[str] | None = None,
    zero_value: Mapping[str, Any] | None = None,
    encoded: bool = False,
) -> list[Entry]:
    """The managed fields of ``new`` after ``manager`` has written it over ``live`` (None: created) in any way but apply.

    ``now`` is an RFC 3339 time. ``reset_fields`` are the paths that this write cannot change, as tuples of names: the manager
    does not own them. Entries of an API version outside ``served_versions`` (None: all are served) are dropped. If the client
    changed the list, a well-formed list replaces the live one, a malformed list is ignored, and ``[]`` or ``[{}]`` ends
    tracking. ``zero_value`` is what a created object is compared with: what is equal to it is not owned. ``encoded``: the entries
    of a created object will be encoded and not read.
    """
    entries = _starting_entries(live, new, subresource)
    if live is not None and not entries:
        return []  # tracking starts with the creation or the first apply
    is_alone = live is None and not entries
    before = live or dict(zero_value or {})
    comparison = compare(before, new, merge_type, reset_fields, encoded=encoded and is_alone)
    entries = [entry for entry in entries if _is_current(entry, served_versions)]
    if not comparison:
        return entries
    own = (manager or UNKNOWN_MANAGER, operation, api_version, subresource)
    previous = next((entry for entry in entries if identity(entry) == own), None)
    if previous is not None:
        entries.remove(previous)
    entries = without_changed(entries, comparison.all(), merge_type) if entries else []
    owned = comparison.modified
    if previous is not None and not owned:
        entries += without_changed([previous], comparison.removed, merge_type)
    elif previous is not None:
        left = field_sets.difference(reconcile(previous["fieldsV1"], merge_type), comparison.removed)
        owned = field_sets.union(left, owned)
    if owned:
        entries.append(new_entry(own, now, owned))
    return sort_entries(_merge_oldest(entries))


def _is_current(entry: Entry, served_versions: Collection[str] | None) -> bool:
    return bool(entry["fieldsV1"]) and (served_versions is None or entry["apiVersion"] in served_versions)


def without_changed(entries: Iterable[Entry], changed: FieldSet, merge_type: MergeType) -> list[Entry]:
    """The entries without the changed fields. Entries that own no field any more are dropped."""
    kept = []
    for entry in entries:
        fields = entry["fieldsV1"]
        if not changed.keys().isdisjoint(fields):
            rest = field_sets.difference(reconcile(fields, merge_type), changed)
            if rest is not fields:
                entry = {**entry, "fieldsV1": rest}
        if entry["fieldsV1"]:
            kept.append(entry)
    return kept


def identity(entry: Entry) -> tuple[str, str, str, str]:
    """The identity of an entry: manager, operation, API version (not for apply) and subresource."""
    operation = entry["operation"]
    version = "" if operation == APPLY else entry["apiVersion"]
    return entry.get("manager") or "", operation, version, entry.get("subresource") or ""


def differ_in_times_only(new: Any, old: Any) -> bool:
    """Whether two lists of managed fields have the same entries but for their times."""
    if not isinstance(new, list) or not isinstance(old, list) or len(new) != len(old):
        return False
    before = {identity(entry): entry for entry in old}
    return all(
        (other := before.get(identity(entry))) is not None
        and (entry == other or {**entry, "time": None} == {**other, "time": None})
        for entry in new
    )


def new_entry(
    identity: tuple[str, str, str, str], now: str | None, fields: FieldSet, *, api_version: str | None = None
) -> Entry:
    """An entry, its members in Kubernetes' order."""
    manager, operation, version, subresource = identity
    entry: Entry = {"manager": manager, "operation": operation, "apiVersion": api_version or version}
    if now:
        entry["time"] = now
    entry["fieldsType"] = "FieldsV1"
    entry["fieldsV1"] = fields
    if subresource:
        entry["subresource"] = subresource
    return entry


def sort_entries(entries: list[Entry]) -> list[Entry]:
    """Sort entries as Kubernetes does, in place: appliers before updaters, then oldest first."""
    if len(entries) > 1:
        entries.sort(key=_rank)
    return entries


def _rank(entry: Entry) -> tuple[str, str, str, str, str]:
    return (
        entry["operation"],
        entry.get("time") or "",
        entry.get("manager") or "",
        entry["apiVersion"],
        entry.get("subresource") or "",
    )


def _starting_entries(live: dict[str, Any] | None, new: dict[str, Any], subresource: str) -> list[Entry]:
    """The entries before this write: the client's if it sent a well-formed list, else those of the live object."""
    current = stored_entries(live)
    if subresource and live is not None:
        return current
    sent = (new.get("metadata") or {}).get("managedFields")
    if sent is None or sent == current:
        return current
    if is_reset(sent):
        return []
    try:
        decoded = decode_managed_fields(sent)
    except ValueError:
        return current
    return sort_entries(decoded) if decoded else current


def stored_entries(live: dict[str, Any] | None) -> list[Entry]:
    """The managed fields of a stored object, as a new list."""
    found = (live["metadata"].get("managedFields") if live is not None and live.get("metadata") else None) or ()
    return [entry for entry in found if "fieldsV1" in entry]


def is_reset(sent: Any) -> bool:
    """Whether a list that a client sent asks to clear all managed fields: ``[]`` or ``[{}]``."""
    return isinstance(sent, list) and (not sent or sent == [{}])


def decode_managed_fields(sent: Any) -> list[Entry]:
    """Validate and normalize managed fields that a client sent. Raises ValueError when they are malformed."""
    if not isinstance(sent, list):
        raise ValueError("managedFields must be a list")
    decoded: dict[tuple[str, str, str, str], Entry] = {}
    for index, entry in enumerate(sent):
        if not isinstance(entry, dict):
            raise ValueError(f"managed fields entry {index} must be a JSON object")
        operation, version, kind = entry.get("operation"), entry.get("apiVersion"), entry.get("fieldsType")
        if operation not in (APPLY, UPDATE):
            raise ValueError("operation must be `Apply` or `Update`")
        if not isinstance(version, str) or not version:
            raise ValueError("apiVersion must not be empty")
        if not kind:
            raise ValueError(f"missing fieldsType in managed fields entry {index}")
        if kind != "FieldsV1":
            raise ValueError(f'invalid fieldsType "{kind}" in managed fields entry {index}')
        manager, subresource = entry.get("manager") or "", entry.get("subresource") or ""
        if not isinstance(manager, str) or not isinstance(subresource, str):
            raise ValueError(f"manager and subresource must be strings in managed fields entry {index}")
        fields = entry.get("fieldsV1")
        made = new_entry(
            (manager, operation, version, subresource),
            _time_of(entry.get("time")),
            {} if fields is None else field_sets.decode(fields),
        )
        decoded[identity(made)] = made
    return list(decoded.values())


def _time_of(text: Any) -> str | None:
    """Normalize a time that a client sent: whole seconds, UTC."""
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise ValueError("time must be a string")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time has no zone: {text}")
    try:
        return whole_time(moment)
    except OverflowError as error:
        raise ValueError(f"time is out of range: {text}") from error


def _merge_oldest(entries: list[Entry]) -> list[Entry]:
    """Merge the oldest updaters of an API version into ``ancient-changes`` until at most ten updaters are left."""
    if len(entries) <= MAX_UPDATE_MANAGERS:
        return entries
    excess = sum(entry["operation"] == UPDATE for entry in entries) - MAX_UPDATE_MANAGERS
    if excess <= 0:
        return entries
    kept = {identity(entry): entry for entry in entries}
    updaters = [entry for entry in entries if entry["operation"] == UPDATE]
    updaters.sort(key=lambda entry: (entry.get("time") or "", identity(entry)))
    first_of: dict[str, tuple[str, str, str, str]] = {}
    for entry in updaters:
        if excess <= 0:
            break
        version = entry["apiVersion"]
        bucket = (ANCIENT_CHANGES, UPDATE, version, "")
        if version not in first_of:
            first_of[version] = identity(entry)
            continue
        older = kept.get(bucket)
        if older is None:
            older = kept.pop(first_of[version])
        kept.pop(identity(entry))
        merged = field_sets.union(older["fieldsV1"], entry["fieldsV1"])
        kept[bucket] = new_entry(bucket, entry.get("time"), merged)
        excess -= 1
    return list(kept.values())
