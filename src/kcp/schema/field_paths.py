"""Resolution of simple JSON paths in a schema (``.spec.list['key']``).

Follows apiextensions-apiserver's cel.ValidFieldPath; used for the ``fieldPath`` of rules and for ``selectableFields``.
"""

import re
from collections.abc import Iterator
from typing import Final

from kcp.schema.raw_schemas import Raw, property_schema, schema

_PART: Final = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]]+")
_ESCAPES: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


def resolve(path: str, raw: Raw, *, arrays: bool = True) -> tuple[str, Raw | None]:
    """Resolve a path; returns it as field errors show it, without a leading dot, and the schema it points to.

    ``arrays`` allows ``['key']``. Raises ValueError with the reason if the path is malformed or does not resolve.
    """
    printed = ""
    current: Raw | None = raw
    parts = iter(_PART.findall(path))
    for part in parts:
        if part == "[":
            if not arrays:
                raise ValueError("array notation is not allowed")
            name = _quoted(_next(parts))
        elif part == ".":
            name = _next(parts)
        else:
            raise ValueError(f"expected [ or . but got: {part}")
        current, piece = _step(current, name)
        printed += piece
        if part == "[" and (closing := _next(parts)) != "]":
            raise ValueError(f"expected ] but got {closing}")
    return printed.removeprefix("."), current


def _next(parts: Iterator[str]) -> str:
    found = next(parts, None)
    if found is None:
        raise ValueError("unexpected end of JSON path")
    return found


def _step(current: Raw | None, name: str) -> tuple[Raw | None, str]:
    if current is not None and schema(current, "properties"):
        found = property_schema(current, name)
        if found is None:
            raise ValueError("does not refer to a valid field")
        return found, f".{name}"
    if current is None or current.get("additionalProperties") is None:
        raise ValueError("does not refer to a valid field")
    return schema(current, "additionalProperties"), f"[{name}]"


def _quoted(part: str) -> str:
    if len(part) < 2 or part[0] != "'" or part[-1] != "'":
        raise ValueError(f"expected single quoted string but got {part}")

    def unescape(found: "re.Match[str]") -> str:
        if found.group(1) not in _ESCAPES:
            raise ValueError(f"invalid string literal: invalid escape char {found.group(0)}")
        return _ESCAPES[found.group(1)]

    return re.sub(r"\\(.)", unescape, part[1:-1])
