"""Kubernetes' JSONPath, as far as printer columns, scale and selectable fields use it.

Follows k8s.io/client-go's ``util/jsonpath`` for expressions without braces: ``.a.b``, ``['a']``, ``.a\\.b``, ``[0]``,
``[1:3]``, ``[*]``, ``.*``, ``..a``, ``[0,2]`` and filters such as ``[?(@.type=="Ready")]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

Step = Callable[[Any], Iterator[Any]]

_IDENTIFIER: Final = re.compile(r"(?:\\.|[^.\[\]\s\\])+")
_INDEX: Final = re.compile(r"\[\s*(-?\d+)\s*\]")
_SLICE: Final = re.compile(r"\[\s*(-?\d*)\s*:\s*(-?\d*)\s*(?::\s*(-?\d*)\s*)?\]")
_QUOTED: Final = re.compile(r"""\[\s*('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")\s*\]""")
_UNION: Final = re.compile(r"\[\s*(-?\d+(?:\s*,\s*-?\d+)+)\s*\]")
_WILDCARD: Final = re.compile(r"\[\s*\*\s*\]")
_FILTER: Final = re.compile(
    r"""\[\?\(\s*@((?:\.[\w-]+|\['[^']*'\])*)\s*(?:(==|!=|<=|>=|<|>)\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|-?\d+(?:\.\d+)?|true|false|null)\s*)?\)\]"""
)
MAX_LENGTH: Final = 4096


class Path:
    """A compiled expression."""

    def __init__(self, text: str, steps: list[Step]) -> None:
        self.text = text
        self._steps = steps

    def find(self, obj: Any) -> list[Any]:
        """Every value that the expression leads to."""
        values = [obj]
        for step in self._steps:
            values = [found for value in values for found in step(value)]
            if not values:
                break
        return values


class SimplePath:
    """A chain of field names: what may be written as well as read."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self.text = text
        self.names = names

    def get(self, obj: Any) -> Any:
        """The value, or None."""
        for name in self.names:
            if not isinstance(obj, dict):
                return None
            obj = obj.get(name)
        return obj

    def set(self, obj: dict[str, Any], value: Any) -> dict[str, Any]:
        """Write the value in place, making the maps on the way; returns the object."""
        place = obj
        for name in self.names[:-1]:
            inner = place.get(name)
            if not isinstance(inner, dict):
                inner = place[name] = {}
            place = inner
        place[self.names[-1]] = value
        return obj


@lru_cache(maxsize=4096)
def simple_path(text: str) -> SimplePath:
    """Read ``.a.b`` or ``.a['b']``. Raises ValueError for anything else."""
    if not text.startswith("."):
        raise ValueError(f"{text!r} must be a simple JSON path starting with '.'")
    names: list[str] = []
    place = 0
    while place < len(text):
        if quoted := _QUOTED.match(text, place):
            names.append(_plain(quoted[1][1:-1]))
            place = quoted.end()
        elif text[place] == "." and (found := _IDENTIFIER.match(text, place + 1)) and "*" not in found[0]:
            names.append(_plain(found[0]))
            place = found.end()
        else:
            raise ValueError(f"{text!r} is not a simple JSON path: unexpected {text[place:]!r} at {place}")
    return SimplePath(text, tuple(names))


@lru_cache(maxsize=4096)
def compile_path(text: str) -> Path:
    """Read an expression, with or without its braces. Raises ValueError that says where it cannot be read."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the JSON path is longer than {MAX_LENGTH} characters")
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1].strip()
    inner = inner.removeprefix("$")
    if inner and inner[0] not in ".[":
        inner = "." + inner
    steps: list[Step] = []
    place = 0
    while place < len(inner):
        step, place = _step(inner, place)
        steps.append(step)
    return Path(text, steps)


def _step(text: str, place: int) -> tuple[Step, int]:
    if text.startswith("..", place):
        found = _IDENTIFIER.match(text, place + 2)
        if found is None:
            raise ValueError(f"{text!r}: a field name must follow '..' at {place}")
        return _anywhere(_plain(found[0])), found.end()
    if text[place] == ".":
        if place + 1 == len(text):
            return (lambda value: iter((value,))), place + 1
        if text[place + 1] == "[":
            return _step(text, place + 1)
        found = _IDENTIFIER.match(text, place + 1)
        if found is None:
            raise ValueError(f"{text!r}: a field name is missing at {place + 1}")
        return (_all if found[0] == "*" else _field(_plain(found[0]))), found.end()
    for pattern, make in _BRACKETS:
        if found := pattern.match(text, place):
            return make(found), found.end()
    raise ValueError(f"{text!r}: unexpected {text[place:]!r} at {place}")


def _plain(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _all(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _anywhere(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        waiting = [value]
        while waiting:
            node = waiting.pop(0)
            if isinstance(node, dict):
                if name in node:
                    yield node[name]
                waiting = [*node.values(), *waiting]
            elif isinstance(node, list):
                waiting = [*node, *waiting]

    return step


def _indices(*wanted: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            for index in wanted:
                if -len(value) <= index < len(value):
                    yield value[index]

    return step


def _slice(found: re.Match[str]) -> Step:
    start, stop, stride = (int(part) if part else None for part in found.groups())

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[start : stop : stride or None]

    return step


def _filter(found: re.Match[str]) -> Step:
    path = compile_path(found[1] or ".")
    operator, literal = found[2], found[3]
    wanted = _literal(literal) if literal else None

    def keeps(item: Any) -> bool:
        values = path.find(item)
        if operator is None:
            return bool(values)
        return bool(values) and _compare(values[0], operator, wanted)

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from (item for item in value if keeps(item))

    return step


def _literal(text: str) -> Any:
    if text[0] in "\"'":
        return _plain(text[1:-1])
    if text in ("true", "false"):
        return text == "true"
    if text == "null":
        return None
    return float(text) if "." in text else int(text)


def _compare(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "==":
        return bool(value == wanted)
    if operator == "!=":
        return bool(value != wanted)
    if type(value) is not type(wanted) and not (isinstance(value, (int, float)) and isinstance(wanted, (int, float))):
        return False
    if operator == "<":
        return bool(value < wanted)
    if operator == "<=":
        return bool(value <= wanted)
    return bool(value > wanted) if operator == ">" else bool(value >= wanted)


_BRACKETS: Final[list[tuple[re.Pattern[str], Callable[[re.Match[str]], Step]]]] = [
    (_INDEX, lambda found: _indices(int(found[1]))),
    (_SLICE, _slice),
    (_QUOTED, lambda found: _field(_plain(found[1][1:-1]))),
    (_UNION, lambda found: _indices(*(int(part) for part in found[1].split(",")))),
    (_WILDCARD, lambda _: _all),
    (_FILTER, _filter),
]
