"""Label and field selectors: parsing, matching, canonical text.

Follows k8s.io/apimachinery's ``labels`` and ``fields`` packages for the texts of query parameters, and ``ValidateLabelSelector``
for the LabelSelector objects in API types. Selectors with equal canonical texts are equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from kcp.api import names
from kcp.api.field_errors import MAX_ERRORS, FieldError, forbidden, invalid, required
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
"""Maximum characters of a selector. Kubernetes has no such limit; no client needs more."""
MAX_TERMS: Final = 1_000
"""Maximum requirements of a selector. Kubernetes has no such limit; no client needs more."""
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,30}", re.ASCII)
_INT64: Final = 1 << 63

Labels = Mapping[str, str]


class Requirement(NamedTuple):
    """A condition on one label. Values are sorted and distinct."""

    key: str
    operator: str
    values: tuple[str, ...]

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
    """A conjunction of requirements, sorted by key."""

    __slots__ = ("_text", "matches", "requirements")

    requirements: tuple[Requirement, ...]
    matches: Callable[[Labels], bool]
    """Whether labels meet every requirement."""

    def __init__(self, requirements: Sequence[Requirement]) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda requirement: requirement.key))
        self._text = ",".join(map(str, self.requirements))
        self.matches = _conjunction(self.requirements)

    @property
    def empty(self) -> bool:
        """Everything matches."""
        return not self.requirements

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"LabelSelector({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSelector) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def _conjunction(requirements: Sequence[Requirement]) -> Callable[[Labels], bool]:
    if len(requirements) > 2:
        return _Combined(requirements).matches
    matchers = [_matcher(requirement) for requirement in requirements]
    if not matchers:
        return lambda _: True
    if len(matchers) == 1:
        return matchers[0]
    first, second = matchers
    return lambda labels: first(labels) and second(labels)


class _Combined:
    """Requirements combined by key: the cost of matching grows with the labels of an object, not with the requirements."""

    def __init__(self, requirements: Sequence[Requirement]) -> None:
        self._allowed: dict[str, frozenset[str]] = {}
        self._excluded: dict[str, frozenset[str]] = {}
        self._compared: dict[str, list[Callable[[Labels], bool]]] = {}
        self._absent: set[str] = set()
        present: set[str] = set()
        excluded: dict[str, set[str]] = {}
        for requirement in requirements:
            key, operator, values = requirement
            if operator == NOT_EXISTS:
                self._absent.add(key)
            elif operator in (NOT_IN, NOT_EQUALS):
                excluded.setdefault(key, set()).update(values)
            else:
                present.add(key)
                if operator in (IN, EQUALS, DOUBLE_EQUALS):
                    allowed = self._allowed.get(key)
                    self._allowed[key] = frozenset(values) if allowed is None else allowed.intersection(values)
                elif operator != EXISTS:
                    self._compared.setdefault(key, []).append(_matcher(requirement))
        self._present = frozenset(present)
        self._excluded = {key: frozenset(values) for key, values in excluded.items()}

    def matches(self, labels: Labels) -> bool:
        if len(labels) < len(self._present) or not self._present <= labels.keys():
            return False
        allowed, excluded, absent = self._allowed, self._excluded, self._absent
        for key, value in labels.items():
            if key in absent or (key in excluded and value in excluded[key]):
                return False
            if key in allowed and value not in allowed[key]:
                return False
            if key in self._compared and not all(matches(labels) for matches in self._compared[key]):
                return False
        return True


_TOKENS: Final = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!<>(),])|([^ \t\r\n=!<>(),]+)|\Z)")
_WORD: Final = "word"
_END: Final = "end"
_COMPARISONS: Final = (EQUALS, DOUBLE_EQUALS, NOT_EQUALS, GREATER, LESS)
_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")
_BINARY: Final = "in, notin, =, ==, !=, gt, lt"


class _Parser:
    """A recursive descent parser for ``labels.Parse``'s grammar. A token is a kind (an operator, `_WORD`, `_END`) and a text."""

    def __init__(self, text: str) -> None:
        self._tokens = [
            (found[1] or (_WORD if found[2] else _END), found[1] or found[2] or "") for found in _TOKENS.finditer(text)
        ]
        self._position = 0

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._position] if self._position < len(self._tokens) else (_END, "")

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self._position += 1
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
            # Kubernetes parses query parameters with a nil field path, and prints it
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
            # a missing word between two separators is the empty value
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
    """Parse ``a=b,c in (d,e),!f,g>1``. Raises ValueError with Kubernetes' message."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"unable to parse requirement: the selector is longer than {MAX_LENGTH} characters")
    requirements = list(islice(_Parser(text).requirements(), MAX_TERMS + 1))
    if len(requirements) > MAX_TERMS:
        raise ValueError(f"unable to parse requirement: the selector has more than {MAX_TERMS} requirements")
    return LabelSelector(requirements)


_OBJECT_OPERATORS: Final = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": NOT_EXISTS}


def selector_of(selector: Mapping[str, Any]) -> LabelSelector:
    """Return the selector that a valid LabelSelector object stands for; an empty one selects everything."""
    requirements = [Requirement(key, EQUALS, (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        values = tuple(sorted(set(each.get("values") or ())))
        requirements.append(Requirement(each["key"], _OBJECT_OPERATORS[each["operator"]], values))
    return LabelSelector(requirements)


def validate_label_selector(selector: Mapping[str, Any], path: str) -> list[FieldError]:
    """Validate a LabelSelector object. Members of a wrong JSON type are skipped: the schema reports them."""
    labels, expressions = selector.get("matchLabels"), selector.get("matchExpressions")
    found: list[FieldError] = []
    if isinstance(labels, dict):
        texts = {key: labels[key] for key in sorted(labels) if isinstance(labels[key], str)}
        found += validate_labels(texts, f"{path}.matchLabels")
    if isinstance(expressions, list):
        for index, expression in enumerate(expressions):
            if isinstance(expression, dict) and len(found) <= MAX_ERRORS:
                found += validate_label_requirement(expression, f"{path}.matchExpressions[{index}]")
    return found


def validate_label_requirement(
    expression: Mapping[str, Any], path: str, *, any_operator: bool = False
) -> list[FieldError]:
    """Validate a LabelSelectorRequirement; with ``any_operator``, an operator that a later version may define is accepted."""
    operator, values = expression.get("operator") or "", expression.get("values") or ()
    found = _values_errors(operator, values, path)
    if isinstance(operator, str) and operator not in _OPERATORS and not any_operator:
        found.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = expression.get("key") or ""
    if isinstance(key, str):
        found += [invalid(f"{path}.key", key, message) for message in names.is_qualified_name(key)]
    if isinstance(values, list):
        for index, value in enumerate(values):
            if len(found) > MAX_ERRORS:
                break
            messages = names.is_label_value(value) if isinstance(value, str) else ()
            found += [invalid(f"{path}.values[{index}]", value, message) for message in messages]
    return found


def validate_field_requirement(expression: Mapping[str, Any], path: str) -> list[FieldError]:
    """Validate a FieldSelectorRequirement; an operator that a later version may define is accepted."""
    found = [] if expression.get("key") else [required(f"{path}.key", "must be specified")]
    return found + _values_errors(expression.get("operator"), expression.get("values"), path)


def _values_errors(operator: Any, values: Any, path: str) -> list[FieldError]:
    if operator in ("In", "NotIn") and not values:
        return [required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")]
    if operator in ("Exists", "DoesNotExist") and values:
        return [
            forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        ]
    return []


class FieldRequirement(NamedTuple):
    """A condition on one field: ``=`` or ``!=``."""

    field: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{escape_field_value(self.value)}"


class FieldSelector:
    """A conjunction of requirements on fields, sorted by text."""

    __slots__ = ("_excluded", "_required", "requirements")

    def __init__(self, requirements: Sequence[FieldRequirement]) -> None:
        self.requirements = tuple(requirements)
        required: dict[str, set[str]] = {}
        excluded: dict[str, set[str]] = {}
        for field, operator, value in self.requirements:
            values = required if operator == EQUALS else excluded
            values.setdefault(field, set()).add(value)
        # no value equals two: None never matches
        self._required = {field: next(iter(values)) if len(values) == 1 else None for field, values in required.items()}
        self._excluded = {field: frozenset(values) for field, values in excluded.items()}

    @property
    def empty(self) -> bool:
        """Everything matches."""
        return not self.requirements

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether the fields meet every requirement. An absent field is empty."""
        for field, value in self._required.items():
            if fields.get(field, "") != value:
                return False
        for field, values in self._excluded.items():  # noqa: SIM110 - a loop is faster than all()
            if fields.get(field, "") in values:
                return False
        return True

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
    """Escape ``\\``, ``,`` and ``=`` in a value for the text of a field selector."""
    return _ESCAPED.sub(r"\\\g<0>", value)


def parse_field_selector(text: str) -> FieldSelector:
    """Parse ``metadata.name=a,spec.x!=b``; ``\\``, ``,`` and ``=`` in values are escaped. Raises ValueError."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"invalid selector: it is longer than {MAX_LENGTH} characters")
    requirements = []
    terms = sorted(islice(_field_terms(text), MAX_TERMS + 1))
    if len(terms) > MAX_TERMS:
        raise ValueError(f"invalid selector: it has more than {MAX_TERMS} requirements")
    for term in terms:
        found = _FIELD_OPERATOR.search(term)
        if found is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = NOT_EQUALS if found[0] == NOT_EQUALS else EQUALS
        requirements.append(FieldRequirement(term[: found.start()], operator, _unescape(term[found.end() :])))
    return FieldSelector(requirements)


def _field_terms(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        found = _FIELD_TERM.match(text, position)
        assert found is not None  # it matches the empty text
        if found[0]:
            yield found[0]
        position = found.end() + 1


def _unescape(value: str) -> str:
    def plain(found: re.Match[str]) -> str:
        if found[2]:
            # Kubernetes prints the character's code point here
            raise ValueError(f"invalid field selector: unescaped character in value: {ord(found[2])}")
        if not found[1] or found[1] not in "\\,=":
            raise ValueError(f"invalid field selector: invalid escape sequence: {found[0]}")
        return found[1]

    return _VALUE_PART.sub(plain, value)
