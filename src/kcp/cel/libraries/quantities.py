"""Kubernetes' quantity library: exact decimal numbers with SI or binary suffixes, as apimachinery's resource.Quantity."""

from typing import Final

from kcp.api import quantity as quantities
from kcp.cel import call_costs as cost
from kcp.cel.declarations import Row
from kcp.cel.errors import EvaluationError
from kcp.cel.values import Opaque


class QuantityValue(Opaque):
    """A quantity."""

    __slots__ = ("amount",)
    cel_type = "kubernetes.Quantity"

    def __init__(self, amount: quantities.Quantity) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuantityValue) and other.amount == self.amount

    def __hash__(self) -> int:
        return hash(self.amount)


def _parse(text: str) -> QuantityValue:
    try:
        return QuantityValue(quantities.parse_quantity(text))
    except ValueError as wrong:
        raise EvaluationError(str(wrong)) from None


def _is_quantity(text: str) -> bool:
    try:
        quantities.parse_quantity(text)
    except ValueError:
        return False
    return True


def _sign(quantity: QuantityValue) -> int:
    return quantity.amount.sign


def _is_greater(left: QuantityValue, right: QuantityValue) -> bool:
    return left.amount > right.amount


def _is_less(left: QuantityValue, right: QuantityValue) -> bool:
    return left.amount < right.amount


def _compare(left: QuantityValue, right: QuantityValue) -> int:
    return (left.amount > right.amount) - (left.amount < right.amount)


def _float(quantity: QuantityValue) -> float:
    return float(quantity.amount.value)


def _is_integer(quantity: QuantityValue) -> bool:
    return quantity.amount.is_integer()


def _integer(quantity: QuantityValue) -> int:
    if not quantity.amount.is_integer():
        raise EvaluationError("cannot convert value to integer")
    return quantity.amount.to_integer()


def _add(left: QuantityValue, right: QuantityValue) -> QuantityValue:
    return QuantityValue(left.amount + right.amount)


def _subtract(left: QuantityValue, right: QuantityValue) -> QuantityValue:
    return QuantityValue(left.amount - right.amount)


def _add_int(left: QuantityValue, right: int) -> QuantityValue:
    return QuantityValue(left.amount + quantities.from_integer(right))


def _subtract_int(left: QuantityValue, right: int) -> QuantityValue:
    return QuantityValue(left.amount - quantities.from_integer(right))


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
