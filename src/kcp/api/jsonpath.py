"""Kubernetes' JSONPath, as used by printer columns, scale subresources and selectable fields.

Follows k8s.io/client-go's ``util/jsonpath`` for the expressions inside its braces: ``.a.b``, ``.a\\.b``, ``['a']``, ``[0]``,
``[1:3]``, ``[*]``, ``.*``, ``..a``, ``[0,2]`` and filters such as ``[?(@.type=="Ready")]``. ``range`` loops and text between
braces are for kubectl's templates only and are refused.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

Step = Callable[[list[Any]], list[Any]]
"""One step: from the current values to the next. Raises _NoResultError where client-go returns an error."""

MAX_LENGTH: Final = 4096
_MAX_INDEX_LENGTH: Final = 60
MAX_FOUND: Final = 10_000
"""Maximum number of values that a step selects or visits; more are no result. Unions and descents can multiply values."""


class _NoResultError(Exception):
    """The expression has no result for this object."""


class Path:
    """A compiled expression."""

    __slots__ = ("_fields", "_steps", "text")

    def __init__(self, text: str, steps: Iterable[tuple[str | None, Step]]) -> None:
        self.text = text
        compiled = list(steps)
        names = [name for name, _ in compiled if name is not None]
        self._fields = tuple(names) if len(names) == len(compiled) else None
        self._steps = tuple(step for _, step in compiled)

    def find(self, obj: Any) -> list[Any]:
        """The values that the expression selects; none where client-go returns an error."""
        if self._fields is not None:
            for name in self._fields:
                if type(obj) is not dict or name not in obj:
                    return []
                obj = obj[name]
            return [obj]
        try:
            return _run(self._steps, [obj])
        except _NoResultError:
            return []


def _run(steps: Iterable[Step], values: list[Any]) -> list[Any]:
    for step in steps:
        values = step(values)
        _check_number(len(values))
    return values


def _check_number(values: int) -> None:
    """Raise _NoResultError if a step selects, or visits, too many values."""
    if values > MAX_FOUND:
        raise _NoResultError


class SimplePath:
    """A path of field names, through which a value can be read and written."""

    __slots__ = ("names", "text")

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self.text = text
        self.names = names

    def get(self, obj: Any) -> Any:
        """The value, or None."""
        for name in self.names:
            if type(obj) is not dict:
                return None
            obj = obj.get(name)
        return obj

    def set(self, obj: dict[str, Any], value: Any) -> dict[str, Any]:
        """Set the value in place, creating missing maps; returns the object."""
        parent = obj
        for name in self.names[:-1]:
            child = parent.get(name)
            if type(child) is not dict:
                child = parent[name] = {}
            parent = child
        parent[self.names[-1]] = value
        return obj


_SIMPLE_FIELD: Final = re.compile(r"\.((?:\\.|[^.\[\]\s\\*$@{}(),'\"])+)")
_SIMPLE_QUOTED: Final = re.compile(r"""\[\s*(?:'((?:\\.|[^'\\])+)'|"((?:\\.|[^"\\])+)")\s*\]""")
_ESCAPE: Final = re.compile(r"\\(.)")


@lru_cache(maxsize=1024)
def simple_path(text: str) -> SimplePath:
    """Parse ``.a.b`` or ``.a['b']``. Raises ValueError, with the position, for anything else."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the JSON path is longer than {MAX_LENGTH} characters")
    if not text.startswith("."):
        raise ValueError(f"{text!r} must be a simple JSON path starting with '.'")
    names: list[str] = []
    position = 0
    while position < len(text):
        found = _SIMPLE_QUOTED.match(text, position) or _SIMPLE_FIELD.match(text, position)
        if found is None or (position == 0 and text[0] == "["):
            raise ValueError(f"{text!r} is not a simple JSON path: unexpected {text[position:]!r} at {position}")
        names.append(_ESCAPE.sub(r"\1", next(group for group in found.groups() if group)))
        position = found.end()
    return SimplePath(text, tuple(names))


@lru_cache(maxsize=1024)
def compile_path(text: str) -> Path:
    """Parse an expression, with or without its braces. Raises ValueError with the position of the error."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the JSON path is longer than {MAX_LENGTH} characters")
    inner = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    try:
        return Path(text, _Parser(inner).steps())
    except RecursionError as error:
        raise ValueError("the JSON path has too many nested filters") from error


_TERMINATORS: Final = " \t\r\n.,[]$@{}"
_NUMBER: Final = re.compile(r"[-+]?[0-9.]*")
_FILTER: Final = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)
_KEY: Final = re.compile(r"'([^']*)'")
_SLICE: Final = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?", re.ASCII)


class _Parser:
    """Parses an expression in one pass."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def _error(self, why: str) -> ValueError:
        return ValueError(f"invalid JSON path {self._text!r}: {why} at {self._position}")

    def steps(self) -> list[tuple[str | None, Step]]:
        """The steps of the expression; those that select one field come with its name."""
        found: list[tuple[str | None, Step]] = []
        descended = False
        while self._position < len(self._text):
            letter = self._text[self._position]
            if self._text.startswith("[?(", self._position):
                found.append((None, self._filter()))
            elif self._text.startswith("..", self._position):
                if descended:
                    raise self._error("invalid multiple recursive descent")
                self._position += 2
                found.append((None, _descend))
                descended = True
                following = self._text[self._position : self._position + 1]
                if following == "_" or following.isalnum():
                    found.append(self._field())
                else:
                    continue
            elif letter in " @$":
                self._position += 1
                continue
            elif letter == "[":
                found += self._brackets()
            elif letter in "\"'":
                found.append((None, _constant(self._quoted())))
            elif letter == ".":
                self._position += 1
                found.append(self._field())
            elif letter in "+-" or letter.isdigit():
                found.append((None, _constant(self._number())))
            elif letter == "_" or letter.isalpha():
                found.append((None, self._word()))
            else:
                raise self._error(f"unexpected {letter!r}")
            descended = False
        return found

    def _field(self) -> tuple[str | None, Step]:
        start = self._position
        while self._position < len(self._text) and self._text[self._position] not in _TERMINATORS:
            self._position += 2 if self._text[self._position] == "\\" else 1
        self._position = min(self._position, len(self._text))
        name = self._text[start : self._position]
        if name == "*":
            return None, _wildcard
        plain = name.replace("\\", "")
        if not plain and self._text.strip() == ".":  # a single dot selects the object itself
            return None, lambda values: values
        return plain, _field(plain)

    def _word(self) -> Step:
        start = self._position
        while self._position < len(self._text) and self._text[self._position] not in _TERMINATORS:
            self._position += 1
        word = self._text[start : self._position]
        # client-go parses any word, and returns an error for an unknown one only when it is evaluated
        return _constant(word == "true") if word in ("true", "false") else _nothing

    def _number(self) -> int | float:
        found = _NUMBER.match(self._text, self._position)
        assert found is not None  # it matches the empty text
        try:
            number = float(found[0]) if "." in found[0] else int(found[0])
        except ValueError as error:
            raise self._error(f"cannot parse number {found[0]}") from error
        self._position = found.end()
        return number

    def _quoted(self) -> str:
        quote, start = self._text[self._position], self._position
        self._position += 1
        while self._position < len(self._text):
            letter = self._text[self._position]
            self._position += 2 if letter == "\\" else 1
            if letter == quote:
                return _ESCAPE.sub(r"\1", self._text[start + 1 : self._position - 1])
        self._position = start
        raise self._error("unterminated quoted string")

    def _brackets(self) -> list[tuple[str | None, Step]]:
        end = self._text.find("]", self._position)
        if end < 0:
            raise self._error("unterminated array")
        parts = self._text[self._position + 1 : end].split(",")
        branches = [self._bracket(part.strip(" ") if len(parts) > 1 else part) for part in parts]
        self._position = end + 1
        if len(branches) == 1:
            return branches[0]
        united = [[step for _, step in branch] for branch in branches]
        return [(None, _union(united))]

    def _bracket(self, text: str) -> list[tuple[str | None, Step]]:
        if text == "*":
            text = ":"
        if key := _KEY.fullmatch(text):
            return _Parser(f".{key[1]}").steps()
        found = _SLICE.fullmatch(text)
        if found is None or len(text) > _MAX_INDEX_LENGTH:
            raise self._error(f"invalid array index {text}")
        parts = [(group or "").lstrip(":") for group in found.groups()]
        if "-" in parts:
            raise self._error("array index - is not a number")
        start, stop, stride = (int(part) if part else None for part in parts)
        if stride is not None and stride <= 0:
            raise self._error("a slice's step must be greater than 0")
        if found[2] is None and found[3] is None:
            return [(None, _index(start or 0))]  # [] is [0]
        return [(None, _slice(start, stop, stride))]

    def _filter(self) -> Step:
        start = self._position + 3
        position, quote = start, ""
        while position < len(self._text):
            letter = self._text[position]
            if quote:
                if letter == "\\":
                    position += 1
                elif letter == quote:
                    quote = ""
            elif letter in "\"'":
                quote = letter
            elif letter == ")":
                break
            position += 1
        if not self._text.startswith(")]", position):
            raise self._error("unterminated filter")
        text = self._text[start:position]
        comparison = _FILTER.fullmatch(text)
        if comparison is None:
            left, compare, right = text, None, ""
        else:
            left, right = comparison[1], comparison[3]
            compare = _COMPARISONS.get(comparison[2])
            if compare is None:
                raise self._error(f"unrecognized filter operator {comparison[2]}")
        made = _filter(_only_steps(left), compare, _only_steps(right))
        self._position = position + 2
        return made


def _only_steps(text: str) -> list[Step]:
    return [step for _, step in _Parser(text).steps()]


def _union(branches: list[list[Step]]) -> Step:
    def step(values: list[Any]) -> list[Any]:
        found: list[Any] = []
        for steps in branches:
            found += _run(steps, values)
            _check_number(len(found))
        return found

    return step


def _constant(value: Any) -> Step:
    return lambda values: [value] * len(values)


def _nothing(_: list[Any]) -> list[Any]:
    raise _NoResultError


def _field(name: str) -> Step:
    return lambda values: [value[name] for value in values if type(value) is dict and name in value]


def _wildcard(values: list[Any]) -> list[Any]:
    containers = [value for value in values if type(value) is dict or type(value) is list]
    _check_number(sum(map(len, containers)))
    return [item for value in containers for item in (value.values() if type(value) is dict else value)]


def _descend(values: list[Any]) -> list[Any]:
    """Every non-empty map and list, outermost first."""
    found: list[Any] = []
    visited = 0
    pending = values[::-1]
    while pending:
        value = pending.pop()
        if value and (type(value) is dict or type(value) is list):
            found.append(value)
            visited += len(value)
            _check_number(visited)
            pending += list(value.values() if type(value) is dict else value)[::-1]
    return found


def _lists(values: list[Any]) -> list[list[Any]]:
    lists = [value for value in values if value is not None]
    if any(type(value) is not list for value in lists):
        raise _NoResultError
    return lists


def _index(index: int) -> Step:
    def step(values: list[Any]) -> list[Any]:
        try:
            return [value[index] for value in _lists(values)]
        except IndexError:
            raise _NoResultError from None

    return step


def _slice(start: int | None, stop: int | None, stride: int | None) -> Step:
    def step(values: list[Any]) -> list[Any]:
        found: list[Any] = []
        for value in _lists(values):
            length = len(value)
            first = (start or 0) + (length if (start or 0) < 0 else 0)
            last = length if stop is None else stop + (length if stop < 0 else 0)
            if first == last:
                continue
            if not (0 <= first < length and first <= last <= length):
                raise _NoResultError
            found += value[first:last:stride]
            _check_number(len(found))
        return found

    return step


_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _filter(left: list[Step], compare: Callable[[Any, Any], bool] | None, right: list[Step]) -> Step:
    def keeps(item: Any) -> bool:
        if compare is None:
            try:
                return bool(_run(left, [item]))
            except _NoResultError:
                return False
        ours, theirs = _run(left, [item]), _run(right, [item])
        if not ours or not theirs:
            return False
        if len(ours) > 1 or len(theirs) > 1 or type(ours[0]) is not type(theirs[0]):
            raise _NoResultError
        if type(ours[0]) not in _COMPARABLE or (type(ours[0]) is bool and compare not in (operator.eq, operator.ne)):
            raise _NoResultError
        return compare(ours[0], theirs[0])

    def step(values: list[Any]) -> list[Any]:
        if any(type(value) is not list for value in values):
            raise _NoResultError
        _check_number(sum(map(len, values)))
        return [item for value in values for item in value if keeps(item)]

    return step


_COMPARABLE: Final = (str, int, float, bool)
