"""Quantities: numbers with a unit prefix, such as ``100m``, ``1.5Gi`` or ``12e6``.

Follows k8s.io/apimachinery's ``resource.Quantity``: its syntax, the rounding up to nano, the cap of binary quantities at 2^63-1,
and the canonical text in the format of the input. The value is an exact integer number of billionths.
"""

from __future__ import annotations

import re
from enum import Enum
from fractions import Fraction
from functools import total_ordering
from typing import Final

_SYNTAX: Final = re.compile(r"([-+]?)([0-9]*)(?:\.([0-9]*))?(.*)", re.ASCII | re.DOTALL)
_SUFFIX: Final = re.compile(r"[eEinumkKMGTP]*[-+]?[0-9]*", re.ASCII)
_EXPONENT: Final = re.compile(r"[eE]([-+]?[0-9]+)", re.ASCII)
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_NAMES: Final = {power: suffix for suffix, power in _BINARY.items()} | {0: ""}
_DECIMAL_NAMES: Final = {power: suffix for suffix, power in _DECIMAL.items()}
NANO: Final = 10**9
_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1
_MOST_DIGITS: Final = 18
MAX_LENGTH: Final = 256
"""Maximum characters of a quantity. Kubernetes has no such limit; no client needs more."""

WRONG_FORMAT: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_WRONG_SUFFIX: Final = "unable to parse quantity's suffix"
_WRONG_NUMBER: Final = "unable to parse numeric part of quantity"


class Format(Enum):
    """The notation of a quantity."""

    BINARY = "BinarySI"
    DECIMAL = "DecimalSI"
    EXPONENT = "DecimalExponent"


@total_ordering
class Quantity:
    """A number of billionths and the format of its text. Quantities of equal value are equal: ``1`` and ``1000m``.

    `scale` is the power of ten of apimachinery's representation with a 64-bit mantissa; None where apimachinery uses its
    arbitrary-precision representation, which is never an integer for ``AsInt64``.
    """

    __slots__ = ("format", "nano", "scale")

    def __init__(self, nano: int, form: Format = Format.DECIMAL, scale: int | None = None) -> None:
        self.nano = nano
        self.format = form
        self.scale = scale

    @property
    def value(self) -> Fraction:
        """The exact number."""
        return Fraction(self.nano, NANO)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __add__(self, other: Quantity) -> Quantity:
        nano = self.nano + other.nano
        return Quantity(nano, self.format if self.nano else other.format, _scale_of_sum(nano, self, other))

    def __sub__(self, other: Quantity) -> Quantity:
        return self + -other

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.format, self.scale)

    def __bool__(self) -> bool:
        return bool(self.nano)

    @property
    def sign(self) -> int:
        """1, 0 or -1."""
        return (self.nano > 0) - (self.nano < 0)

    def to_integer(self) -> int:
        """The value, rounded away from zero."""
        return _away_from_zero(self.nano, NANO)

    def milli(self) -> int:
        """The value in thousandths, rounded away from zero."""
        return _away_from_zero(self.nano, NANO // 1000)

    def rounded_to_milli(self) -> Quantity:
        """The quantity in whole thousandths, rounded away from zero: apimachinery's ``RoundUp(resource.Milli)``."""
        scale = None if self.scale is None else max(self.scale, -3)
        return Quantity(self.milli() * (NANO // 1000), self.format, scale)

    def is_integer(self) -> bool:
        """Whether apimachinery's ``AsInt64`` succeeds: it does not for ``1000m``."""
        return self.scale is not None and self.scale >= 0 and _LEAST <= self.nano // NANO <= _MOST

    def __str__(self) -> str:
        return canonical(self)

    def __repr__(self) -> str:
        return f"Quantity({canonical(self)!r})"


def from_integer(number: int) -> Quantity:
    """The quantity of a 64-bit integer."""
    return Quantity(number * NANO, Format.DECIMAL, 0)


def _scale_of_sum(nano: int, left: Quantity, right: Quantity) -> int | None:
    if left.scale is None or right.scale is None:
        return None
    # a zero operand keeps the scale of the other
    scale = left.scale if not right.nano else right.scale if not left.nano else min(left.scale, right.scale)
    return scale if abs(nano) * 10 ** max(0, -scale) // NANO <= _MOST else None


def _away_from_zero(number: int, divisor: int) -> int:
    return -(-number // divisor) if number >= 0 else number // divisor


def parse_quantity(text: str) -> Quantity:
    """Parse a quantity. Raises ValueError with Kubernetes' message."""
    if not text or len(text) > MAX_LENGTH:
        raise ValueError(WRONG_FORMAT)
    found = _SYNTAX.fullmatch(text)
    assert found is not None  # the last group matches any rest
    sign, whole, fraction, suffix = found.groups()
    fraction = fraction or ""
    if not (whole or fraction):
        raise ValueError(WRONG_FORMAT)
    power, form = _power(suffix)
    mantissa = int(whole + fraction)
    places = len(whole.lstrip("0") or "0")
    scale: int | None
    # finer than nano is rounded away from zero; binary quantities are capped at 64 bits
    if form is Format.BINARY:
        nano = _away_from_zero((mantissa << power) * NANO, 10 ** len(fraction))
        scale = 0 if not fraction and 14 - places - power * 3 // 10 >= 0 else None
        if nano < NANO:
            form = Format.DECIMAL
        nano = min(nano, _MOST * NANO)
    else:
        scale = power - len(fraction)
        nano = mantissa * 10 ** (scale + 9) if scale >= -9 else _away_from_zero(mantissa, 10 ** -(scale + 9))
        if places + len(fraction) > _MOST_DIGITS or scale < -9:
            scale = None
    return Quantity(-nano if sign == "-" else nano, form, scale)


def _power(suffix: str) -> tuple[int, Format]:
    """The exponent that a suffix denotes, to base 2 in the binary format and else to base 10."""
    if suffix in _BINARY:
        return _BINARY[suffix], Format.BINARY
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], Format.DECIMAL
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is None:
        raise ValueError(_WRONG_SUFFIX if _SUFFIX.fullmatch(suffix) else WRONG_FORMAT)
    # below the lower bound every mantissa of MAX_LENGTH digits rounds to nano; above the upper bound is an error
    power = max(int(exponent[1]), -2 * MAX_LENGTH)
    if power > 2 * MAX_LENGTH:
        raise ValueError(_WRONG_NUMBER)
    return power, Format.EXPONENT


def canonical(quantity: Quantity) -> str:
    """The canonical text: the largest prefix that leaves no fraction."""
    number, form = quantity.nano, quantity.format
    if not number:
        return "0"
    if form is Format.BINARY and abs(number) >= 1024 * NANO and not number % NANO:
        number, power = number // NANO, 0
        while power < 60 and not number % 1024:
            number //= 1024
            power += 10
        return f"{number}{_BINARY_NAMES[power]}"
    power = -9
    while not number % 1000 and (power < 18 or form is Format.EXPONENT):
        number //= 1000
        power += 3
    if form is Format.EXPONENT:
        return f"{number}e{power}" if power else str(number)
    return f"{number}{_DECIMAL_NAMES[power]}"
