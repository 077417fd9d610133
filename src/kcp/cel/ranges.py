"""Ranges of sizes and costs, from the least to the most, that stop at the largest unsigned 64-bit integer."""

import math
from typing import Final, overload

Range = tuple[int, int]

MOST: Final = 2**64 - 1
ZERO: Final[Range] = (0, 0)
ONE: Final[Range] = (1, 1)
UNKNOWN: Final[Range] = (0, MOST)


def exactly(value: int) -> Range:
    return value, value


def add(*ranges: Range) -> Range:
    return min(sum(one[0] for one in ranges), MOST), min(sum(one[1] for one in ranges), MOST)


def times(left: Range, right: Range) -> Range:
    return min(left[0] * right[0], MOST), min(left[1] * right[1], MOST)


def scaled(range_: Range, factor: float) -> Range:
    """Times a factor, rounded up: in floating point, since that is what cel-go does."""
    return _scaled(range_[0], factor), _scaled(range_[1], factor)


def _scaled(value: int, factor: float) -> int:
    return min(math.ceil(float(value) * factor), MOST)


@overload
def union(left: Range, right: Range) -> Range: ...
@overload
def union(left: Range | None, right: Range) -> Range: ...
def union(left: Range | None, right: Range) -> Range:
    """The range that covers both."""
    return right if left is None else (min(left[0], right[0]), max(left[1], right[1]))
