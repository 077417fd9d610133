"""Maps from resource names to amounts (core/v1 ResourceList): LimitRanges and ResourceQuotas hold them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.api.quantity import Quantity, parse_quantity


def amount(value: Any) -> Fraction:
    """The value of a quantity. Raises ValueError if it is malformed."""
    return _parsed(str(value)).value


def canonical(amounts: dict[str, Any]) -> None:
    """Write each quantity in canonical form, in place; a malformed one is left for `quantity_errors`.

    Fractions below a thousandth are rounded up, as Kubernetes defaults every ResourceList. A JSON number is parsed from its text.
    """
    for name, value in amounts.items():
        if type(value) in {str, int, float}:
            try:
                amounts[name] = str(_parsed(str(value)).rounded_to_milli())
            except ValueError:
                continue


def quantity_errors(amounts: dict[str, Any], path: str) -> Iterator[FieldError]:
    """An error for each malformed quantity."""
    for name in sorted(amounts):
        value = amounts[name]
        try:
            amount(value)
        except ValueError as wrong:
            yield field_errors.undecodable(f"{path}[{name}]", value, str(wrong))


@lru_cache(1024)
def _parsed(text: str) -> Quantity:
    return parse_quantity(text.strip())
