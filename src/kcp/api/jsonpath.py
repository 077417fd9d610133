"""Kubernetes' JSONPath, as printer columns, scale and selectable fields use it.

Follows k8s.io/client-go's ``util/jsonpath`` for what may stand inside its braces: ``.a.b``, ``.a\\.b``, ``['a']``, ``[0]``,
``[1:3]``, ``[*]``, ``.*``, ``..a``, ``[0,2]`` and filters such as ``[?(@.type=="Ready")]``. Its ``range`` loops and texts between
braces belong to kubectl's templates and are refused.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

Step = Callable[[list[Any]], list[Any]]
"""From the values found so far to the next ones. Raises _NoResultError where client-go reports an error."""

MAX_LENGTH: Final = 4096
MAX_FOUND: Final = 10_000
"""Values on the way, beyond which an expression finds nothing: recursive descents multiply."""


class _NoResultError(Exception):
    """The expression does not fit the object: there is no result."""


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
        """Every value that the expression leads to; none where it does not fit the object. 0.3 us for ``.a.b``."""
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
        if len(values) > MAX_FOUND:
            raise _NoResultError
    return values


class SimplePath:
    """A chain of field names: what may be written as well as read."""

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
        """Write the value in place, making the maps on the way; returns the object."""
        place = obj
        for name in self.names[:-1]:
            inner = place.get(name)
            if type(inner) is not dict:
                inner = place[name] = {}
            place = inner
        place[self.names[-1]] = value
        return obj


_SIMPLE_FIELD: Final = re.compile(r"\.((?:\\.|[^.\[\]\s\\*$@{}(),'\"])+)")
_SIMPLE_QUOTED: Final = re.compile(r"""\[\s*(?:'((?:\\.|[^'\\])+)'|"((?:\\.|[^"\\])+)")\s*\]""")
_ESCAPE: Final = re.compile(r"\\(.)")


@lru_cache(maxsize=1024)
def simple_path(text: str) -> SimplePath:
    """Read ``.a.b`` or ``.a['b']``. Raises ValueError for anything else, saying where."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the JSON path is longer than {MAX_LENGTH} characters")
    if not text.startswith("."):
        raise ValueError(f"{text!r} must be a simple JSON path starting with '.'")
    names: list[str] = []
    place = 0
    while place < len(text):
        found = _SIMPLE_QUOTED.match(text, place) or _SIMPLE_FIELD.match(text, place)
        if found is None or (place == 0 and text[0] == "["):
            raise ValueError(f"{text!r} is not a simple JSON path: unexpected {text[place:]!r} at {place}")
        names.append(_ESCAPE.sub(r"\1", next(group for group in found.groups() if group)))
        place = found.end()
    return SimplePath(text, tuple(names))


@lru_cache(maxsize=1024)
def compile_path(text: str) -> Path:
    """Read an expression, with or without its braces. Raises ValueError that says where it cannot be read."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the JSON path is longer than {MAX_LENGTH} characters")
    inner = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    return Path(text, _Reader(inner).steps())


_TERMINATORS: Final = " \t\r\n.,[]$@{}"
_NUMBER: Final = re.compile(r"[-+]?[0-9.]*")
_FILTER: Final = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)
_KEY: Final = re.compile(r"'([^']*)'")
_SLICE: Final = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?", re.ASCII)


class _Reader:
    """One pass over an expression's text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def _refused(self, why: str) -> ValueError:
        return ValueError(f"invalid JSON path {self._text!r}: {why} at {self._place}")

    def steps(self) -> list[tuple[str | None, Step]]:
        """What to do one after the other; plain fields come with their name."""
        found: list[tuple[str | None, Step]] = []
        descended = False
        while self._place < len(self._text):
            letter = self._text[self._place]
            if self._text.startswith("[?(", self._place):
                found.append((None, self._filter()))
            elif self._text.startswith("..", self._place):
                if descended:
                    raise self._refused("invalid multiple recursive descent")
                self._place += 2
                found.append((None, _descend))
                descended = True
                following = self._text[self._place : self._place + 1]
                if following == "_" or following.isalnum():
                    found.append(self._field())
                else:
                    continue
            elif letter in " @$":
                self._place += 1
                continue
            elif letter == "[":
                found += self._brackets()
            elif letter in "\"'":
                found.append((None, _constant(self._quoted())))
            elif letter == ".":
                self._place += 1
                found.append(self._field())
            elif letter in "+-" or letter.isdigit():
                found.append((None, _constant(self._number())))
            elif letter == "_" or letter.isalpha():
                found.append((None, self._word()))
            else:
                raise self._refused(f"unexpected {letter!r}")
            descended = False
        return found

    def _field(self) -> tuple[str | None, Step]:
        start = self._place
        while self._place < len(self._text) and self._text[self._place] not in _TERMINATORS:
            self._place += 2 if self._text[self._place] == "\\" else 1
        self._place = min(self._place, len(self._text))
        name = self._text[start : self._place]
        if name == "*":
            return None, _wildcard
        plain = name.replace("\\", "")
        if not plain:
            # a lone dot is the object itself; anywhere else a name is missing
            if self._text.strip() == ".":
                return None, lambda values: values
            raise self._refused("a field name is missing")
        return plain, _field(plain)

    def _word(self) -> Step:
        start = self._place
        while self._place < len(self._text) and self._text[self._place] not in _TERMINATORS:
            self._place += 1
        word = self._text[start : self._place]
        # client-go reads any word, and gives up on those that it does not know only when it meets an object
        return _constant(word == "true") if word in ("true", "false") else _nothing

    def _number(self) -> int | float:
        found = _NUMBER.match(self._text, self._place)
        assert found is not None  # it matches the empty text
        try:
            number = float(found[0]) if "." in found[0] else int(found[0])
        except ValueError as error:
            raise self._refused(f"cannot parse number {found[0]}") from error
        self._place = found.end()
        return number

    def _quoted(self) -> str:
        quote, start = self._text[self._place], self._place
        self._place += 1
        while self._place < len(self._text):
            letter = self._text[self._place]
            self._place += 2 if letter == "\\" else 1
            if letter == quote:
                return _ESCAPE.sub(r"\1", self._text[start + 1 : self._place - 1])
        self._place = start
        raise self._refused("unterminated quoted string")

    def _brackets(self) -> list[tuple[str | None, Step]]:
        end = self._text.find("]", self._place)
        if end < 0:
            raise self._refused("unterminated array")
        parts = self._text[self._place + 1 : end].split(",")
        branches = [self._bracket(part.strip(" ") if len(parts) > 1 else part) for part in parts]
        self._place = end + 1
        if len(branches) == 1:
            return branches[0]
        united = [[step for _, step in branch] for branch in branches]
        return [(None, lambda values: [item for steps in united for item in _run(steps, values)])]

    def _bracket(self, text: str) -> list[tuple[str | None, Step]]:
        if text == "*":
            text = ":"
        if key := _KEY.fullmatch(text):
            return _Reader(f".{key[1]}").steps()
        found = _SLICE.fullmatch(text)
        if found is None or not text:
            raise self._refused(f"invalid array index {text}")
        start, stop, stride = (
            int(part) if (part := (group or "").lstrip(":")) not in ("", "-") else None for group in found.groups()
        )
        if stride is not None and stride <= 0:
            raise self._refused("a slice's step must be greater than 0")
        if found[2] is None and found[3] is None:
            if start is None:
                raise self._refused(f"invalid array index {text}")
            return [(None, _index(start))]
        return [(None, _slice(start, stop, stride))]

    def _filter(self) -> Step:
        start = self._place + 3
        place, quote = start, ""
        while place < len(self._text):
            letter = self._text[place]
            if quote:
                if letter == "\\":
                    place += 1
                elif letter == quote:
                    quote = ""
            elif letter in "\"'":
                quote = letter
            elif letter == ")":
                break
            place += 1
        if not self._text.startswith(")]", place):
            raise self._refused("unterminated filter")
        text = self._text[start:place]
        comparison = _FILTER.fullmatch(text)
        if comparison is None:
            left, compare, right = text, None, ""
        else:
            left, right = comparison[1], comparison[3]
            compare = _COMPARISONS.get(comparison[2])
            if compare is None:
                raise self._refused(f"unrecognized filter operator {comparison[2]}")
        made = _filter(_only_steps(left), compare, _only_steps(right))
        self._place = place + 2
        return made


def _only_steps(text: str) -> list[Step]:
    return [step for _, step in _Reader(text).steps()]


def _constant(value: Any) -> Step:
    return lambda values: [value] * len(values)


def _nothing(_: list[Any]) -> list[Any]:
    raise _NoResultError


def _field(name: str) -> Step:
    return lambda values: [value[name] for value in values if type(value) is dict and name in value]


def _wildcard(values: list[Any]) -> list[Any]:
    return [
        item
        for value in values
        if type(value) is dict or type(value) is list
        for item in (value.values() if type(value) is dict else value)
    ]


def _descend(values: list[Any]) -> list[Any]:
    """Every collection that is not empty, from the outside in."""
    found: list[Any] = []
    waiting = values[::-1]
    while waiting:
        value = waiting.pop()
        if value and (type(value) is dict or type(value) is list):
            found.append(value)
            waiting += list(value.values() if type(value) is dict else value)[::-1]
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
        return [item for value in values for item in value if keeps(item)]

    return step


_COMPARABLE: Final = (str, int, float, bool)
