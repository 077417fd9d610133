"""Label and field selectors: parsing, matching, canonical text.

Follows k8s.io/apimachinery's ``labels`` and ``fields`` packages: the text forms of query parameters, and the
LabelSelector objects that API types carry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kcp.api import names
from kcp.api.field_errors import FieldError, forbidden, invalid, required

IN: Final = "in"
NOT_IN: Final = "notin"
EQUALS: Final = "="
NOT_EQUALS: Final = "!="
EXISTS: Final = "exists"
NOT_EXISTS: Final = "!"
GREATER: Final = ">"
LESS: Final = "<"

MAX_LENGTH: Final = 64 * 1024


class Requirement(NamedTuple):
    """One condition on a label."""

    key: str
    operator: str
    values: tuple[str, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet it."""
        present = self.key in labels
        if self.operator in (IN, EQUALS):
            return present and labels[self.key] in self.values
        if self.operator in (NOT_IN, NOT_EQUALS):
            return not present or labels[self.key] not in self.values
        if self.operator == EXISTS:
            return present
        if self.operator == NOT_EXISTS:
            return not present
        if not present or not re.fullmatch(r"[-+]?[0-9]+", labels[self.key]):
            return False
        value, bound = int(labels[self.key]), int(self.values[0])
        return value > bound if self.operator == GREATER else value < bound

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == NOT_EXISTS:
            return f"!{self.key}"
        if self.operator in (IN, NOT_IN):
            return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
        return f"{self.key}{self.operator}{self.values[0]}"


class LabelSelector:
    """Conditions that all must hold. Equal when their canonical texts are."""

    __slots__ = ("_equalities", "requirements")

    def __init__(self, requirements: Sequence[Requirement]) -> None:
        self.requirements = tuple(sorted(requirements))
        self._equalities = (
            [(requirement.key, requirement.values[0]) for requirement in self.requirements]
            if all(requirement.operator == EQUALS for requirement in self.requirements)
            else None
        )

    @property
    def empty(self) -> bool:
        """Everything matches."""
        return not self.requirements

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet every condition."""
        if self._equalities is not None:
            return all(labels.get(key) == value for key, value in self._equalities)
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSelector) and self.requirements == other.requirements

    def __hash__(self) -> int:
        return hash(self.requirements)


_TOKENS: Final = re.compile(r"\s*(?:(?P<op>==|!=|=|!|<|>|\(|\)|,)|(?P<word>[^\s=!<>(),]+))")


class _Tokens:
    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ValueError(f"unable to parse requirement: the selector is longer than {MAX_LENGTH} characters")
        self.text = text
        self.tokens = list(self._read())
        self.place = 0

    def _read(self) -> Iterator[tuple[str, bool]]:
        place, end = 0, len(self.text.rstrip())
        while place < end:
            found = _TOKENS.match(self.text, place)
            assert found is not None  # any character is an operator, a space or part of a word
            place = found.end()
            yield (found["op"] or found["word"]), found["word"] is not None

    def peek(self) -> str | None:
        return self.tokens[self.place][0] if self.place < len(self.tokens) else None

    def next_is_word(self) -> bool:
        return self.place < len(self.tokens) and self.tokens[self.place][1]

    def take(self) -> str | None:
        found = self.peek()
        self.place += 1
        return found


def parse_label_selector(text: str) -> LabelSelector:
    """Read ``a=b,c in (d,e),!f,g>1``. Raises ValueError with Kubernetes' message."""
    tokens = _Tokens(text)
    requirements: list[Requirement] = []
    if tokens.peek() is None:
        return LabelSelector(())
    while True:
        requirements.append(_requirement(tokens))
        following = tokens.take()
        if following is None:
            return LabelSelector(requirements)
        if following != ",":
            raise ValueError(f"unable to parse requirement: found '{following}', expected: ',' or 'end of string'")
        if not tokens.next_is_word() and tokens.peek() != "!":
            raise ValueError(
                f"unable to parse requirement: found '{tokens.peek() or ''}', expected: identifier after ','"
            )


def _requirement(tokens: _Tokens) -> Requirement:
    negated = tokens.peek() == "!"
    if negated:
        tokens.take()
    if not tokens.next_is_word():
        raise ValueError(f"unable to parse requirement: found '{tokens.peek() or ''}', expected: identifier")
    key = tokens.take() or ""
    if messages := names.is_qualified_name(key):
        raise ValueError(f'unable to parse requirement: key: Invalid value: "{key}": {"; ".join(messages)}')
    following = tokens.peek()
    if negated:
        if following not in (None, ","):
            raise ValueError(f"unable to parse requirement: found '{following}', expected: ',' or 'end of string'")
        return Requirement(key, NOT_EXISTS, ())
    if following in (None, ","):
        return Requirement(key, EXISTS, ())
    operator = tokens.take() or ""
    if operator in (IN, NOT_IN):
        return _checked(Requirement(key, operator, _value_set(tokens)))
    if operator in ("=", "==", "!=", "<", ">"):
        value = (tokens.take() or "") if tokens.next_is_word() else ""
        return _checked(Requirement(key, EQUALS if operator == "==" else operator, (value,)))
    raise ValueError(f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt")


def _value_set(tokens: _Tokens) -> tuple[str, ...]:
    if tokens.take() != "(":
        raise ValueError(f"unable to parse requirement: found '{tokens.text[-1:]}', expected: '('")
    values: list[str] = []
    while True:
        values.append((tokens.take() or "") if tokens.next_is_word() else "")
        following = tokens.take()
        if following == ")":
            return tuple(dict.fromkeys(values))
        if following != ",":
            raise ValueError(f"unable to parse requirement: found '{following or ''}', expected: ',', or ')'")


def _checked(requirement: Requirement) -> Requirement:
    if requirement.operator in (GREATER, LESS):
        if not re.fullmatch(r"[-+]?[0-9]+", requirement.values[0]):
            raise ValueError(
                f'unable to parse requirement: values[0][{requirement.key}]: Invalid value: "{requirement.values[0]}": '
                "for 'Gt', 'Lt' operators, the value must be an integer"
            )
        return requirement
    for value in requirement.values:
        if messages := names.is_label_value(value):
            raise ValueError(
                f'unable to parse requirement: values[0][{requirement.key}]: Invalid value: "{value}": {"; ".join(messages)}'
            )
    return requirement


_OBJECT_OPERATORS: Final = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": NOT_EXISTS}


def label_selector_from_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """The selector of a LabelSelector object; validate it first (`validate_label_selector`). Raises ValueError."""
    requirements = [
        Requirement(key, EQUALS, (value,)) for key, value in ((selector or {}).get("matchLabels") or {}).items()
    ]
    for expression in (selector or {}).get("matchExpressions") or ():
        operator = _OBJECT_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise ValueError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        requirements.append(Requirement(expression.get("key", ""), operator, tuple(expression.get("values") or ())))
    return LabelSelector(requirements)


def validate_label_selector(selector: Mapping[str, Any], path: str) -> list[FieldError]:
    """The errors of a LabelSelector object."""
    found: list[FieldError] = []
    for key, value in (selector.get("matchLabels") or {}).items():
        found += [invalid(f"{path}.matchLabels", key, message) for message in names.is_qualified_name(key)]
        found += [invalid(f"{path}.matchLabels", value, message) for message in names.is_label_value(value)]
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        place = f"{path}.matchExpressions[{index}]"
        operator, values = expression.get("operator", ""), expression.get("values") or ()
        if operator in ("In", "NotIn"):
            if not values:
                found.append(required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                found.append(
                    forbidden(f"{place}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
                )
        else:
            found.append(invalid(f"{place}.operator", operator, "not a valid selector operator"))
        key = expression.get("key", "")
        found += [invalid(f"{place}.key", key, message) for message in names.is_qualified_name(key)]
        for number, value in enumerate(values):
            found += [invalid(f"{place}.values[{number}]", value, message) for message in names.is_label_value(value)]
    return found


class FieldRequirement(NamedTuple):
    """One condition on a field: ``=`` or ``!=``."""

    field: str
    operator: str
    value: str


class FieldSelector:
    """Conditions on fields that all must hold."""

    __slots__ = ("requirements",)

    def __init__(self, requirements: Sequence[FieldRequirement]) -> None:
        self.requirements = tuple(requirements)

    @property
    def empty(self) -> bool:
        """Everything matches."""
        return not self.requirements

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether the fields meet every condition; an absent one is empty."""
        return all(
            (fields.get(field, "") == value) == (operator == EQUALS) for field, operator, value in self.requirements
        )

    def __str__(self) -> str:
        return ",".join(f"{field}{operator}{_escape(value)}" for field, operator, value in self.requirements)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def parse_field_selector(text: str) -> FieldSelector:
    """Read ``metadata.name=a,spec.x!=b``; ``\\``, ``,`` and ``=`` in values are escaped. Raises ValueError."""
    requirements = []
    for term in _terms(text):
        if not term:
            continue
        found = re.match(r"([^=!]*?)(==|!=|=)", term)
        if found is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = EQUALS if found[2] == "==" else found[2]
        requirements.append(FieldRequirement(found[1].strip(), operator, _unescape(term[found.end() :], text)))
    return FieldSelector(requirements)


def _terms(text: str) -> Iterator[str]:
    term, place = "", 0
    while place < len(text):
        if text[place] == "\\":
            term += text[place : place + 2]
            place += 2
        elif text[place] == ",":
            yield term
            term = ""
            place += 1
        else:
            term += text[place]
            place += 1
    yield term


def _unescape(value: str, text: str) -> str:
    plain, place = "", 0
    while place < len(value):
        if value[place] == "\\":
            if place + 1 >= len(value) or value[place + 1] not in "\\,=":
                raise ValueError(f"invalid field selector: invalid escape sequence in '{text}'")
            plain += value[place + 1]
            place += 2
        elif value[place] in ",=":
            raise ValueError(f"invalid field selector: unescaped character in value of '{text}'")
        else:
            plain += value[place]
            place += 1
    return plain
