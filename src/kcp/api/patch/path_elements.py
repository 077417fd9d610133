"""The path elements of list items: how field sets identify the items of a set or of a list with key fields.

Follows sigs.k8s.io/structured-merge-diff's typed package (``listItemToPathElement``), with its messages. Most lists have items of
one shape, whose elements are computed column by column: long lists cost a fraction of a call for each item.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kcp.api.patch import field_sets
from kcp.api.patch.go_format import json_text
from kcp.api.patch.merge_types import MergeType

_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 64) - 1
_PORTION: Final = 4096
"""Items whose elements are computed at a time: the columns take several times their memory."""


def path_element(item: Any, type_: MergeType) -> str:
    """The path element of an item of a set or of a list with key fields. Raises ValueError when the item cannot have one."""
    keys = type_.list_keys
    if not keys:
        if type(item) is dict:
            raise ValueError("associative list without keys has an element that's a map type")
        if type(item) is list:
            raise ValueError("not supported: associative list with lists as elements")
        if item is None:
            raise ValueError("associative list without keys has an element that's an explicit null")
        return field_sets.value_element(item)
    if item is None:
        raise ValueError("associative list with keys may not have a null element")
    if type(item) is not dict:
        raise ValueError("associative list with keys may not have non-map elements")
    defaults = type_.key_defaults
    key = {name: item[name] if name in item else defaults[name] for name in keys if name in item or name in defaults}
    if not key:
        listed = " ".join(map(json_text, keys))
        raise ValueError(
            f"associative list with keys has an element that omits all key fields [{listed}] "
            "(and doesn't have default values for any key fields)"
        )
    return field_sets.key_element(key)


def path_elements(items: list[Any], type_: MergeType) -> list[str] | None:
    """The path elements of all items; None when an item has none: the list is then treated as atomic."""
    if len(items) <= _PORTION:
        return _elements_of(items, type_)
    found: list[str] = []
    for start in range(0, len(items), _PORTION):
        more = _elements_of(items[start : start + _PORTION], type_)
        if more is None:
            return None
        distinct = set(more)
        if len(distinct) < len(more) // 2:
            found += map({element: element for element in distinct}.__getitem__, more)
        else:
            found += more
    return found


def _elements_of(items: list[Any], type_: MergeType) -> list[str] | None:
    found = _uniform_elements(items, type_)
    if found is not None:
        return found
    try:
        return [path_element(item, type_) for item in items]
    except ValueError:
        return None


def _uniform_elements(items: list[Any], type_: MergeType) -> list[str] | None:
    """The path elements of items of one shape; None for other items."""
    keys = type_.list_keys
    if not keys:
        texts = _json_texts(items)
        return None if texts is None else ["v:" + text for text in texts]
    if set(map(type, items)) != {dict}:
        return None
    columns: list[list[str]] = []
    defaults = type_.key_defaults
    for name in keys:
        try:
            values = (
                [item.get(name, defaults[name]) for item in items]
                if name in defaults
                else [item[name] for item in items]
            )
        except KeyError:
            return None
        texts = _json_texts(values)
        if texts is None:
            return None
        prefix = f"{json_text(name)}:"
        columns.append([prefix + text for text in texts])
    if len(columns) == 1:
        return [f"k:{{{text}}}" for text in columns[0]]
    return [f"k:{{{','.join(texts)}}}" for texts in zip(*columns, strict=True)]


def _json_texts(values: list[Any]) -> list[str] | None:
    """The JSON texts of values that are all strings or all integers; None for other values."""
    types = set(map(type, values))
    if types == {str}:
        serialized = orjson.dumps(values)
        if b"\\" in serialized:
            return [orjson.dumps(value).decode() for value in values]
        # without escapes, a quote only delimits values
        return [f'"{text}"' for text in serialized[2:-2].decode().split('","')]
    if types == {int} and min(values) >= _LEAST and max(values) <= _MOST:
        return list(map(str, values))
    return None
