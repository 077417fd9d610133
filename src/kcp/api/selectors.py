"""Label and field selectors: parsing, matching, canonical text.

Follows k8s.io/apimachinery's ``labels`` and ``fields`` packages: the text forms of query parameters, and the LabelSelector
objects that API types carry. Selectors are equal when their canonical texts are, and hash alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kcp.api import names
from kcp.api.field_errors import FieldError, forbidden, invalid, required
from kcp.api.metadata import validate_labels

IN: Final = "in"
NOT_IN: Final = "notin"
EQUALS: Final = "="
DOUBLE_EQUALS: Final = "=="
NOT_EQUALS: Final = "!="
EXISTS: Final = "exists"
NOT_EXISTS: Final = "!"
GREATER: Final = ">"
LESS: Final = "<"

MAX_LENGTH: Final = 64 * 1024
"""Characters of a selector's text; beyond it is no query a client means."""
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,30}", re.ASCII)
_INT64: Final = 1 << 63

Labels = Mapping[str, str]


class Requirement(NamedTuple):
    """One condition on a label. Several values are sorted and distinct."""

    key: str
    operator: str
    values: tuple[str, ...]

    def matches(self, labels: Labels) -> bool:
        """Whether the labels meet it."""
        return _matcher(self)(labels)

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == NOT_EXISTS:
            return f"!{self.key}"
        if self.operator in (IN, NOT_IN):
            return f"{self.key} {self.operator} ({','.join(self.values)})"
        return f"{self.key}{self.operator}{self.values[0]}"


def _integer(text: str) -> int | None:
    if not _INTEGER.fullmatch(text):
        return None
    value = int(text)
    return value if -_INT64 <= value < _INT64 else None


def _matcher(requirement: Requirement) -> Callable[[Labels], bool]:
    key, operator = requirement.key, requirement.operator
    if operator in (IN, EQUALS, DOUBLE_EQUALS, NOT_IN, NOT_EQUALS):
        wanted = frozenset(requirement.values)
        if operator in (NOT_IN, NOT_EQUALS):
            return lambda labels: key not in labels or labels[key] not in wanted
        if len(wanted) == 1:
            (single,) = wanted
            return lambda labels: labels.get(key) == single
        return lambda labels: key in labels and labels[key] in wanted
    if operator == EXISTS:
        return lambda labels: key in labels
    if operator == NOT_EXISTS:
        return lambda labels: key not in labels
    bound = _integer(requirement.values[0]) or 0
    greater = operator == GREATER

    def compare(labels: Labels) -> bool:
        value = _integer(labels.get(key, ""))
        return value is not None and (value > bound if greater else value < bound)

    return compare


class LabelSelector:
    """Conditions that all must hold, in the order of their keys."""

    __slots__ = ("_text", "matches", "requirements")

    requirements: tuple[Requirement, ...]
    matches: Callable[[Labels], bool]
    """Whether labels meet every condition. 0.15 us for one equality, 0.4 us for three."""

    def __init__(self, requirements: Sequence[Requirement]) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda requirement: requirement.key))
        self._text = ",".join(map(str, self.requirements))
        self.matches = _all_of([_matcher(requirement) for requirement in self.requirements])

    @property
    def empty(self) -> bool:
        """Everything matches."""
        return not self.requirements

    def exact_match(self, key: str) -> str | None:
        """The one value that the selector demands of a label, if it does."""
        for requirement in self.requirements:
            if requirement.key == key:
                demands = requirement.operator in (EQUALS, DOUBLE_EQUALS, IN) and len(requirement.values) == 1
                return requirement.values[0] if demands else None
        return None

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"LabelSelector({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSelector) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def _all_of(matchers: Sequence[Callable[[Labels], bool]]) -> Callable[[Labels], bool]:
    if not matchers:
        return lambda _: True
    if len(matchers) == 1:
        return matchers[0]
    if len(matchers) == 2:
        first, second = matchers
        return lambda labels: first(labels) and second(labels)

    def every(labels: Labels) -> bool:
        for matches in matchers:  # noqa: SIM110 - a generator costs three times the loop
            if not matches(labels):
                return False
        return True

    return every


_TOKENS: Final = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!<>(),])|([^ \t\r\n=!<>(),]+)|\Z)")
_WORD: Final = "word"
_END: Final = "end"
_COMPARISONS: Final = (EQUALS, DOUBLE_EQUALS, NOT_EQUALS, GREATER, LESS)
_BINARY: Final = "in, notin, =, ==, !=, gt, lt"


class _Parser:
    """Recursive descent over ``labels.Parse``'s grammar; a token is its kind (an operator, `_WORD` or `_END`) and its text."""

    def __init__(self, text: str) -> None:
        self._tokens = [
            (found[1] or (_WORD if found[2] else _END), found[1] or found[2] or "") for found in _TOKENS.finditer(text)
        ]
        self._place = 0

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._place] if self._place < len(self._tokens) else (_END, "")

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self._place += 1
        return token

    def requirements(self) -> Iterator[Requirement]:
        kind, text = self._peek()
        if kind == _END:
            return
        if kind not in (_WORD, "!"):
            raise ValueError(f"found '{text}', expected: !, identifier, or 'end of string'")
        while True:
            try:
                yield self._requirement()
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from error
            kind, text = self._take()
            if kind == _END:
                return
            if kind != ",":
                raise ValueError(f"found '{text}', expected: ',' or 'end of string'")
            kind, text = self._peek()
            if kind not in (_WORD, "!"):
                raise ValueError(f"found '{text}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        kind, key = self._take()
        negated = kind == "!"
        if negated:
            kind, key = self._take()
        if kind != _WORD:
            raise ValueError(f"found '{key}', expected: identifier")
        if messages := names.is_qualified_name(key):
            # Kubernetes parses query parameters without a path, and prints that
            raise ValueError(str(invalid("<nil>", key, "; ".join(messages))))
        if negated or self._peek()[0] in (_END, ","):
            return Requirement(key, NOT_EXISTS if negated else EXISTS, ())
        kind, operator = self._take()
        if kind == _WORD and operator in (IN, NOT_IN):
            return _checked(Requirement(key, operator, tuple(sorted(self._values()))))
        if kind in _COMPARISONS:
            return _checked(Requirement(key, operator, (self._exact_value(),)))
        raise ValueError(f"found '{operator}', expected: {_BINARY}")

    def _values(self) -> set[str]:
        kind, text = self._take()
        if kind != "(":
            raise ValueError(f"found '{text}' expected: '('")
        values: set[str] = set()
        kind, text = self._peek()
        if kind not in (_WORD, ",", ")"):
            raise ValueError(f"found '{text}', expected: ',', ')' or identifier")
        while True:
            # between two separators stands a word, or nothing, which is the empty value
            kind, text = self._peek()
            if kind == _WORD:
                self._take()
                values.add(text)
                kind, text = self._peek()
                if kind not in (",", ")"):
                    raise ValueError(f"found '{text}', expected: ',' or ')'")
            elif kind in (",", ")"):
                values.add("")
            else:
                raise ValueError(f"found '{text}', expected: ',', or identifier")
            if self._take()[0] == ")":
                return values

    def _exact_value(self) -> str:
        kind, text = self._peek()
        if kind in (_END, ","):
            return ""
        self._take()
        if kind != _WORD:
            raise ValueError(f"found '{text}', expected: identifier")
        return text


def _checked(requirement: Requirement) -> Requirement:
    found = [
        str(invalid(f"values[{index}]", value, "for 'Gt', 'Lt' operators, the value must be an integer"))
        for index, value in enumerate(requirement.values)
        if requirement.operator in (GREATER, LESS) and _integer(value) is None
    ]
    for index, value in enumerate(requirement.values):
        if messages := names.is_label_value(value):
            found.append(str(invalid(f"values[{index}][{requirement.key}]", value, "; ".join(messages))))
    if found:
        raise ValueError(found[0] if len(found) == 1 else f"[{', '.join(dict.fromkeys(found))}]")
    return requirement


def parse_label_selector(text: str) -> LabelSelector:
    """Read ``a=b,c in (d,e),!f,g>1``. Raises ValueError with Kubernetes' message."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"unable to parse requirement: the selector is longer than {MAX_LENGTH} characters")
    return LabelSelector(list(_Parser(text).requirements()))


_OBJECT_OPERATORS: Final = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": NOT_EXISTS}


def label_selector_from_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """The selector of a LabelSelector object; validate it first (`validate_label_selector`). Raises ValueError.

    An empty object matches everything. What an absent one matches differs from field to field: here it is everything too.
    """
    requirements = [
        Requirement(key, EQUALS, (value,)) for key, value in ((selector or {}).get("matchLabels") or {}).items()
    ]
    for expression in (selector or {}).get("matchExpressions") or ():
        operator = _OBJECT_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise ValueError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        values = tuple(sorted(set(expression.get("values") or ())))
        if (operator in (IN, NOT_IN)) != bool(values):
            raise ValueError(f"values do not fit the operator {expression['operator']}")
        requirements.append(Requirement(expression.get("key", ""), operator, values))
    return LabelSelector(requirements)


def validate_label_selector(selector: Mapping[str, Any], path: str) -> list[FieldError]:
    """The errors of a LabelSelector object."""
    found = validate_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        found += _expression_errors(expression, f"{path}.matchExpressions[{index}]")
    return found


def _expression_errors(expression: Mapping[str, Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    operator, values = expression.get("operator") or "", expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            found.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(forbidden(f"{path}.values", message))
    else:
        found.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = expression.get("key") or ""
    found += [invalid(f"{path}.key", key, message) for message in names.is_qualified_name(key)]
    for number, value in enumerate(values):
        found += [invalid(f"{path}.values[{number}]", value, message) for message in names.is_label_value(value)]
    return found


class FieldRequirement(NamedTuple):
    """One condition on a field: ``=`` or ``!=``."""

    field: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{escape_field_value(self.value)}"


class FieldSelector:
    """Conditions on fields that all must hold, in the order of their texts."""

    __slots__ = ("requirements",)

    def __init__(self, requirements: Sequence[FieldRequirement]) -> None:
        self.requirements = tuple(requirements)

    @property
    def empty(self) -> bool:
        """Everything matches."""
        return not self.requirements

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether the fields meet every condition; an absent one is empty."""
        for field, operator, value in self.requirements:  # noqa: SIM110 - a generator costs three times the loop
            if (fields.get(field, "") == value) is not (operator == EQUALS):
                return False
        return True

    def exact_match(self, field: str) -> str | None:
        """The one value that the selector demands of a field, if it does."""
        for name, operator, value in self.requirements:
            if name == field and operator == EQUALS:
                return value
        return None

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def __repr__(self) -> str:
        return f"FieldSelector({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSelector) and self.requirements == other.requirements

    def __hash__(self) -> int:
        return hash(self.requirements)


_ESCAPED: Final = re.compile(r"[\\,=]")
_FIELD_TERM: Final = re.compile(r"(?:[^\\,]|\\.?)*", re.DOTALL)
_FIELD_OPERATOR: Final = re.compile("!=|==|=")
_VALUE_PART: Final = re.compile(r"\\(.?)|([,=])", re.DOTALL)


def escape_field_value(value: str) -> str:
    """A value as a field selector's text holds it: ``\\``, ``,`` and ``=`` after a backslash."""
    return _ESCAPED.sub(r"\\\g<0>", value)


def parse_field_selector(text: str) -> FieldSelector:
    """Read ``metadata.name=a,spec.x!=b``; ``\\``, ``,`` and ``=`` in values are escaped. Raises ValueError."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"invalid selector: it is longer than {MAX_LENGTH} characters")
    requirements = []
    for term in sorted(_field_terms(text)):
        found = _FIELD_OPERATOR.search(term)
        if found is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = NOT_EQUALS if found[0] == NOT_EQUALS else EQUALS
        requirements.append(FieldRequirement(term[: found.start()], operator, _unescape(term[found.end() :])))
    return FieldSelector(requirements)


def _field_terms(text: str) -> Iterator[str]:
    place = 0
    while place < len(text):
        found = _FIELD_TERM.match(text, place)
        assert found is not None  # it matches the empty text
        if found[0]:
            yield found[0]
        place = found.end() + 1


def _unescape(value: str) -> str:
    def plain(found: re.Match[str]) -> str:
        if found[2]:
            # Kubernetes prints the character's code point here
            raise ValueError(f"invalid field selector: unescaped character in value: {ord(found[2])}")
        if not found[1] or found[1] not in "\\,=":
            raise ValueError(f"invalid field selector: invalid escape sequence: {found[0]}")
        return found[1]

    return _VALUE_PART.sub(plain, value)
