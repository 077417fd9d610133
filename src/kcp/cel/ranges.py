"""Ranges of sizes and costs, (minimum, maximum), that saturate at the largest unsigned 64-bit integer."""

import math
from typing import Final, overload

Range = tuple[int, int]

MAX_UINT64: Final = 2**64 - 1
ZERO: Final[Range] = (0, 0)
ONE: Final[Range] = (1, 1)
UNKNOWN: Final[Range] = (0, MAX_UINT64)


def fixed(value: int) -> Range:
    """The range of one value."""
    return value, value


def add(*ranges: Range) -> Range:
    """The sum of ranges."""
    return min(sum(one[0] for one in ranges), MAX_UINT64), min(sum(one[1] for one in ranges), MAX_UINT64)


def multiply(left: Range, right: Range) -> Range:
    """The product of two ranges."""
    return min(left[0] * right[0], MAX_UINT64), min(left[1] * right[1], MAX_UINT64)


def scale(range_: Range, factor: float) -> Range:
    """Multiply by a factor in floating point and round up, as cel-go does."""
    return _scale(range_[0], factor), _scale(range_[1], factor)


def _scale(value: int, factor: float) -> int:
    return min(math.ceil(float(value) * factor), MAX_UINT64)


@overload
def union(left: Range, right: Range) -> Range: ...
@overload
def union(left: Range | None, right: Range) -> Range: ...
def union(left: Range | None, right: Range) -> Range:
    """The smallest range that contains both."""
    return right if left is None else (min(left[0], right[0]), max(left[1], right[1]))
