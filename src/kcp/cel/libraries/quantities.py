"""Kubernetes' quantity library: exact decimal numbers with SI or binary suffixes, as apimachinery's resource.Quantity."""

import re
from fractions import Fraction
from typing import Final

from kcp.cel import runtime_costs as cost
from kcp.cel.declarations import Row
from kcp.cel.errors import EvaluationError
from kcp.cel.values import INT_MAX, INT_MIN, Opaque

_QUANTITY: Final = re.compile(
    r"([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(?:([KMGTPE]i)|([numkMGTPE]?)|[eE]([+-]?[0-9]{1,9}))\Z"
)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_WRONG: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_NANO: Final = 10**9
_MOST_DIGITS: Final = 18
_LARGEST: Final = INT_MAX * _NANO


class Quantity(Opaque):
    """An amount in billionths.

    `scale` is the power of ten that apimachinery's int64 form of it has; None where it has only the form of any size, and so
    is "no integer" to it.
    """

    __slots__ = ("nano", "scale")
    cel_type = "kubernetes.Quantity"

    def __init__(self, nano: int, scale: int | None) -> None:
        self.nano = nano
        self.scale = scale

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and other.nano == self.nano

    def __hash__(self) -> int:
        return hash(self.nano)


def _parse(text: str) -> Quantity:
    match = _QUANTITY.match(text)
    if match is None:
        raise EvaluationError(_WRONG)
    sign, whole, fraction, only_fraction, binary, decimal, exponent = match.groups()
    whole, fraction = (whole or "").lstrip("0"), fraction or only_fraction or ""
    digits = int((whole + fraction) or 0)
    if binary:
        power = _BINARY[binary]
        amount = Fraction(digits << power, 10 ** len(fraction))
        precise = not fraction and 15 - len(whole or "0") - int(power * 3 / 10) - 1 >= 0
        scale = 0
    else:
        shift = int(exponent) if exponent else _DECIMAL[decimal or ""]
        scale = shift - len(fraction)
        amount = _scaled(digits, scale)
        precise = len(whole or "0") + len(fraction) <= _MOST_DIGITS and scale >= -9
    # Anything finer than a billionth is rounded up, anything larger than an int64 is the largest.
    nano = min(-((-amount * _NANO) // 1), _LARGEST if not precise else max(_LARGEST, int(amount * _NANO)))
    return Quantity(int(-nano if sign == "-" else nano), scale if precise else None)


def _scaled(digits: int, scale: int) -> Fraction:
    if digits == 0:
        return Fraction(0)
    # Beyond these the result is the largest or the least quantity whatever the digits are.
    if scale > 40:
        return Fraction(10**40)
    if scale < -20 - len(str(digits)):
        return Fraction(1, 10**12)
    return Fraction(digits) * Fraction(10) ** scale


def _is_quantity(text: str) -> bool:
    try:
        _parse(text)
    except EvaluationError:
        return False
    return True


def _sign(quantity: Quantity) -> int:
    return (quantity.nano > 0) - (quantity.nano < 0)


def _is_greater(left: Quantity, right: Quantity) -> bool:
    return left.nano > right.nano


def _is_less(left: Quantity, right: Quantity) -> bool:
    return left.nano < right.nano


def _compare(left: Quantity, right: Quantity) -> int:
    return (left.nano > right.nano) - (left.nano < right.nano)


def _float(quantity: Quantity) -> float:
    return quantity.nano / _NANO


def _is_integer(quantity: Quantity) -> bool:
    return quantity.scale is not None and quantity.scale >= 0 and INT_MIN <= quantity.nano // _NANO <= INT_MAX


def _integer(quantity: Quantity) -> int:
    if not _is_integer(quantity):
        raise EvaluationError("cannot convert value to integer")
    return quantity.nano // _NANO


def _sum(left: Quantity, right: Quantity, factor: int) -> Quantity:
    nano = left.nano + factor * right.nano
    if left.scale is None or right.scale is None:
        return Quantity(nano, None)
    # Adding nothing keeps the other one's form.
    scale = left.scale if right.nano == 0 else right.scale if left.nano == 0 else min(left.scale, right.scale)
    return Quantity(nano, scale if abs(nano) * 10 ** max(0, -scale) // _NANO <= INT_MAX else None)


def _add(left: Quantity, right: Quantity) -> Quantity:
    return _sum(left, right, 1)


def _subtract(left: Quantity, right: Quantity) -> Quantity:
    return _sum(left, right, -1)


def _add_int(left: Quantity, right: int) -> Quantity:
    return _sum(left, Quantity(right * _NANO, 0), 1)


def _subtract_int(left: Quantity, right: int) -> Quantity:
    return _sum(left, Quantity(right * _NANO, 0), -1)


ROWS: Final[list[Row]] = [
    ("string_to_quantity", "quantity(string): quantity", _parse, cost.text),
    ("is_quantity_string", "isQuantity(string): bool", _is_quantity, cost.text),
    ("quantity_sign", "sign(quantity): int", _sign),
    ("quantity_is_greater_than", "quantity.isGreaterThan(quantity): bool", _is_greater),
    ("quantity_is_less_than", "quantity.isLessThan(quantity): bool", _is_less),
    ("quantity_compare_to", "quantity.compareTo(quantity): int", _compare),
    ("quantity_get_float", "quantity.asApproximateFloat(): double", _float),
    ("quantity_get_int", "quantity.asInteger(): int", _integer),
    ("quantity_is_integer", "quantity.isInteger(): bool", _is_integer),
    ("quantity_add", "quantity.add(quantity): quantity", _add),
    ("quantity_add_int", "quantity.add(int): quantity", _add_int),
    ("quantity_sub", "quantity.sub(quantity): quantity", _subtract),
    ("quantity_sub_int", "quantity.sub(int): quantity", _subtract_int),
]
