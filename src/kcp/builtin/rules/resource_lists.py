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
    """The number that a quantity stands for. Raises ValueError when it is none."""
    return _parsed(str(value)).value


def canonical(amounts: dict[str, Any]) -> None:
    """Write each amount in its one form, in place; what is no quantity stays for `quantity_errors`.

    A number is read as its text, as Kubernetes decodes a Quantity.
    """
    for name, value in amounts.items():
        if type(value) in {str, int, float}:
            try:
                amounts[name] = str(_parsed(str(value)))
            except ValueError:
                continue


def quantity_errors(amounts: dict[str, Any], path: str) -> Iterator[FieldError]:
    """An error for each amount that is no quantity."""
    for name in sorted(amounts):
        value = amounts[name]
        try:
            amount(value)
        except ValueError as wrong:
            yield field_errors.undecodable(f"{path}[{name}]", value, str(wrong))


@lru_cache(1024)
def _parsed(text: str) -> Quantity:
    return parse_quantity(text.strip())
