"""YAML documents as sigs.k8s.io/yaml reads and writes them.

Read from libyaml's events, without a tree in between: nothing recurses (a deep body would overflow the C stack in PyYAML's
composer), and depth and the expansion of aliases are bounded while values are built. Scalars are YAML 1.1 as that library
(goyaml version 2) understands it: ``yes``, ``on`` and ``y`` are booleans, ``0777`` is octal, times and ``1:30`` are strings.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from kcp.api.numbers import format_float

MAX_ALIASED: Final = 200_000
"""Values that the aliases of one document may expand to."""

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


class YAMLError(ValueError):
    """The document cannot be read as JSON data."""


class ExpansionError(YAMLError):
    """The document's aliases expand to more than is allowed."""


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
    raise YAMLError(f"unsupported map key: {shown}")


def _float_key(value: float) -> str:
    shown = format_float(value, single=True)
    return _UNENDING.get(shown, shown)


_UNENDING: Final = {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}


class _Frame:
    """A collection that is being built. For a mapping, ``key`` is the key whose value comes next."""

    __slots__ = ("anchor", "key", "merging", "seen", "value")

    def __init__(self, value: Any, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: str | None = None
        self.merging = False
        self.seen: set[str] = set()


class _Builder:
    """One document, from events to JSON data."""

    def __init__(self, max_depth: int) -> None:
        self.duplicates: list[str] = []
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Any] = {}
        self._aliased = 0
        self._max_depth = max_depth
        self.root: Any = None

    def scalar(self, event: Any) -> None:
        frame = self._frames[-1] if self._frames else None
        is_key = frame is not None and type(frame.value) is dict and frame.key is None and not frame.merging
        plain, tag = event.implicit[0], event.tag
        if is_key and frame is not None and event.value == "<<" and (plain or tag == _MERGE):
            frame.merging = True
            return
        value = resolve(event.value) if plain and tag is None else _tagged(event.value, tag, plain)
        if type(value) is float and not is_key:
            value = _number(value)
        self._finished(value, event.anchor)

    def start(self, event: Any) -> None:
        if len(self._frames) >= self._max_depth:
            raise YAMLError(f"nested more than {self._max_depth} levels deep")
        self._frames.append(_Frame({} if isinstance(event, MappingStartEvent) else [], event.anchor))

    def end(self) -> None:
        frame = self._frames.pop()
        self._finished(frame.value, frame.anchor)

    def alias(self, event: Any) -> None:
        name = event.anchor
        if name in self._anchors:
            self._finished(self._copied(self._anchors[name], len(self._frames)), None)
        elif any(frame.anchor == name for frame in self._frames):
            raise YAMLError(f"anchor '{name}' value contains itself")
        else:
            raise YAMLError(f"unknown anchor '{name}' referenced")

    def _copied(self, value: Any, depth: int) -> Any:
        self._aliased += 1
        if self._aliased > MAX_ALIASED:
            raise ExpansionError(f"the document's aliases expand to more than {MAX_ALIASED} values")
        if depth > self._max_depth:
            raise YAMLError(f"nested more than {self._max_depth} levels deep")
        if type(value) is dict:
            return {key: self._copied(item, depth + 1) for key, item in value.items()}
        if type(value) is list:
            return [self._copied(item, depth + 1) for item in value]
        return value

    def _finished(self, value: Any, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = value
        if not self._frames:
            self.root = value
            return
        frame = self._frames[-1]
        if type(frame.value) is list:
            frame.value.append(value)
        elif frame.merging:
            frame.merging = False
            self._merge(frame.value, value)
        elif frame.key is None:
            frame.key = _key(value)
        else:
            self._set(frame, frame.key, value)
            frame.key = None

    def _set(self, frame: _Frame, key: str, value: Any) -> None:
        if key in frame.seen:
            self.duplicates.append(self._path(key))
        frame.seen.add(key)
        frame.value[key] = value

    @staticmethod
    def _merge(into: dict[str, Any], value: Any) -> None:
        sources = reversed(value) if type(value) is list else [value]
        for source in sources:
            if type(source) is not dict:
                raise YAMLError("map merge requires map or sequence of maps as the value")
            into.update(source)

    def _path(self, last: str) -> str:
        path = ""
        for frame in self._frames:
            if type(frame.value) is list:
                path += f"[{len(frame.value)}]"
            else:
                name = last if frame is self._frames[-1] else frame.key or ""
                path = f"{path}.{name}" if path else name
        return path


def _tagged(text: str, tag: str | None, plain: bool) -> Any:
    """The value of a scalar that is quoted or says its tag."""
    if tag is None or tag == "!" or tag == _STR or not tag.startswith(_PREFIX):
        return text
    if tag == _BINARY:
        try:
            return base64.b64decode(text, validate=False).decode("utf-8", "replace")
        except binascii.Error as error:
            raise YAMLError("!!binary value contains invalid base64 data") from error
    name = tag.removeprefix(_PREFIX)
    wanted = _TAGGED.get(name)
    if wanted is None:
        return text
    value = resolve(text) if text or plain else None
    if name == "float" and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise YAMLError(f"cannot decode `{text}` as a !!{name}")
    return value


_TAGGED: Final = {"bool": bool, "int": int, "float": float, "null": type(None)}
_Parser: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(body: bytes, *, max_depth: int) -> tuple[Any, list[str]]:
    """The data of the one document in a body, and the paths of its duplicate keys (the last value of each stays).

    Raises YAMLError; ExpansionError where aliases make too much of it.
    """
    parser = None
    try:
        parser = _Parser(body)
        return _load(parser, max_depth)
    except yaml.YAMLError as error:
        raise YAMLError(f"yaml: {' '.join(str(error).split())}") from error
    except UnicodeDecodeError as error:
        raise YAMLError(f"yaml: invalid UTF-8: {error}") from error
    finally:
        if parser is not None:
            parser.dispose()


def _load(parser: Any, max_depth: int) -> tuple[Any, list[str]]:
    builder = _Builder(max_depth)
    documents = 0
    while True:
        event = parser.get_event()
        kind = type(event)
        if kind is ScalarEvent:
            builder.scalar(event)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            builder.end()
        elif isinstance(event, CollectionStartEvent):
            builder.start(event)
        elif kind is AliasEvent:
            builder.alias(event)
        elif kind is DocumentStartEvent:
            documents += 1
            if documents > 1:
                raise YAMLError("more than one document in the body")
        elif kind is StreamEndEvent:
            return builder.root, list(dict.fromkeys(builder.duplicates))
        elif kind is StreamStartEvent:
            continue


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Block style; quotes what a reader of YAML 1.1 would take for something else than a string."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _represent_string(dumper: Any, value: str) -> Any:
    style = None
    if "\n" in value and value.isprintable() is False and not value[:1].isspace() and "\t" not in value:
        style = "|"
    elif value == "<<" or type(resolve(value)) is not str or _BASE_60.fullmatch(value):
        style = '"'
    return dumper.represent_scalar(_STR, value, style=style)


_BASE_60: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_Dumper.add_representer(str, _represent_string)


def dump(value: Any) -> bytes:
    """A YAML document with sorted keys, as kubectl prints it."""
    written: bytes = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, encoding="utf-8", width=1 << 20
    )
    return written
