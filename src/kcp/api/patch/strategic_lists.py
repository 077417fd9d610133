"""The lists of a strategic merge patch: items merge by key, scalars as a set, and the order is that of the patch.

Follows the design "preserve order in strategic merge patch": items of the patch in the patch's order, others where they stood
among them; ``$setElementOrder`` says the order explicitly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kcp.api.patch.merge_types import MergeType
from kcp.api.patch.printing import plain

DIRECTIVE: Final = "$patch"

Map = dict[str, Any]
MergeMap = Callable[[Map, Map, MergeType], Map]
Clean = Callable[[Any], Any]


class PatchFormatError(Exception):
    """The patch is malformed; ``unprocessable`` when it is understood and cannot be done."""

    def __init__(self, message: str, *, unprocessable: bool = False) -> None:
        super().__init__(message)
        self.unprocessable = unprocessable


def merge(old: list[Any], patch: list[Any], field: MergeType, merge_map: MergeMap, clean: Clean) -> list[Any]:
    """Merge two lists of a field whose patch strategy is ``merge``. Raises PatchFormatError."""
    if not old and not patch:
        return old
    base, items, merged = _merged_items(old, patch, field, merge_map, clean)
    return _arranged(merged, items, base, _merge_key(old, patch, field))


def merge_in_order(
    old: list[Any] | None,
    patch: list[Any] | None,
    order: list[Any],
    field: MergeType,
    merge_map: MergeMap,
    clean: Clean,
) -> list[Any]:
    """Merge two lists, one of which may be absent, and arrange the items as ``order`` lists them. Raises PatchFormatError."""
    if patch is None:
        merged = old or []
    elif old is None:
        merged = clean(patch)
    elif field.strategy == "merge":
        merged = merge(old, patch, field, merge_map, clean)
    else:
        merged = patch
    return _arranged(merged, order, old or [], _merge_key(old or [], patch or [], field))


def _merge_key(old: list[Any], patch: list[Any], field: MergeType) -> str:
    """The field by which items are told apart; "" for scalars."""
    first = next(iter([*old, *patch]), None)
    return field.merge_key if isinstance(first, dict) else ""


def _merged_items(
    old: list[Any], patch: list[Any], field: MergeType, merge_map: MergeMap, clean: Clean
) -> tuple[list[Any], list[Any], list[Any]]:
    """The list after deletions, the items of the patch that are no directives, and both merged."""
    if check_kinds(old, patch) is not dict:
        merged: list[Any] = []
        for item in [*old, *patch]:
            if not among(item, merged):
                merged.append(item)
        return old, patch, merged
    if not field.merge_key:
        raise PatchFormatError("cannot merge lists without merge key for slice")
    base, items = _directives_done(old, patch, field.merge_key)
    merged = list(base)
    for item in items:
        value = _key_of(item, field.merge_key)
        index = _find(merged, field.merge_key, value)
        if index is None:
            merged.append(clean(item))
        else:
            merged[index] = merge_map(merged[index], item, field.items)
    return base, items, merged


def _directives_done(old: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carry out ``$patch: delete`` and ``$patch: replace`` of items; returns the list and the items that are left."""
    items = []
    replace = False
    for item in patch:
        directive = item.get(DIRECTIVE) if DIRECTIVE in item else DIRECTIVE
        if directive == DIRECTIVE:
            items.append(item)
        elif directive == "delete":
            value = _key_of(item, key)
            old = [other for other in old if not (key in other and _same(other[key], value))]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise PatchFormatError("merging lists cannot yet be specified in the patch")
        else:
            raise PatchFormatError(f"unknown patch type: {plain(directive)} in map: {plain(item)}")
    return ([] if replace else old), items


def check_kinds(*lists: list[Any]) -> type | None:
    """The one kind that all items have (dict, or a scalar's). Raises PatchFormatError when they differ or are lists."""
    found: type | None = None
    for items in lists:
        for item in items:
            kind: type = float if type(item) is int else type(item)
            if kind is list:
                raise PatchFormatError("lists of lists are not supported", unprocessable=True)
            if found is not None and kind is not found:
                shown = plain(list(lists))
                raise PatchFormatError(f"list element types are not identical: {shown}")
            found = kind
    return found


def check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """The items of the patch stand in ``order``, in that order. Raises PatchFormatError."""
    if not patch or not order:
        return
    by_key = isinstance(patch[0], dict) and bool(key)
    places = iter(order)
    for item in patch:
        if by_key and isinstance(item, dict) and DIRECTIVE in item:
            continue
        wanted = _key_of(item, key) if by_key else item
        if not any(_same(_key_of(place, key) if by_key else place, wanted) for place in places):
            raise PatchFormatError(
                f"The order in patch list:\n{plain(patch)}\n doesn't match $setElementOrder list:\n{plain(order)}\n"
            )


def _arranged(merged: list[Any], order: list[Any], old: list[Any], key: str) -> list[Any]:
    """Items that ``order`` names in that order; the others in the old order, before the first of them that stood after."""
    named: list[tuple[int, Any]] = []
    others: list[tuple[int, Any]] = []
    for item in merged:
        place = _place(order, item, key)
        if place is None:
            before = _place(old, item, key)
            others.append((len(old) if before is None else before, item))
        else:
            named.append((place, item))
    named.sort(key=lambda pair: pair[0])
    others.sort(key=lambda pair: pair[0])
    arranged: list[Any] = []
    left = 0
    for _, item in named:
        before = _place(old, item, key)
        while before is not None and left < len(others) and others[left][0] < before:
            arranged.append(others[left][1])
            left += 1
        arranged.append(item)
    arranged += [item for _, item in others[left:]]
    return arranged


def _place(items: list[Any], item: Any, key: str) -> int | None:
    return (
        _find(items, key, _key_of(item, key)) if key else next((i for i, x in enumerate(items) if _same(x, item)), None)
    )


def _key_of(item: Any, key: str) -> Any:
    if not isinstance(item, dict):
        raise PatchFormatError(f"value for key {plain(item)} is not a map")
    if key not in item:
        raise PatchFormatError(f"map: {plain(item)} does not contain declared merge key: {key}")
    return item[key]


def _find(items: list[Any], key: str, value: Any) -> int | None:
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise PatchFormatError(f"value for key {index} is not a map")
        if key in item and _same(item[key], value):
            return index
    return None


def _same(left: Any, right: Any) -> bool:
    return bool(left == right) and (type(left) is bool) == (type(right) is bool)


def among(item: Any, items: list[Any]) -> bool:
    """Whether a scalar is one of ``items``."""
    return any(_same(item, other) for other in items)
