"""YAML documents as sigs.k8s.io/yaml writes them: block style, sorted keys.

Written as libyaml's events, without PyYAML's tree of nodes, which takes far more memory than the JSON.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

from kcp.api.yaml_documents import resolve

_PREFIX: Final = "tag:yaml.org,2002:"
_STR: Final = _PREFIX + "str"
_MAP: Final = _PREFIX + "map"
_SEQ: Final = _PREFIX + "seq"
_BASE_60: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_WIDTH: Final = 1 << 20
_RESOLVE: Final[Any] = Resolver().resolve
_Emitter: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def dump(value: Any) -> bytes:
    """A YAML document of JSON data, as kubectl prints it."""
    written = io.BytesIO()
    emitter = _Emitter(written, width=_WIDTH, allow_unicode=True)
    try:
        emitter.emit(StreamStartEvent(encoding="utf-8"))
        emitter.emit(DocumentStartEvent(explicit=False))
        for event in _events(value):
            emitter.emit(event)
        emitter.emit(DocumentEndEvent(explicit=False))
        emitter.emit(StreamEndEvent())
    finally:
        emitter.dispose()
    return written.getvalue()


def _events(root: Any) -> Iterator[Event]:
    """The events of a value. A deep one takes no recursion."""
    stack: list[Iterator[Event | Any]] = [iter((root,))]
    while stack:
        for value in stack[-1]:
            if isinstance(value, dict):
                yield MappingStartEvent(None, _MAP, True, flow_style=False)
                stack.append(_members(value))
                break
            if isinstance(value, list):
                yield SequenceStartEvent(None, _SEQ, True, flow_style=False)
                stack.append(iter([*value, SequenceEndEvent()]))
                break
            yield value if isinstance(value, Event) else _scalar(value)
        else:
            stack.pop()


def _members(mapping: dict[str, Any]) -> Iterator[Any]:
    for key in sorted(mapping):
        yield _string(key)
        yield mapping[key]
    yield MappingEndEvent()


def _scalar(value: Any) -> ScalarEvent:
    if type(value) is str:
        return _string(value)
    if value is None:
        return _plain("null", "null")
    if type(value) is bool:
        return _plain("bool", "true" if value else "false")
    if type(value) is int:
        return _plain("int", str(value))
    return _plain("float", _float(value))


def _plain(kind: str, text: str) -> ScalarEvent:
    return ScalarEvent(None, _PREFIX + kind, (True, False), text)


def _float(value: float) -> str:
    """The text of a number. YAML 1.1 takes ``1e17`` for a string, ``1.0e+17`` not."""
    text = repr(value)
    return text.replace("e", ".0e", 1) if "." not in text and "e" in text else text


def _string(value: str) -> ScalarEvent:
    """A string: quoted where a reader of YAML 1.1 would take it for something else."""
    style = None
    if "\n" in value and value.isprintable() is False and not value[:1].isspace() and "\t" not in value:
        style = "|"
    elif value == "<<" or type(resolve(value)) is not str or _BASE_60.fullmatch(value):
        style = '"'
    plain: bool = _RESOLVE(ScalarNode, value, (True, False)) == _STR
    return ScalarEvent(None, _STR, (plain, True), value, style=style)
