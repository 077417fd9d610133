"""Bounds: the pairs of a minimum and a maximum that limit numbers, lengths and counts.

Bounds on integers are inclusive integers within the range of the format, so that equal ranges are equal whatever keywords declare
them (``minimum: 0`` with ``exclusiveMinimum`` is ``minimum: 1``). Bounds on other numbers keep whether they are exclusive.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from kcp.schema.raw_schemas import Raw
from kcp.schema.value_predicates import INT64_MAX, INT64_MIN, INTEGER_RANGES

COUNTS: Final = (
    ("minLength", "maxLength", "string"),
    ("minItems", "maxItems", "array"),
    ("minProperties", "maxProperties", "object"),
)
"""The keywords of each count, and the type that they apply to."""


@dataclass(frozen=True, slots=True)
class NumberRange:
    """A range of numbers; None stands for no bound. ``low_exclusive`` excludes ``low`` itself."""

    low: float | None = None
    high: float | None = None
    low_exclusive: bool = False
    high_exclusive: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no number is in the range."""
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and (self.low_exclusive or self.high_exclusive))

    def intersected(self, other: "NumberRange") -> "NumberRange":
        """The numbers in both ranges."""
        low, low_exclusive = _tighter((self.low, self.low_exclusive), (other.low, other.low_exclusive), sign=1)
        high, high_exclusive = _tighter((self.high, self.high_exclusive), (other.high, other.high_exclusive), sign=-1)
        return NumberRange(low, high, low_exclusive, high_exclusive)

    def integers(self, format_: str) -> "NumberRange":
        """The integers of a format in the range, with inclusive bounds."""
        low, high = INTEGER_RANGES.get(format_, (INT64_MIN, INT64_MAX))
        if self.low is not None:
            low = max(low, math.floor(self.low) + 1 if self.low_exclusive else math.ceil(self.low))
        if self.high is not None:
            high = min(high, math.ceil(self.high) - 1 if self.high_exclusive else math.floor(self.high))
        return NumberRange(low, high)


_Bound = tuple[float | None, bool]


def _tighter(one: _Bound, other: _Bound, *, sign: int) -> _Bound:
    if one[0] is None or other[0] is None:
        return other if one[0] is None else one
    if one[0] == other[0]:
        return one[0], one[1] or other[1]
    return one if sign * one[0] > sign * other[0] else other


def number_range(raws: Iterable[Raw]) -> NumberRange:
    """The range that ``minimum`` and ``maximum`` of all these schemas leave."""
    found = NumberRange()
    for raw in raws:
        low, high = raw.get("minimum"), raw.get("maximum")
        if low is not None or high is not None:
            low_exclusive = low is not None and bool(raw.get("exclusiveMinimum"))
            high_exclusive = high is not None and bool(raw.get("exclusiveMaximum"))
            found = found.intersected(NumberRange(low, high, low_exclusive, high_exclusive))
    return found


def count_range(raws: Iterable[Raw], least: str, most: str) -> NumberRange:
    """The range of counts that two keywords of all these schemas leave."""
    found = NumberRange()
    for raw in raws:
        low, high = raw.get(least), raw.get(most)
        if low or high is not None:
            found = found.intersected(NumberRange(int(low) if low else None, None if high is None else int(high)))
    return found


def number_keywords(found: NumberRange, format_: str, *, integers: bool) -> dict[str, Any]:
    """The keywords that declare a range of numbers; bounds that an integer's format implies are left out."""
    least, most = INTEGER_RANGES.get(format_, (INT64_MIN, INT64_MAX)) if integers else (None, None)
    keywords: dict[str, Any] = {}
    if found.low is not None and found.low != least:
        keywords["minimum"] = found.low
        if found.low_exclusive:
            keywords["exclusiveMinimum"] = True
    if found.high is not None and found.high != most:
        keywords["maximum"] = found.high
        if found.high_exclusive:
            keywords["exclusiveMaximum"] = True
    return keywords
