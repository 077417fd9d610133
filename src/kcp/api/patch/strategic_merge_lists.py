"""Lists in a strategic merge patch: items merge by key, scalars as a set, in the order of the patch.

Follows the design "preserve order in strategic merge patch": items of the patch come in the patch's order, the others keep their
place between them; ``$setElementOrder`` states the order explicitly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kcp.api.patch.go_format import go_text
from kcp.api.patch.merge_types import MergeType

DIRECTIVE: Final = "$patch"

Map = dict[str, Any]
MergeMap = Callable[[Map, Map, MergeType], Map]
Clean = Callable[[Any], Any]


class PatchFormatError(Exception):
    """The patch is malformed, or well-formed and ``unprocessable``."""

    def __init__(self, message: str, *, unprocessable: bool = False) -> None:
        super().__init__(message)
        self.unprocessable = unprocessable


def merge(old: list[Any], patch: list[Any], field: MergeType, merge_map: MergeMap, clean: Clean) -> list[Any]:
    """Merge two lists of a field whose patch strategy is ``merge``. Raises PatchFormatError."""
    if not old and not patch:
        return old
    base, items, merged = _merged_items(old, patch, field, merge_map, clean)
    return _arrange(merged, items, base, _merge_key(old, patch, field))


def merge_in_order(
    old: list[Any] | None,
    patch: list[Any] | None,
    order: list[Any],
    field: MergeType,
    merge_map: MergeMap,
    clean: Clean,
) -> list[Any]:
    """Merge two lists, either of which may be absent, and sort the items as ``order`` does. Raises PatchFormatError."""
    if patch is None:
        merged = old or []
    elif old is None:
        merged = clean(patch)
    elif field.strategy == "merge":
        merged = merge(old, patch, field, merge_map, clean)
    else:
        merged = patch
    return _arrange(merged, order, old or [], _merge_key(old or [], patch or [], field))


def _merge_key(old: list[Any], patch: list[Any], field: MergeType) -> str:
    """The field that identifies an item; "" for scalars."""
    first = next(iter([*old, *patch]), None)
    return field.merge_key if isinstance(first, dict) else ""


def _merged_items(
    old: list[Any], patch: list[Any], field: MergeType, merge_map: MergeMap, clean: Clean
) -> tuple[list[Any], list[Any], list[Any]]:
    """The old list after deletions, the items of the patch without directives, and the merged list."""
    if check_kinds(old, patch) is not dict:
        merged: list[Any] = []
        for item in [*old, *patch]:
            if not contains(item, merged):
                merged.append(item)
        return old, patch, merged
    if not field.merge_key:
        raise PatchFormatError("cannot merge lists without merge key for slice")
    base, items = _apply_item_directives(old, patch, field.merge_key)
    merged = list(base)
    for item in items:
        value = _key_of(item, field.merge_key)
        index = _find(merged, field.merge_key, value)
        if index is None:
            merged.append(clean(item))
        else:
            merged[index] = merge_map(merged[index], item, field.items)
    return base, items, merged


def _apply_item_directives(old: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Apply ``$patch: delete`` and ``$patch: replace`` items; returns the remaining old list and the other items."""
    items = []
    replace = False
    for item in patch:
        directive = item.get(DIRECTIVE) if DIRECTIVE in item else DIRECTIVE
        if directive == DIRECTIVE:
            items.append(item)
        elif directive == "delete":
            value = _key_of(item, key)
            old = [other for other in old if not (key in other and _equal(other[key], value))]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise PatchFormatError("merging lists cannot yet be specified in the patch")
        else:
            raise PatchFormatError(f"unknown patch type: {go_text(directive)} in map: {go_text(item)}")
    return ([] if replace else old), items


def check_kinds(*lists: list[Any]) -> type | None:
    """The common type of all items: float for numbers, None without items. Raises PatchFormatError for mixed types and lists."""
    found: type | None = None
    for items in lists:
        for item in items:
            kind: type = float if type(item) is int else type(item)
            if kind is list:
                raise PatchFormatError("lists of lists are not supported", unprocessable=True)
            if found is not None and kind is not found:
                shown = go_text(list(lists))
                raise PatchFormatError(f"list element types are not identical: {shown}")
            found = kind
    return found


def check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """Raise PatchFormatError unless ``order`` contains the items of the patch, in their order."""
    if not patch or not order:
        return
    by_key = isinstance(patch[0], dict) and bool(key)
    places = iter(order)
    for item in patch:
        if by_key and isinstance(item, dict) and DIRECTIVE in item:
            continue
        wanted = _key_of(item, key) if by_key else item
        if not any(_equal(_key_of(place, key) if by_key else place, wanted) for place in places):
            raise PatchFormatError(
                f"The order in patch list:\n{go_text(patch)}\n doesn't match $setElementOrder list:\n{go_text(order)}\n"
            )


def _arrange(merged: list[Any], order: list[Any], old: list[Any], key: str) -> list[Any]:
    """Sort the merged items: those in ``order`` as there; each other one before the first of them that followed it in ``old``."""
    named: list[tuple[int, Any]] = []
    others: list[tuple[int, Any]] = []
    for item in merged:
        place = _position(order, item, key)
        if place is None:
            before = _position(old, item, key)
            others.append((len(old) if before is None else before, item))
        else:
            named.append((place, item))
    named.sort(key=lambda pair: pair[0])
    others.sort(key=lambda pair: pair[0])
    arranged: list[Any] = []
    left = 0
    for _, item in named:
        before = _position(old, item, key)
        while before is not None and left < len(others) and others[left][0] < before:
            arranged.append(others[left][1])
            left += 1
        arranged.append(item)
    arranged += [item for _, item in others[left:]]
    return arranged


def _position(items: list[Any], item: Any, key: str) -> int | None:
    return (
        _find(items, key, _key_of(item, key))
        if key
        else next((i for i, x in enumerate(items) if _equal(x, item)), None)
    )


def _key_of(item: Any, key: str) -> Any:
    if not isinstance(item, dict):
        raise PatchFormatError(f"value for key {go_text(item)} is not a map")
    if key not in item:
        raise PatchFormatError(f"map: {go_text(item)} does not contain declared merge key: {key}")
    return item[key]


def _find(items: list[Any], key: str, value: Any) -> int | None:
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise PatchFormatError(f"value for key {index} is not a map")
        if key in item and _equal(item[key], value):
            return index
    return None


def _equal(left: Any, right: Any) -> bool:
    return bool(left == right) and (type(left) is bool) == (type(right) is bool)


def contains(item: Any, items: list[Any]) -> bool:
    """Whether ``items`` contains a scalar."""
    return any(_equal(item, other) for other in items)
