"""Lists as indented JSON and as YAML, converted slice by slice: a large list is never in memory as a whole.

The result is what converting the whole list would give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from kcp.api import documents
from kcp.registry.representations.framing import LIST_END

_INDENT: Final = orjson.OPT_INDENT_2
_BEFORE: Final = b'{\n  "": [\n'
_AFTER: Final = b"\n  ]\n}"
"""What is around the items of a list that is the only member of an object."""


class PrettyList:
    """A list as JSON that is indented by two spaces."""

    def __init__(self, head: bytes) -> None:
        """``head`` is the JSON up to the first item."""
        self.head = head
        self._empty = orjson.dumps(orjson.loads(head + LIST_END), option=_INDENT | orjson.OPT_APPEND_NEWLINE)
        self._start = self._empty.removesuffix(b"]\n}\n") + b"\n"

    def piece(self, items: list[bytes], *, last: bool) -> list[bytes]:
        """Convert a slice of items."""
        if not items:
            return [self._empty]
        converted = orjson.dumps(orjson.loads(b'{"":[%b]}' % b",".join(items)), option=_INDENT)
        start, self._start = self._start, b",\n"
        return [b"".join((start, memoryview(converted)[len(_BEFORE) : -len(_AFTER)], _AFTER + b"\n" if last else b""))]


class YAMLList:
    """A list as YAML with sorted keys: the items stand between the members whose names sort before and after theirs."""

    def __init__(self, head: bytes) -> None:
        """``head`` is the JSON up to the first item."""
        self.head = head
        self._empty: dict[str, Any] = orjson.loads(head + LIST_END)
        self._name = next(reversed(self._empty))
        self._title = b"%b:\n" % self._name.encode()
        self._start = self._members(lambda key: key < self._name) + self._title

    def piece(self, items: list[bytes], *, last: bool) -> list[bytes]:
        """Convert a slice of items."""
        if not items:
            return [documents.encode_yaml(self._empty)]
        converted = documents.encode_yaml(orjson.loads(b'{"%b":[%b]}' % (self._name.encode(), b",".join(items))))
        start, self._start = self._start, b""
        end = self._members(lambda key: key > self._name) if last else b""
        return [start + converted.removeprefix(self._title) + end]

    def _members(self, chosen: Callable[[str], bool]) -> bytes:
        members = {key: value for key, value in self._empty.items() if chosen(key)}
        return documents.encode_yaml(members) if members else b""
