"""Deep copies and equality of JSON values: what ``orjson.loads`` returns."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any, Final

import orjson

_CONTAINERS: Final = frozenset((dict, list))
_LONG: Final = 1_000
"""Items of a list from which a copy takes much memory."""
_INT64: Final = 1 << 63
_UINT64: Final = 1 << 64


def copy(value: Any) -> Any:
    """A deep copy. Maps and lists are serialized and parsed again: orjson is faster than a walk in Python."""
    return orjson.loads(orjson.dumps(value)) if type(value) is dict or type(value) is list else value


def copy_containers(value: Any) -> Any:
    """A deep copy that shares its strings and numbers with the original: of a large value, `copy` makes megabytes of new ones."""
    kind = type(value)
    if kind is dict:
        if _CONTAINERS.isdisjoint(map(type, value.values())):
            return value.copy()
        return {key: copy_containers(item) if type(item) in _CONTAINERS else item for key, item in value.items()}
    if kind is list:
        if _CONTAINERS.isdisjoint(map(type, value)):
            return value.copy()
        return [copy_containers(item) if type(item) in _CONTAINERS else item for item in value]
    return value


def copy_of_changed(value: Any, old: Any) -> Any:
    """A copy like `copy_containers`, of what was made of ``old``.

    It shares with ``old`` the long lists that are there too, and the items of long lists that are there at the same index.
    """
    kind = type(value)
    if kind is dict:
        before: Any = old if type(old) is dict else {}
        return {
            key: copy_of_changed(item, before.get(key)) if type(item) in _CONTAINERS else item
            for key, item in value.items()
        }
    if kind is not list or len(value) < _LONG:
        return copy_containers(value)
    if value is old:
        return value
    earlier = chain(old if type(old) is list else (), repeat(None))
    return [item if item is same else copy_containers(item) for item, same in zip(value, earlier, strict=False)]


def kept_text(value: Any) -> bytes:
    """The JSON text of a value, for keeping, with sorted keys. orjson's results take 4 KB and more until they are copied."""
    return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)))


def equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal: numbers by value, and ``true`` is not 1."""
    kind = type(left)
    if kind is dict or kind is list:
        return left is right or bool(left == right and (_equal_texts(left, right) or _equal(left, right)))
    return bool(left == right) and (kind is bool) == (type(right) is bool)


def _equal_texts(left: Any, right: Any) -> bool:
    return orjson.dumps(left, option=orjson.OPT_SORT_KEYS) == orjson.dumps(right, option=orjson.OPT_SORT_KEYS)


def _equal(left: Any, right: Any) -> bool:
    """Compare two values that Python takes for equal. Python takes ``True`` for 1, and the JSON texts of 1 and 1.0 differ."""
    if type(left) is dict:
        return all(_equal(value, right[key]) for key, value in left.items())
    if type(left) is list:
        return all(map(_equal, left, right))
    return (type(left) is bool) == (type(right) is bool)


def with_integers(value: Any) -> Any:
    """A value whose whole floats of up to 64 bits are integers. Changes maps and lists in place."""
    if type(value) is float:
        return int(value) if value.is_integer() and -_INT64 <= value < _UINT64 else value
    pending = [value] if type(value) is dict or type(value) is list else []
    while pending:
        node = pending.pop()
        for key, item in node.items() if type(node) is dict else enumerate(node):
            kind = type(item)
            if kind is dict or kind is list:
                pending.append(item)
            elif kind is float:
                node[key] = with_integers(item)
    return value


def count_keys(value: Any) -> int:
    """The keys of all maps in a value."""
    level = [value] if type(value) in _CONTAINERS else []
    count = 0
    while level:
        count += sum(len(node) for node in level if type(node) is dict)
        level = containers_in(level)
    return count


def containers_in(level: list[Any]) -> list[Any]:
    """The maps and lists directly inside these maps and lists."""
    return [
        item
        for node in level
        for item in (node.values() if type(node) is dict else node)
        if type(item) is dict or type(item) is list
    ]
