"""Maps from resource names to amounts (core/v1 ResourceList): LimitRanges and ResourceQuotas hold them.

Amounts follow k8s.io/apimachinery's ``resource.Quantity``: exact to a billionth, and written one way only, with the
largest suffix that leaves a whole number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from typing import Any, Final

from kcp.api import field_errors
from kcp.api.field_errors import FieldError

_MALFORMED: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_FORM: Final = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]{1,9}|)", re.ASCII)
_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIXES: Final = {power: suffix for suffix, power in _DECIMAL.items()}
_PLENTY: Final = Context(prec=400)
_NANO: Final = Decimal("1e-9")
_LARGEST: Final = Decimal(2**63 - 1)


def amount(value: Any) -> Decimal:
    """The number that a quantity stands for. Raises ValueError when it is none."""
    return _parsed(str(value))[0]


def canonical(amounts: dict[str, Any]) -> None:
    """Write each amount in its one form, in place; what is no quantity stays for `quantity_errors`."""
    for name, value in amounts.items():
        if type(value) in {str, int}:
            try:
                amounts[name] = _written(str(value))
            except ValueError:
                continue


def quantity_errors(amounts: dict[str, Any], path: str) -> Iterator[FieldError]:
    """An error for each amount that is no quantity."""
    for name in sorted(amounts):
        value = amounts[name]
        try:
            amount(value)
        except ValueError:
            yield field_errors.invalid(f"{path}[{name}]", value, _MALFORMED)


@lru_cache(1024)
def _parsed(text: str) -> tuple[Decimal, str]:
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(_MALFORMED)
    sign, digits, suffix = form.groups()
    number = Decimal(sign + digits)
    if suffix in _DECIMAL:
        number = number.scaleb(_DECIMAL[suffix], _PLENTY)
        style = "decimal"
    elif suffix in _BINARY:
        number = _PLENTY.multiply(number, Decimal(1024 ** _BINARY.index(suffix)))
        style = "binary"
    else:
        number = number.scaleb(max(-400, min(400, int(suffix[1:]))), Context(prec=400, Emax=1000, Emin=-1000))
        style = "exponent"
    number = max(-_LARGEST, min(_LARGEST, number))
    away = ROUND_FLOOR if number < 0 else ROUND_CEILING
    return number.quantize(_NANO, rounding=away, context=_PLENTY), style


@lru_cache(1024)
def _written(text: str) -> str:
    number, style = _parsed(text)
    if not number:
        return "0"
    if style == "binary" and abs(number) >= 1024 and number == number.to_integral_value():
        whole, step = int(number), 0
        while whole % 1024 == 0 and step < len(_BINARY) - 1:
            whole //= 1024
            step += 1
        return f"{whole}{_BINARY[step]}"
    sign, digits, exponent = number.normalize(_PLENTY).as_tuple()
    assert isinstance(exponent, int)
    power = exponent - exponent % 3
    if style != "exponent":
        power = min(power, 18)
    whole = int("".join(map(str, digits))) * 10 ** (exponent - power)
    suffix = (f"e{power}" if power else "") if style == "exponent" else _SUFFIXES[power]
    return f"{'-' if sign else ''}{whole}{suffix}"
