"""Deep copies and equality of JSON values: what ``orjson.loads`` returns."""

from __future__ import annotations

from typing import Any

import orjson


def copy(value: Any) -> Any:
    """A deep copy. Maps and lists are serialized and parsed again: orjson is faster than a walk in Python."""
    return orjson.loads(orjson.dumps(value)) if type(value) is dict or type(value) is list else value


def equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal: numbers by value, and ``true`` is not 1."""
    if left is right:
        return True
    if type(left) is dict:
        return (
            type(right) is dict
            and left.keys() == right.keys()
            and all(equal(value, right[key]) for key, value in left.items())
        )
    if type(left) is list:
        return type(right) is list and len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right) and (type(left) is bool) == (type(right) is bool)
