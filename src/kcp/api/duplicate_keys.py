"""Reports of duplicate keys, and their detection in JSON text.

As in sigs.k8s.io/json, a report lists at most 100 keys. Keys and paths are truncated, because clients choose their length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import orjson

_MAX_REPORTED: Final = 100
_MAX_LOCATED: Final = 1000
"""Duplicates whose path is computed: equal paths are reported once, but each costs the computation."""
_MAX_KEY: Final = 320
"""Characters of a key in a path. A qualified name has at most 317."""
_MAX_PATH: Final = 1024
_TOKEN: Final = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"(?:[ \t\n\r]*+(:))?+|[{}\[\],]', re.DOTALL)


class DuplicateKeys:
    """The distinct paths of duplicate keys, in the order of the document."""

    def __init__(self) -> None:
        self._paths: dict[str, None] = {}
        self._located = 0

    @property
    def full(self) -> bool:
        """Whether the limit is reached; callers stop adding."""
        return self._located >= _MAX_LOCATED or len(self._paths) >= _MAX_REPORTED

    def add(self, path: Iterable[str | int]) -> None:
        """Add a duplicate key. ``path`` has the keys and list indexes from the root to it."""
        self._located += 1
        self._paths[_shown(path)] = None

    def paths(self) -> list[str]:
        """The paths, dotted."""
        return list(self._paths)


def _shown(path: Iterable[str | int]) -> str:
    shown = ""
    for step in path:
        if type(step) is int:
            shown += f"[{step}]"
        else:
            shown += f".{_shortened(str(step), _MAX_KEY)}"
    return _shortened(shown.removeprefix("."), _MAX_PATH)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."


class _Open:
    """An object or list that is not closed yet. ``step`` is the key or index of the current member."""

    __slots__ = ("seen", "step")

    def __init__(self, *, is_object: bool) -> None:
        self.seen: set[bytes | str] | None = set() if is_object else None
        self.step: Any = "" if is_object else 0


def of_json(body: bytes) -> list[str]:
    """Find the duplicate keys of a valid JSON text. Returns their paths."""
    found = DuplicateKeys()
    opened: list[_Open] = []
    for token in _TOKEN.finditer(body):
        if token[2]:
            _key(token[1], opened, found)
            if found.full:
                break
            continue
        kind = token[0]
        if kind == b"{" or kind == b"[":
            opened.append(_Open(is_object=kind == b"{"))
        elif kind == b"}" or kind == b"]":
            opened.pop()
        elif kind == b"," and opened[-1].seen is None:
            opened[-1].step += 1
    return found.paths()


def _key(raw: bytes, opened: list[_Open], found: DuplicateKeys) -> None:
    key: str = orjson.loads(b'"%b"' % raw) if b"\\" in raw else raw.decode()
    innermost = opened[-1]
    assert innermost.seen is not None
    innermost.step = key
    if key in innermost.seen:
        found.add(each.step for each in opened)
    innermost.seen.add(key)
