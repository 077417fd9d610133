"""Merge an apply configuration into an object, and remove fields from an object, as its merge type says.

Follows sigs.k8s.io/structured-merge-diff's typed package (``Merge``, ``RemoveItems``). Results share unchanged parts with the
arguments: a merge that changes nothing returns the object itself.
"""

from __future__ import annotations

from typing import Any

from kcp.api.json_values import equal
from kcp.api.patch.field_sets import FieldSet
from kcp.api.patch.merge_types import MergeType
from kcp.api.patch.path_elements import path_elements


def merge(old: Any, applied: Any, type_: MergeType) -> Any:
    """``old`` with every value of ``applied``. Removes nothing. ``applied`` must be valid for its type."""
    kind = type(applied)
    if kind is dict and applied and not type_.atomic_map:
        return merge_maps(old, applied, type_) if type(old) is dict else applied
    if kind is list and applied and type_.list_keys is not None:
        return _merge_lists(old, applied, type_) if type(old) is list and old else applied
    if old == applied and (not type_.loose or equal(old, applied)):
        return old
    if (applied is None or (not applied and kind in (dict, list) and type(old) is kind)) and _granular(old, type_):
        return old
    return applied


def _granular(old: Any, type_: MergeType) -> bool:
    """Whether a value has fields or items that merge one by one: an empty or null configuration leaves them alone."""
    if type(old) is dict:
        return bool(old) and not type_.atomic_map
    return type(old) is list and bool(old) and type_.list_keys is not None


def merge_maps(old: dict[str, Any], applied: dict[str, Any], type_: MergeType) -> dict[str, Any]:
    """Merge two maps field by field."""
    fields, rest = type_.fields, type_.rest
    merged: dict[str, Any] | None = None
    for key, value in applied.items():
        if key in old:
            before = old[key]
            made = merge(before, value, fields.get(key, rest))
            if made is before:
                continue
        else:
            made = value
        if merged is None:
            merged = dict(old)
        merged[key] = made
    return old if merged is None else merged


def _merge_lists(old: list[Any], applied: list[Any], type_: MergeType) -> list[Any]:
    """Merge two lists item by item: shared items in the order of ``applied``, the others keep their place between them."""
    theirs = path_elements(applied, type_)
    ours = path_elements(old, type_)
    if theirs is None or ours is None:
        return applied
    wanted = dict(zip(theirs, applied, strict=True))
    present: dict[str, Any] = {}
    for element, item in zip(ours, old, strict=True):
        present[element] = None if element in present else item  # duplicates are replaced, not merged
    shared = [element for element in theirs if element in present]
    merged: list[Any] = []
    done: set[str] = set()
    left = right = upcoming = 0

    def take() -> None:
        element = theirs[right]
        item = present.get(element)
        merged.append(wanted[element] if item is None else merge(item, wanted[element], type_.items))
        done.add(element)

    while left < len(ours) or right < len(theirs):
        if left < len(ours):
            element = ours[left]
            if right < len(theirs):
                if element == theirs[right]:
                    take()
                    left, right, upcoming = left + 1, right + 1, upcoming + 1
                    continue
                if element in wanted and upcoming < len(shared) and shared[upcoming] != element:
                    left += 1  # shared: it follows in the order of ``applied``
                    continue
            if element not in wanted:
                merged.append(old[left])
                left += 1
                continue
            if element in done:
                left += 1
        if right < len(theirs):
            take()
            if upcoming < len(shared) and shared[upcoming] == theirs[right]:
                upcoming += 1
            right += 1
    same = len(merged) == len(old) and all(made is item for made, item in zip(merged, old, strict=True))
    return old if same else merged


def remove(value: Any, fields: FieldSet, type_: MergeType, *, emptied: bool = False) -> Any:
    """``value`` without the members of ``fields`` and everything below them.

    A map or list that loses all its members becomes null, or with ``emptied`` stays as an empty one.
    """
    if type(value) is dict and not type_.atomic_map:
        made: Any = _remove_from_map(value, fields, type_, emptied)
    elif type(value) is list and type_.list_keys is not None:
        made = _remove_from_list(value, fields, type_, emptied)
    else:
        return value
    return made if made or emptied else None


def _remove_from_map(value: dict[str, Any], fields: FieldSet, type_: MergeType, emptied: bool) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    same = True
    for key, child in value.items():
        node = fields.get("f:" + key)
        if node is not None:
            if not node or "." in node:
                same = False
                continue
            made = remove(child, node, type_.field(key), emptied=emptied)
            if made is not child:
                same, child = False, made
        kept[key] = child
    return value if same else kept


def _remove_from_list(value: list[Any], fields: FieldSet, type_: MergeType, emptied: bool) -> list[Any]:
    kept: list[Any] = []
    same = True
    for element, item in zip(path_elements(value, type_) or [""] * len(value), value, strict=True):
        node = fields.get(element)
        if node is not None:
            if not node or "." in node:
                same = False
                continue
            made = remove(item, node, type_.items, emptied=emptied)
            if made is not item:
                same, item = False, made
        kept.append(item)
    return value if same else kept
