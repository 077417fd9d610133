"""Decoding of large JSON documents in portions.

orjson decodes a document in one call, which keeps the interpreter's lock, and takes several times the document's size beside the
result. So the members of large maps and lists are found by regular expressions (RFC 8259), and decoded some thousand at a time:
between two portions the interpreter runs other threads. Equal strings become one, and so do equal nodes of managed fields.

What is not plain JSON is left to orjson: it decides what is valid, and its error says why a document is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, Final, NamedTuple

import orjson

Match = Callable[[bytes, int], re.Match[bytes] | None]

LARGE: Final = 256 * 1024
"""Bytes from which a document is decoded in portions."""
MIN_MEMBERS: Final = 10_000
"""Members, of a document that is worth portions; others are large because of long strings."""
_PORTION: Final = 1024
"""Members that are decoded at a time."""
_MAX_DEPTH: Final = 200
_MIN_BYTES_PER_STEP: Final = 64
"""Bytes that a step decodes on average at least. A document that takes more steps is cheaper in one call."""
_FREE_STEPS: Final = 1_000
_MAX_TEXTS: Final = 10_000
"""Strings that are kept to be shared."""
_MAPS: Final = frozenset((dict,))
_MAX_NODES: Final = 64
"""Nodes of managed fields that are kept to be shared."""
_LEAF: Final[dict[str, Any]] = {}
"""The empty node of managed fields. Nothing changes their nodes (`kcp.api.patch.field_sets`)."""
_FIELDS_AT: Final = ["metadata", "managedFields"]

_SPACE: Final = rb"[ \t\n\r]*+"
_TEXT: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SCALAR: Final = rb'(?:%b|[^ \t\n\r"{}\[\],:]++)' % _TEXT
_BETWEEN: Final = rb'[^{}\[\]"]{1,64}+'
_FLAT: Final = rb"[{\[](?:%b|%b){0,64}+[}\]]" % (_BETWEEN, _TEXT)
_NESTED: Final = rb"[{\[](?:%b|%b|%b){0,64}+[}\]]" % (_BETWEEN, _TEXT, _FLAT)
_SMALL: Final = rb"[{\[](?:%b|%b|%b){0,64}+[}\]]" % (_BETWEEN, _TEXT, _NESTED)
"""Maps and lists of few members, down to three levels: they are decoded with their neighbours."""
_VALUE: Final = rb"(?:%b|%b)" % (_SCALAR, _SMALL)
_KEY: Final = rb"%b(%b)%b:%b" % (_SPACE, _TEXT, _SPACE, _SPACE)
_END: Final = rb"%b([,}\]])" % _SPACE
_MEMBER: Final = rb"%b%b%b:%b%b%b," % (_SPACE, _TEXT, _SPACE, _SPACE, _VALUE, _SPACE)


class _Matches(NamedTuple):
    """What stands at a position: a portion of members or of items, one key, one value, white space, the end of a member."""

    members: Match
    items: Match
    key: Match
    value: Match
    space: Match
    end: Match


@cache
def _matches() -> _Matches:
    """Compile the expressions when the first large document comes: a start would wait for it."""
    members = rb"(?:%b){0,%d}+" % (_MEMBER, _PORTION)
    items = rb"(?:%b%b%b,){0,%d}+" % (_SPACE, _VALUE, _SPACE, _PORTION)
    return _Matches(*(re.compile(each, re.DOTALL).match for each in (members, items, _KEY, _VALUE, _SPACE, _END)))


class _NotSplitError(Exception):
    """The document is not valid, or has too little in each portion."""


def decode(document: bytes) -> Any:
    """Decode a JSON document. Raises orjson.JSONDecodeError as orjson does."""
    if document.count(b",") < MIN_MEMBERS:
        return orjson.loads(document)
    with suppress(_NotSplitError, orjson.JSONDecodeError):
        return _Portions(document).decode()
    return orjson.loads(document)  # not in the block: the error holds what was decoded


class _Portions:
    """The decoding of one document. A position is that of its next byte."""

    def __init__(self, document: bytes) -> None:
        self._document = document
        self._match = _matches()
        self._steps = 0
        self._texts: dict[str, str] = {}
        self._nodes: dict[tuple[str, ...], dict[str, Any]] = {}
        self._path: list[str] = []

    def decode(self) -> Any:
        value, at = self._decode_value(self._skip_space(0), 0, shared=False)
        if self._skip_space(at) != len(self._document):
            raise _NotSplitError
        return value

    def _skip_space(self, at: int) -> int:
        found = self._match.space(self._document, at)
        return found.end() if found is not None else at

    def _decode_value(self, at: int, depth: int, *, shared: bool) -> tuple[Any, int]:
        """The value at a position, and the position behind it. ``shared``: it is part of managed fields."""
        self._steps += 1
        if depth > _MAX_DEPTH or self._steps > _FREE_STEPS + at // _MIN_BYTES_PER_STEP:
            raise _NotSplitError
        document = self._document
        found = self._match.value(document, at)
        if found is not None:
            return orjson.loads(found[0]), found.end()
        opening = document[at : at + 1]
        if opening == b"{":
            return self._decode_map(at + 1, depth, shared)
        if opening == b"[":
            return self._decode_list(at + 1, depth, shared)
        raise _NotSplitError

    def _decode_map(self, at: int, depth: int, shared: bool) -> tuple[dict[str, Any], int]:
        document, path = self._document, self._path
        made: dict[str, Any] = {}
        while True:
            at = self._take_members(made, at, shared)
            found = self._match.key(document, at)
            if found is None:
                raise _NotSplitError
            key = orjson.loads(found[1])
            path.append(key)
            below = shared or (key == "fieldsV1" and path[:-1] == _FIELDS_AT)
            made[key], at = self._decode_value(found.end(), depth + 1, shared=below)
            path.pop()
            end = self._match.end(document, at)
            if end is None or end[1] == b"]":
                raise _NotSplitError
            at = end.end()
            if end[1] == b"}":
                return made, at

    def _take_members(self, made: dict[str, Any], at: int, shared: bool) -> int:
        """Add the members from a position on that need no steps of their own, but for the last one."""
        document = self._document
        while (found := self._match.members(document, at)) is not None and found.end() > at:
            at, end = found.end(), found.end() - 1
            members = orjson.loads(b"{%b}" % document[found.start() : end])
            values = members.values()
            types = set(map(type, values))
            if shared and types == {dict}:
                made.update(zip(members, map(self._shared_node, values), strict=True))
            elif types == {str}:
                made.update(zip(members, self._shared_texts(list(values)), strict=True))
            else:
                made.update(members)
        return at

    def _decode_list(self, at: int, depth: int, shared: bool) -> tuple[list[Any], int]:
        document = self._document
        made: list[Any] = []
        while True:
            while (found := self._match.items(document, at)) is not None and found.end() > at:
                items = orjson.loads(b"[%b]" % document[at : found.end() - 1])
                made += self._shared_texts(items) if set(map(type, items)) == {str} else items
                at = found.end()
            value, at = self._decode_value(self._skip_space(at), depth + 1, shared=shared)
            made.append(value)
            end = self._match.end(document, at)
            if end is None or end[1] == b"}":
                raise _NotSplitError
            at = end.end()
            if end[1] == b"]":
                return made, at

    def _shared_node(self, node: dict[str, Any]) -> dict[str, Any]:
        """The node of managed fields, as an equal one of earlier members: the items of a list have the same fields."""
        if not node:
            return _LEAF
        below = node.values()
        if any(below) or not _MAPS.issuperset(map(type, below)):
            return node
        names = tuple(node)
        known = self._nodes.get(names)
        if known is None:
            known = dict.fromkeys(names, _LEAF)
            if len(self._nodes) < _MAX_NODES:
                self._nodes[names] = known
        return known

    def _shared_texts(self, texts: list[str]) -> list[str]:
        """The strings, as those of earlier portions where they are equal."""
        known = self._texts
        if len(known) < _MAX_TEXTS:
            return list(map(known.setdefault, texts, texts))
        return list(map(known.get, texts, texts))
