"""Lists in a strategic merge patch: items merge by key, scalars as a set, in the order of the patch.

Follows the design "preserve order in strategic merge patch": items of the patch come in the patch's order, the others keep their
place between them; ``$setElementOrder`` states the order explicitly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kcp.api import json_values
from kcp.api.field_errors import shorten
from kcp.api.patch.go_format import go_text
from kcp.api.patch.merge_types import MergeType

DIRECTIVE: Final = "$patch"

_MAX_SHOWN: Final = 100
"""Items of a list in a message."""

_MANY: Final = 1_000
"""Items of a patch from which those that change nothing are left as they are."""

Map = dict[str, Any]
MergeMap = Callable[[Map, Map, MergeType], Map]
Clean = Callable[[Any], Any]


class PatchFormatError(Exception):
    """The patch is malformed, or well-formed and ``unprocessable``."""

    def __init__(self, message: str, *, unprocessable: bool = False) -> None:
        super().__init__(shorten(message))  # it contains parts of the patch
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
        distinct: dict[Any, Any] = {}
        for item in (*old, *patch):
            distinct.setdefault(_identity(item), item)
        return old, patch, list(distinct.values())
    if not field.merge_key:
        raise PatchFormatError("cannot merge lists without merge key for slice")
    key = field.merge_key
    base, items = _apply_item_directives(old, patch, key)
    merged = list(base)
    positions = _positions(merged, key)
    for item in items:
        value = _identity(_key_of(item, key))
        position = positions.get(value)
        if position is not None:
            made = merge_map(merged[position], item, field.items)
            if len(items) < _MANY or not json_values.equal(made, merged[position]):  # an equal item would be kept twice
                merged[position] = made
            continue
        new = clean(item)
        if key in new:
            positions[value] = len(merged)
        merged.append(new)
    return base, items, merged


def _apply_item_directives(old: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Apply ``$patch: delete`` and ``$patch: replace`` items; returns the remaining old list and the other items."""
    items = []
    deleted: set[Any] = set()
    replace = False
    for item in patch:
        directive = item.get(DIRECTIVE) if DIRECTIVE in item else DIRECTIVE
        if directive == DIRECTIVE:
            items.append(item)
        elif directive == "delete":
            deleted.add(_identity(_key_of(item, key)))
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise PatchFormatError("merging lists cannot yet be specified in the patch")
        else:
            raise PatchFormatError(f"unknown patch type: {go_text(directive)} in map: {go_text(item)}")
    if replace:
        return [], items
    if deleted:
        old = [item for item in old if key not in item or _identity(item[key]) not in deleted]
    return old, items


def check_kinds(*lists: list[Any]) -> type | None:
    """The common type of all items: float for numbers, None without items. Raises PatchFormatError for mixed types and lists."""
    found: type | None = None
    for items in lists:
        for item in items:
            kind: type = float if type(item) is int else type(item)
            if kind is list:
                raise PatchFormatError("lists of lists are not supported", unprocessable=True)
            if found is not None and kind is not found:
                shown = go_text([items[:_MAX_SHOWN] for items in lists])
                raise PatchFormatError(f"list element types are not identical: {shown}")
            found = kind
    return found


def check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """Raise PatchFormatError unless ``order`` contains the items of the patch, in their order."""
    if not patch or not order:
        return
    by_key = isinstance(patch[0], dict) and bool(key)
    ordered = iter(order)
    for item in patch:
        if by_key and isinstance(item, dict) and DIRECTIVE in item:
            continue
        wanted = _identity(_key_of(item, key) if by_key else item)
        if not any(_identity(_key_of(other, key) if by_key else other) == wanted for other in ordered):
            raise PatchFormatError(
                f"The order in patch list:\n{go_text(patch[:_MAX_SHOWN])}\n doesn't match $setElementOrder list:\n"
                f"{go_text(order[:_MAX_SHOWN])}\n"
            )


def _arrange(merged: list[Any], order: list[Any], old: list[Any], key: str) -> list[Any]:
    """Sort the merged items: those in ``order`` as there; each other one before the first of them that followed it in ``old``."""
    in_order, in_old = _positions(order, key), _positions(old, key)
    named: list[tuple[int, int | None, Any]] = []
    others: list[tuple[int, Any]] = []
    for item in merged:
        identity = _identity(_key_of(item, key) if key else item)
        position, before = in_order.get(identity), in_old.get(identity)
        if position is None:
            others.append((len(old) if before is None else before, item))
        else:
            named.append((position, before, item))
    named.sort(key=lambda entry: entry[0])
    others.sort(key=lambda entry: entry[0])
    arranged: list[Any] = []
    left = 0
    for _, before, item in named:
        while before is not None and left < len(others) and others[left][0] < before:
            arranged.append(others[left][1])
            left += 1
        arranged.append(item)
    arranged += [item for _, item in others[left:]]
    return arranged


def _positions(items: list[Any], key: str) -> dict[Any, int]:
    """The position of the first item with each identity. Items without the merge key have none."""
    positions: dict[Any, int] = {}
    for position, item in enumerate(items):
        if not key:
            positions.setdefault(_identity(item), position)
        elif not isinstance(item, dict):
            raise PatchFormatError(f"value for key {position} is not a map")
        elif key in item:
            positions.setdefault(_identity(item[key]), position)
    return positions


def _identity(value: Any) -> Any:
    """A hashable stand-in for a JSON value. Equal for equal values: numbers by value, and ``true`` is not 1."""
    kind = type(value)
    if kind is bool or kind is dict or kind is list:
        return kind, json_values.kept_text(value)
    return value


def _key_of(item: Any, key: str) -> Any:
    if not isinstance(item, dict):
        raise PatchFormatError(f"value for key {go_text(item)} is not a map")
    if key not in item:
        raise PatchFormatError(f"map: {go_text(item)} does not contain declared merge key: {key}")
    return item[key]


def without_values(items: list[Any], values: list[Any]) -> list[Any]:
    """The items that are not among ``values``."""
    excluded = set(map(_identity, values))
    return [item for item in items if _identity(item) not in excluded]
