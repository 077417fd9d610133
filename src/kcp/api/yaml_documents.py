"""YAML documents as sigs.k8s.io/yaml reads them (`yaml_output` writes them).

Read from libyaml's events, without a tree in between: nothing recurses (a deep body would overflow the C stack in PyYAML's
composer), and the depth and the size of the resulting JSON are limited while values are built. Scalars are YAML 1.1 as that
library (goyaml version 2) understands it: ``yes``, ``on`` and ``y`` are booleans, ``0777`` is octal, times and ``1:30`` are
strings.
"""

from __future__ import annotations

import binascii
import contextlib
import math
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson
import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from kcp.api.duplicate_keys import DuplicateKeys
from kcp.api.numbers import format_float
from kcp.api.yaml_expansion import ExpansionError, Extent, check_ratio
from kcp.api.yaml_input import NestingError, Pieces, YAMLError, translated

_PREFIX: Final = "tag:yaml.org,2002:"
_STR: Final = _PREFIX + "str"
_BINARY: Final = _PREFIX + "binary"
_MERGE: Final = _PREFIX + "merge"

_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_MAYBE_NUMBER: Final = frozenset("+-.0123456789")
_INTEGER: Final = re.compile(r"[-+]?(?:0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_RADIXES: Final = {"b": 2, "o": 8, "x": 16}
_DIGITS: Final = 400
"""A number with more digits is no number that JSON could carry as a 64-bit float."""
_UINT64: Final = 1 << 64
_INT64: Final = 1 << 63


def resolve(text: str) -> Any:
    """The value of a plain scalar: a string, unless it reads as a boolean, a number or null."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _MAYBE_NUMBER:
        return text
    plain = text if text[0] == "." else text.replace("_", "")
    if len(plain) > _DIGITS:
        return text
    if _INTEGER.fullmatch(plain):
        return _integer(plain)
    if _FLOAT.fullmatch(plain):
        return float(plain)
    return text


def _integer(text: str) -> int | float:
    digits = text.lstrip("+-").lower()
    if len(digits) == 1 or digits[0] != "0":
        value = int(digits)
    elif radix := _RADIXES.get(digits[1]):
        value = int(digits[2:], radix)
    else:
        value = int(digits, 8)
    if text[0] == "-":
        value = -value
    return value if -_INT64 <= value < _UINT64 else float(value)


def _number(value: float) -> int | float:
    # on its way through JSON a float without a fraction becomes an integer: 1e3 is 1000
    if not math.isfinite(value):
        raise YAMLError(f"json: unsupported value: {value}")
    return int(value) if value.is_integer() and -_INT64 <= value < _INT64 else value


def _key(value: Any) -> str:
    """A key's text, as sigs.k8s.io/yaml converts keys to JSON's strings."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int and value < _INT64:
        return str(value)
    if type(value) is float:
        return _float_key(value)
    shown = "null" if value is None else type(value).__name__
    raise YAMLError(f"yaml: unsupported map key: {shown}")


def _float_key(value: float) -> str:
    shown = format_float(value, single=True)
    return _UNENDING.get(shown, shown)


_UNENDING: Final = {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}


class _Frame:
    """A collection that is being built. For a mapping, ``key`` is the key whose value comes next."""

    __slots__ = ("anchor", "key", "levels", "merged", "merging", "nodes", "size", "value")

    def __init__(self, value: Any, anchor: str | None, size: int, nodes: int) -> None:
        self.value = value
        self.anchor = anchor
        self.size = size
        """The document's size where this collection starts; ``nodes`` likewise."""
        self.nodes = nodes
        self.levels = 1
        self.key: str | None = None
        self.merging = False
        self.merged: set[str] | None = None
        """Keys set by merged mappings only. The mapping's own keys override them."""


class _Builder:
    """One document, from events to JSON data."""

    def __init__(self, max_depth: int, max_size: int) -> None:
        self.duplicates = DuplicateKeys()
        self.root: Any = None
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, Extent] | None] = {}
        """By name; None while the anchored collection is being built."""
        self._keys: dict[str, str] = {}
        self._max_depth = max_depth
        self._max_size = max_size
        self._size = -1  # every value is counted with a separator, but none follows the root
        self._nodes = 0
        self._aliased = 0

    def scalar(self, event: Any) -> None:
        text, plain, tag = event.value, event.implicit[0], event.tag
        is_key = self._key_is_next()
        if is_key and text == "<<" and (plain or tag == _MERGE):
            self._frames[-1].merging = True
            return
        value = in_json = resolve(text) if plain and tag is None else _tagged(text, tag, plain)
        if is_key:
            in_json = self._shared(value if type(value) is str else _key(value))
        elif type(value) is float:
            in_json = _number(value)
        size = (len(_dumps(in_json)) if len(text) < _LONG else _length(in_json)) + 1
        self._count(size, 1)
        if event.anchor is not None:
            self._anchor(event.anchor, (value, Extent(size, 1, 0)))
        if is_key:
            self._frames[-1].key = in_json
        else:
            self._finished(in_json)

    def _key_is_next(self) -> bool:
        if not self._frames:
            return False
        frame = self._frames[-1]
        return frame.key is None and type(frame.value) is dict and not frame.merging

    def _count(self, size: int, nodes: int) -> None:
        self._nodes += nodes
        self._size += size
        if self._size > self._max_size:
            raise ExpansionError(f"the YAML document represents more than {self._max_size} bytes of JSON")

    def start(self, event: Any, value: Any) -> None:
        if len(self._frames) >= self._max_depth:
            raise NestingError(self._max_depth)
        if event.anchor is not None:
            self._anchor(event.anchor, None)
        self._frames.append(_Frame(value, event.anchor, self._size, self._nodes))
        self._count(_BRACKETS, 1)

    def end(self) -> None:
        frame = self._frames.pop()
        if not frame.value:
            self._count(1, 0)  # its separator; in other collections the surplus one of the last value is counted
        if frame.anchor is not None:
            extent = Extent(self._size - frame.size, self._nodes - frame.nodes, frame.levels)
            self._anchors[frame.anchor] = frame.value, extent
        self._below(frame.levels)
        self._finished(frame.value)

    def _below(self, levels: int) -> None:
        if self._frames and levels >= self._frames[-1].levels:
            self._frames[-1].levels = levels + 1

    def _anchor(self, name: str, anchored: tuple[Any, Extent] | None) -> None:
        self._anchors[name] = anchored
        if len(self._anchors) > _MAX_ANCHORS:
            raise ExpansionError(f"the document has more than {_MAX_ANCHORS} anchors")

    def alias(self, event: Any) -> None:
        name = event.anchor
        if name not in self._anchors:
            raise YAMLError(f"yaml: unknown anchor '{name[:_SHOWN]}' referenced")
        anchored = self._anchors[name]
        if anchored is None:
            raise YAMLError(f"yaml: anchor '{name[:_SHOWN]}' value contains itself")
        value, extent = anchored
        if len(self._frames) + extent.levels > self._max_depth:
            raise NestingError(self._max_depth)
        self._aliased += extent.nodes
        check_ratio(self._aliased, self._nodes + 1 + extent.nodes)
        self._count(extent.size, 1 + extent.nodes)
        self._below(extent.levels)
        if type(value) is float and not self._key_is_next():
            value = _number(value)
        self._finished(_copied(value))

    def _finished(self, value: Any) -> None:
        if not self._frames:
            self.root = value
            return
        frame = self._frames[-1]
        if type(frame.value) is list:
            frame.value.append(value)
        elif frame.merging:
            frame.merging = False
            self._merge(frame, value)
        elif frame.key is None:
            frame.key = _key(value)
        else:
            self._set(frame, frame.key, value)
            frame.key = None

    def _shared(self, key: str) -> str:
        # equal keys share one string, as in orjson
        known = self._keys.get(key)
        if known is None and len(self._keys) < _SHARED_KEYS:
            self._keys[key] = key
        return known or key

    def _set(self, frame: _Frame, key: str, value: Any) -> None:
        if frame.merged and key in frame.merged:
            frame.merged.remove(key)
        elif key in frame.value and not self.duplicates.full:
            self.duplicates.add(
                len(each.value) if type(each.value) is list else each.key or "<<" for each in self._frames
            )
        frame.value[key] = value

    @staticmethod
    def _merge(frame: _Frame, value: Any) -> None:
        sources = reversed(value) if type(value) is list else [value]
        merged = frame.merged = frame.merged or set()
        for source in sources:
            if type(source) is not dict:
                raise YAMLError("yaml: map merge requires map or sequence of maps as the value")
            merged.update(key for key in source if key not in frame.value)
            frame.value.update(source)


def _length(value: Any) -> int:
    """The length of a long scalar's JSON, serialized piece by piece."""
    if type(value) is not str:
        return len(_dumps(value))
    return 2 + sum(len(_dumps(value[start : start + _LONG])) - 2 for start in range(0, len(value), _LONG))


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    if type(value) is list:
        return [_copied(item) for item in value]
    return value


def _tagged(text: str, tag: str | None, plain: bool) -> Any:
    """The value of a scalar that is quoted or says its tag."""
    if tag is None or tag == "!" or tag == _STR or not tag.startswith(_PREFIX):
        return text
    if tag == _BINARY:
        try:
            # Go's decoder skips line breaks and nothing else
            encoded = text.replace("\r", "").replace("\n", "")
            return binascii.a2b_base64(encoded, strict_mode=True).decode("utf-8", "replace")
        except ValueError as error:
            raise YAMLError("yaml: !!binary value contains invalid base64 data") from error
    name = tag.removeprefix(_PREFIX)
    wanted = _TAGGED.get(name)
    if wanted is None:
        return text
    value = resolve(text) if text or plain else None
    if name == "float" and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise YAMLError(f"yaml: cannot decode a scalar as a !!{name}")
    return value


_TAGGED: Final = {"bool": bool, "int": int, "float": float, "null": type(None)}
_Parser: Final[Any] = yaml.CSafeLoader
_dumps: Final = orjson.dumps
_BRACKETS: Final = 2
_LONG: Final = 64 * 1024
_MAX_ANCHORS: Final = 10_000
_SHARED_KEYS: Final = 1024
_SHOWN: Final = 64
"""Characters of a name from the body in a message."""


def load(body: bytes, *, max_depth: int, max_size: int) -> tuple[Any, list[str]]:
    """The data of the one document in a body, and the paths of its duplicate keys (the last value of each stays).

    ``max_size`` limits the document's JSON, in bytes. Raises YAMLError; ExpansionError beyond ``max_size``.
    """
    builder = _Builder(max_depth, max_size)
    with _parsing(body, max_depth) as parser:
        if _load_next(parser, builder) and not parser.check_event(StreamEndEvent):
            raise YAMLError("more than one document in the body")
    return builder.root, builder.duplicates.paths()


def load_all(body: bytes, *, max_depth: int, max_size: int) -> list[Any]:
    """The data of each document in a file. ``max_size`` limits the JSON of each, in bytes. Raises as `load`."""
    found = []
    with _parsing(body, max_depth) as parser:
        while _load_next(parser, builder := _Builder(max_depth, max_size)):
            found.append(builder.root)
    return found


@contextlib.contextmanager
def _parsing(body: bytes, max_depth: int) -> Iterator[Any]:
    """A parser of a body, whose errors become YAMLError."""
    parser = None
    try:
        parser = _Parser(Pieces(body))
        yield parser
    except yaml.YAMLError as error:
        raise translated(error, max_depth) from error
    except UnicodeDecodeError as error:
        raise YAMLError(f"yaml: {error}") from error
    finally:
        if parser is not None:
            parser.dispose()


def _load_next(parser: Any, builder: _Builder) -> bool:
    """Build the next document. Returns whether there was one."""
    while True:
        event = parser.get_event()
        kind = type(event)
        if kind is ScalarEvent:
            builder.scalar(event)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            builder.end()
        elif kind is MappingStartEvent:
            builder.start(event, {})
        elif kind is SequenceStartEvent:
            builder.start(event, [])
        elif kind is AliasEvent:
            builder.alias(event)
        elif kind is DocumentEndEvent or kind is StreamEndEvent:
            return kind is DocumentEndEvent
