"""Input for libyaml: the bytes of a YAML body, in pieces, and the errors of the parser in goyaml's words.

libyaml takes quadratic time in two cases. It clears a buffer of the length of a scalar's longest run of blanks at each further
blank, and it compares each ``%TAG`` directive with all earlier ones and copies its prefix at each use. Both are limited before
parsing. libyaml also holds the interpreter's lock while it scans a scalar or a comment of any length, so it reads its input in
small pieces from a Python function, where the lock can change hands.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

import yaml

_PIECE: Final = 256
"""Bytes of one read. Small, because the work on each blank in it may be to clear a buffer of megabytes."""
_BLANKS: Final = 16 * 1024
_MAX_CLEARED: Final = 1 << 30
"""Bytes that libyaml may clear: the length of the longest run of blanks times the number of runs."""
_MAX_DIRECTIVES: Final = 16
_MAX_DIRECTIVE: Final = 1024

_LINE: Final = rb"(?:\A|[\r\n\x85\xa8\xa9\xbf])"  # the last bytes of YAML's line breaks and of a byte order mark
_TAG_DIRECTIVE: Final = re.compile(_LINE + rb"%TAG[^\r\n]*")
# the bytes of all blanks and line breaks (NEL, LS and PS have two or three) become spaces
_AS_SPACES: Final = bytes.maketrans(b"\t\r\n\x80\x85\xa8\xa9\xc2\xe2", b" " * 9)
_RUN: Final = re.compile(rb" +")


class YAMLError(ValueError):
    """The document cannot be read as JSON data."""


class NestingError(YAMLError):
    """Collections are nested deeper than allowed."""

    def __init__(self, max_depth: int) -> None:
        super().__init__(f"nested more than {max_depth} levels deep")


class Pieces:
    """A body as a file object for PyYAML's parser. Raises YAMLError for a body that takes libyaml quadratic time."""

    name: Final = "body"

    def __init__(self, body: bytes) -> None:
        if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            body = body.decode("utf-16").encode()
        _check_directives(body)
        _check_blanks(body)
        self._body = body
        self._read = 0

    def read(self, _size: int) -> bytes:
        """Return the next piece; empty at the end."""
        start = self._read
        self._read = start + _PIECE
        return self._body[start : self._read]


def _check_directives(body: bytes) -> None:
    if b"%TAG" not in body:
        return
    for number, found in enumerate(_TAG_DIRECTIVE.finditer(body), 1):
        if number > _MAX_DIRECTIVES:
            raise YAMLError(f"yaml: more than {_MAX_DIRECTIVES} %TAG directives")
        if found.end() - found.start() > _MAX_DIRECTIVE:
            raise YAMLError(f"yaml: a %TAG directive of more than {_MAX_DIRECTIVE} bytes")


def _check_blanks(body: bytes) -> None:
    if len(body) <= _BLANKS:
        return
    spaced = body.translate(_AS_SPACES)
    if b" " * _BLANKS not in spaced:
        return
    longest = 0
    for number, run in enumerate(_RUN.finditer(spaced), 1):
        longest = max(longest, run.end() - run.start())
        if longest * number > _MAX_CLEARED:
            raise YAMLError(f"yaml: a run of {longest} blanks and more than {_MAX_CLEARED // longest} others")


def translated(error: yaml.YAMLError, max_depth: int) -> YAMLError:
    """Translate an error to goyaml's words. libyaml's own limit on nesting (from 0.2.6) is above ours and means the same."""
    if isinstance(error, yaml.MarkedYAMLError):
        problem = error.problem or error.context or "unknown problem parsing YAML content"
        if "nesting" in problem:
            return NestingError(max_depth)
        mark = error.problem_mark or error.context_mark
        return YAMLError(f"yaml: line {mark.line + 1}: {problem}" if mark else f"yaml: {problem}")
    if isinstance(error, yaml.reader.ReaderError):
        return YAMLError(f"yaml: offset {error.position}: {error.reason}")
    return YAMLError(f"yaml: {error}")
