"""The meet of the value validations of two schemas: what passes both, and what of the old schema the new one refuses."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from kcp.api.field_errors import ABSENT
from kcp.schema.compatibility.bounds import COUNTS, NumberRange
from kcp.schema.compatibility.constraints import Constraints, Junctor
from kcp.schema.compatibility.incompatibilities import Report, or_absent
from kcp.schema.compatibility.views import SchemaView
from kcp.schema.fast_validation import check_of, holds
from kcp.schema.nodes import Scope
from kcp.schema.raw_schemas import Raw
from kcp.schema.value_predicates import in_range

_SCALARS: Final = frozenset({"boolean", "integer", "number", "string"})
_NUMBER_FORMATS: Final = ("float", "double")
_IMPLIED_FORMATS: Final = ("", "int32", "int64", "float", "double")
"""The formats of numbers; their ranges are compared, not their names."""
_TYPING: Final = ("type", "format", "x-kubernetes-int-or-string")
_SHOWN: Final = 20
"""Values that a message lists."""
_UNLIMITED: Final = ("", "int64", "double")
"""The formats that limit no number more than its type does."""
_COUNTED: Final = {"string": "strings", "array": "lists", "object": "maps"}


@dataclass(frozen=True, slots=True)
class SchemaPair:
    """The two schemas at a path, and the JSON types that both accept there."""

    old: SchemaView
    new: SchemaView
    kinds: frozenset[str]
    path: str
    report: Report

    @property
    def integers(self) -> bool:
        """Whether the numbers that both accept are integers."""
        return "integer" in self.kinds and "number" not in self.kinds


def common_format(pair: SchemaPair) -> str:
    """The format of the values that have the formats of both schemas."""
    old, new = pair.old.format, pair.new.format
    if not pair.kinds & {"integer", "number"} or not (old in _IMPLIED_FORMATS and new in _IMPLIED_FORMATS):
        return _common_named_format(pair)
    before, after = _only(pair.old, pair), _only(pair.new, pair)
    name = next((each for each in ("int32", "float", "int64", "double") if each in (before, after)), "")
    if (name in _UNLIMITED and before in _UNLIMITED) or (name == "int32" and _is_in_range(pair, name)):
        return before
    if name == "float" and old != "float" and "number" in pair.old.kinds:
        reason = "numbers that a 32-bit float cannot represent are refused"
        pair.report.narrowing(f"{pair.path}.format", reason, old or ABSENT, new)
    return name


def _is_in_range(pair: SchemaPair, format_: str) -> bool:
    """Whether the old schema allows only integers that have a format anyway."""
    allowed = NumberRange().integers(format_)
    assert allowed.low is not None
    assert allowed.high is not None
    enum = pair.old.constraints.enum
    if enum is not None:
        return all(type(value) in (int, float) and allowed.low <= value <= allowed.high for value in enum.values())
    found = numbers_of(pair.old, pair)
    return pair.integers and found.intersected(allowed) == found


def _only(view: SchemaView, pair: SchemaPair) -> str:
    """The format of one side, if it says something about the numbers that both sides accept."""
    return "" if pair.integers and view.format in _NUMBER_FORMATS else view.format


def _common_named_format(pair: SchemaPair) -> str:
    old, new = pair.old.format, pair.new.format
    if old == new or not new or not old:
        if new and not old:
            reason = "strings of other formats are refused, and clients may read the values differently"
            pair.report.narrowing(f"{pair.path}.format", reason, ABSENT, new)
        return old or new
    pair.report.conflict(f"{pair.path}.format", "the format changed", old, new)
    return old


def meet_values(pair: SchemaPair, format_: str) -> Constraints | None:
    """The validations that a value of both schemas passes, without ``required``; differences are reported.

    None says that they are those of the old schema.
    """
    old, new = pair.old.constraints, pair.new.constraints
    alike = pair.old.kinds == pair.new.kinds and pair.old.format == pair.new.format
    if alike and replace(old, required=()) == replace(new, required=()):
        return None
    for side in (old, new):
        pair.report.spend(len(side.junctors) + len(side.patterns) + len(side.enum or ()) + len(side.required))
    junctors = _meet_junctors(pair, old.junctors, new.junctors)
    enum, same_enum = _meet_enums(pair)
    if enum is not None and pair.kinds <= _SCALARS:
        kept = same_enum and junctors.keys() == old.junctors.keys() and pair.kinds == pair.old.kinds
        return None if kept else _enumerated(pair, enum, junctors)
    common = Constraints(
        numbers=_meet_numbers(pair, format_),
        counts={kind: _meet_counts(pair, least, most, kind) for least, most, kind in COUNTS},
        enum=enum,
        patterns=_meet_patterns(pair),
        multiples=_meet_multiples(pair),
        required=(),
        junctors=junctors,
    )
    before = replace(
        old,
        numbers=numbers_of(pair.old, pair),
        multiples=_essential_factors(old.multiples, pair),
        required=(),
        junctors=_essential_junctors(old.junctors, pair),
    )
    return None if common == before and pair.kinds == pair.old.kinds else common


def _meet_enums(pair: SchemaPair) -> tuple[dict[Hashable, Any] | None, bool]:
    """The values of both enums, and whether those are the ones that the old schema accepts.

    The values of an enum of scalars are also validated by the other validations.
    """
    old, new = pair.old.constraints.enum, pair.new.constraints.enum
    if old is None and new is None:
        return None, True
    before = old
    common = {key: value for key, value in ((new or {}) if old is None else old).items() if new is None or key in new}
    if pair.kinds <= _SCALARS:
        by_old, by_new = _acceptance(pair, pair.old), _acceptance(pair, pair.new)
        common = {key: value for key, value in common.items() if by_old(value) and by_new(value)}
        before = old if old is None else {key: value for key, value in old.items() if by_old(value)}
    path, shown = f"{pair.path}.enum", ABSENT if new is None else list(new.values())
    if not common:
        pair.report.conflict(path, "no value is allowed by both", ABSENT if old is None else list(old.values()), shown)
    elif before is None:
        pair.report.narrowing(path, "values that are not in the new enum are refused", ABSENT, shown)
    elif lost := [value for key, value in before.items() if key not in common]:
        reason = "values of the old enum are refused" if new is None else "values were removed from the enum"
        pair.report.narrowing(path, f"{reason}: {_listed(lost)}", list(before.values()), shown)
    return common, before is not None and len(common) == len(before)


def _listed(values: list[Any]) -> str:
    return ", ".join(orjson.dumps(value).decode() for value in values[:_SHOWN]) + (
        ", ..." if len(values) > _SHOWN else ""
    )


def _acceptance(pair: SchemaPair, view: SchemaView) -> Callable[[Any], bool]:
    """A function that says whether a scalar has a common type, and passes the mergeable validations of one schema."""
    found = view.constraints
    pair.report.spend(len(found.patterns) * sum(len(each.constraints.enum or ()) for each in (pair.old, pair.new)))
    integers = view.kinds == {"integer"}
    range_ = found.numbers.integers(view.format) if integers else found.numbers
    plain = replace(found, enum=None, required=(), junctors={}, numbers=range_)
    raw: Raw = {keyword: view.raw[keyword] for keyword in _TYPING if keyword in view.raw}
    check = check_of(Scope({}).node(raw | plain.keywords(view.format, integers=integers)))
    typed = [check_of(Scope({}).node({"type": kind})) for kind in pair.kinds]
    return lambda value: any(holds(each, value) for each in typed) and holds(check, value)


def _enumerated(pair: SchemaPair, enum: dict[Hashable, Any], junctors: dict[str, Junctor]) -> Constraints:
    """The validations beside an enum whose values pass those of both schemas: the ones that both declare."""
    old, new = pair.old.constraints, pair.new.constraints
    numbers = numbers_of(pair.old, pair)
    return Constraints(
        numbers=numbers if numbers == numbers_of(pair.new, pair) else NumberRange(),
        counts={
            kind: old.counts[kind] if old.counts[kind] == new.counts[kind] else NumberRange() for _, _, kind in COUNTS
        },
        enum=enum,
        patterns=old.patterns & new.patterns,
        multiples=old.multiples & new.multiples,
        required=(),
        junctors=junctors,
    )


def numbers_of(view: SchemaView, pair: SchemaPair) -> NumberRange:
    """The range of the numbers of one side, among those that both sides accept."""
    return view.constraints.numbers.integers(view.format) if pair.integers else view.constraints.numbers


def _meet_numbers(pair: SchemaPair, format_: str) -> NumberRange:
    if not pair.kinds & {"integer", "number"}:
        return NumberRange()
    old, new = numbers_of(pair.old, pair), numbers_of(pair.new, pair)
    common = old.intersected(new)
    if common.is_empty and old != new:
        low, high = _shown_range(old), _shown_range(new)
        pair.report.conflict(f"{pair.path}.minimum", "no number is in both ranges", low, high)
        return common
    limits = NumberRange().integers(pair.new.format) if pair.integers else NumberRange()
    keywords = set()
    if (common.low, common.low_exclusive) != (old.low, old.low_exclusive):
        keywords.add("format" if common.low == limits.low else "minimum")
    if (common.high, common.high_exclusive) != (old.high, old.high_exclusive):
        keywords.add("format" if common.high == limits.high else "maximum")
    for keyword in sorted(keywords):
        _report_bound(pair, keyword, common)
    bounds = [bound for bound in (common.low, common.high) if bound is not None]
    if format_ == "float" and not all(in_range(bound, "number", format_) for bound in bounds):
        pair.report.conflict(f"{pair.path}.format", "a bound is outside of the range of the format float")
    return common


def _report_bound(pair: SchemaPair, keyword: str, common: NumberRange) -> None:
    old, new = pair.old.raw.get(keyword, ABSENT), pair.new.raw.get(keyword, ABSENT)
    pair.report.narrowing(f"{pair.path}.{keyword}", _BOUND_REASONS[keyword](common), old, new)


_BOUND_REASONS: Final[dict[str, Callable[[NumberRange], str]]] = {
    "format": lambda _: "integers outside of the range of the new format are refused",
    "minimum": lambda found: f"numbers {'not above' if found.low_exclusive else 'below'} {found.low} are refused",
    "maximum": lambda found: f"numbers {'not below' if found.high_exclusive else 'above'} {found.high} are refused",
}


def _shown_range(found: NumberRange) -> str:
    opening, closing = "(" if found.low_exclusive else "[", ")" if found.high_exclusive else "]"
    low = "-inf" if found.low is None else found.low
    return f"{opening}{low}, {'inf' if found.high is None else found.high}{closing}"


def _meet_counts(pair: SchemaPair, least: str, most: str, kind: str) -> NumberRange:
    if kind not in pair.kinds:
        return NumberRange()
    old, new = pair.old.constraints.counts[kind], pair.new.constraints.counts[kind]
    common = old.intersected(new)
    what = _COUNTED[kind]
    if common.is_empty and old != new:
        path = f"{pair.path}.{least}"
        pair.report.conflict(path, f"no length of {what} is in both ranges", _shown_range(old), _shown_range(new))
    elif common != old:
        if common.low != old.low:
            reason = f"shorter {what} are refused"
            pair.report.narrowing(f"{pair.path}.{least}", reason, or_absent(old.low), common.low)
        if common.high != old.high:
            reason = f"longer {what} are refused"
            pair.report.narrowing(f"{pair.path}.{most}", reason, or_absent(old.high), common.high)
    return common


def _shown_set(found: frozenset[Any]) -> Any:
    shown = sorted(found)
    return ABSENT if not shown else shown[0] if len(shown) == 1 else shown


def _meet_patterns(pair: SchemaPair) -> frozenset[str]:
    if "string" not in pair.kinds:
        return frozenset()
    old, new = pair.old.constraints.patterns, pair.new.constraints.patterns
    for pattern in sorted(new - old):
        shown = _shown_set(old)
        pair.report.narrowing(f"{pair.path}.pattern", "strings may not match the new pattern", shown, pattern)
    return old | new


def _meet_multiples(pair: SchemaPair) -> frozenset[float]:
    if not pair.kinds & {"integer", "number"}:
        return frozenset()
    old, new = pair.old.constraints.multiples, pair.new.constraints.multiples
    pair.report.spend(len(old) * len(new))
    added = {factor for factor in new - old if not _is_implied(factor, old, pair)}
    for factor in sorted(added):
        shown = _shown_set(old)
        pair.report.narrowing(f"{pair.path}.multipleOf", "other numbers are refused", shown, factor)
    return _essential_factors(old | new, pair)


def _essential_factors(factors: frozenset[float], pair: SchemaPair) -> frozenset[float]:
    """The factors that no other implies."""
    return frozenset(factor for factor in factors if not _is_implied(factor, factors - {factor}, pair))


def _is_implied(factor: float, others: frozenset[float], pair: SchemaPair) -> bool:
    """Whether every multiple of one of the others is a multiple of a factor. Fractions are compared by value only."""
    if not pair.integers or factor < 1 or not float(factor).is_integer():
        return False
    return any(other >= 1 and float(other).is_integer() and int(other) % int(factor) == 0 for other in others)


def _meet_junctors(pair: SchemaPair, old: dict[str, Junctor], new: dict[str, Junctor]) -> dict[str, Junctor]:
    for key, junctor in new.items():
        if key not in old and not _has_fewer_alternatives(junctor, old, pair):
            keyword = junctor.keyword if junctor.keyword in ("anyOf", "oneOf", "not") else "allOf"
            reason = "values that pass the old validations may not pass this one"
            shown = pair.old.raw.get(keyword, ABSENT)
            pair.report.narrowing(f"{pair.path}.{keyword}", reason, shown, junctor.raw[junctor.keyword])
    return _essential_junctors(old | new, pair)


def _essential_junctors(junctors: dict[str, Junctor], pair: SchemaPair) -> dict[str, Junctor]:
    """The validations that no other implies."""
    return {key: each for key, each in junctors.items() if not _has_fewer_alternatives(each, junctors, pair)}


def _has_fewer_alternatives(junctor: Junctor, others: dict[str, Junctor], pair: SchemaPair) -> bool:
    """Whether an ``anyOf`` among the others has only some of the alternatives of this one, and so implies it."""
    if not junctor.alternatives:
        return False
    pair.report.spend(len(others))
    return any(each.alternatives and each.alternatives < junctor.alternatives for each in others.values())
