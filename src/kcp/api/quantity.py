"""Quantities: numbers with a unit's prefix, as ``100m``, ``1.5Gi`` or ``12e6``.

Follows k8s.io/apimachinery's ``resource.Quantity``: what parses, the rounding up to nano, the cap of binary ones at 2^63-1, and
the canonical text in the format that the quantity was given in. The value itself is exact.
"""

from __future__ import annotations

import re
from enum import Enum
from fractions import Fraction
from functools import total_ordering
from typing import Final

_SYNTAX: Final = re.compile(r"([-+]?)([0-9]*)(?:\.([0-9]*))?(.*)", re.ASCII | re.DOTALL)
_EXPONENT: Final = re.compile(r"[eE]([-+]?[0-9]+)", re.ASCII)
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_NAMES: Final = {power: suffix for suffix, power in _BINARY.items()} | {0: ""}
_DECIMAL_NAMES: Final = {power: suffix for suffix, power in _DECIMAL.items()}
_NANO: Final = 10**9
_MAX: Final = (1 << 63) - 1
MAX_LENGTH: Final = 256
"""Characters of a quantity; Kubernetes has no such limit, and no use for longer ones."""

_WRONG_FORMAT: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_WRONG_SUFFIX: Final = "unable to parse quantity's suffix"


class Format(Enum):
    """How a quantity is written."""

    BINARY = "BinarySI"
    DECIMAL = "DecimalSI"
    EXPONENT = "DecimalExponent"


@total_ordering
class Quantity:
    """An exact number and the format of its text. Equal quantities are those of equal value: ``1`` and ``1000m``."""

    __slots__ = ("format", "value")

    def __init__(self, value: Fraction | int, form: Format = Format.DECIMAL) -> None:
        self.value = Fraction(value)
        self.format = form

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.value == other.value

    def __lt__(self, other: Quantity) -> bool:
        return self.value < other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.value + other.value, self.format if self.value else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.value - other.value, self.format if self.value else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.value, self.format)

    def __bool__(self) -> bool:
        return bool(self.value)

    @property
    def sign(self) -> int:
        """1, 0 or -1."""
        return (self.value > 0) - (self.value < 0)

    def to_integer(self) -> int:
        """The value, rounded away from zero."""
        return _away_from_zero(self.value)

    def milli(self) -> int:
        """The value in thousandths, rounded away from zero."""
        return _away_from_zero(self.value * 1000)

    def is_integer(self) -> bool:
        """Whether the value is a whole number that 64 bits can hold."""
        return self.value.denominator == 1 and -_MAX - 1 <= self.value <= _MAX

    def __str__(self) -> str:
        return canonical(self)

    def __repr__(self) -> str:
        return f"Quantity({canonical(self)!r})"


def _away_from_zero(value: Fraction) -> int:
    whole = -(-abs(value.numerator) // value.denominator)
    return whole if value >= 0 else -whole


def parse_quantity(text: str) -> Quantity:
    """Read a quantity. Raises ValueError with Kubernetes' message."""
    if not text or len(text) > MAX_LENGTH:
        raise ValueError(_WRONG_FORMAT)
    found = _SYNTAX.fullmatch(text)
    assert found is not None  # the last group takes whatever is left
    sign, whole, fraction, suffix = found.groups()
    fraction = fraction or ""
    if not (whole or fraction):
        raise ValueError(_WRONG_FORMAT)
    scale, form = _scale(suffix)
    value = Fraction(int(whole + fraction or "0"), 10 ** len(fraction)) * scale
    # finer than nano is rounded away from zero; binary quantities are capped at 64 bits
    value = Fraction(-(-value * _NANO // 1), _NANO)
    if form is Format.BINARY and value < 1:
        form = Format.DECIMAL
    if form is Format.BINARY:
        value = min(value, Fraction(_MAX))
    return Quantity(-value if sign == "-" else value, form)


def _scale(suffix: str) -> tuple[Fraction, Format]:
    if suffix in _BINARY:
        return Fraction(1 << _BINARY[suffix]), Format.BINARY
    if suffix in _DECIMAL:
        return Fraction(10) ** _DECIMAL[suffix], Format.DECIMAL
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is None:
        raise ValueError(_WRONG_SUFFIX if re.fullmatch(r"[eEinumkKMGTP]*[-+]?[0-9]*", suffix) else _WRONG_FORMAT)
    digits = exponent[1]
    # below the lower bound every mantissa of MAX_LENGTH digits is rounded to nano; above the upper nothing is measured
    power = max(int(digits), -2 * MAX_LENGTH)
    if power > 2 * MAX_LENGTH:
        raise ValueError("unable to parse numeric part of quantity")
    return Fraction(10) ** power, Format.EXPONENT


def canonical(quantity: Quantity) -> str:
    """The canonical text: the largest prefix that leaves no fraction."""
    value = quantity.value
    if not value:
        return "0"
    form = quantity.format
    if form is Format.BINARY:
        if abs(value) < 1024 or value.denominator != 1:
            form = Format.DECIMAL
        else:
            number, power = value.numerator, 0
            while power < 60 and not number % 1024:
                number //= 1024
                power += 10
            return f"{number}{_BINARY_NAMES[power]}"
    nanos = _away_from_zero(value * _NANO)
    power = -9
    while not nanos % 1000 and (power < 18 or form is Format.EXPONENT):
        nanos //= 1000
        power += 3
    if form is Format.EXPONENT:
        return f"{nanos}e{power}" if power else str(nanos)
    return f"{nanos}{_DECIMAL_NAMES[power]}"
