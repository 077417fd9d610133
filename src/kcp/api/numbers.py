"""Numbers formatted as Go formats them, for texts that clients see."""

from __future__ import annotations

import math
import struct


def format_float(value: float, *, single: bool = False) -> str:
    """The shortest text of a 64-bit float (or, ``single``, of the nearest 32-bit one): Go's ``%v``, ``strconv``'s ``'g', -1``."""
    if math.isnan(value):
        return "NaN"
    if single and not math.isinf(value):
        try:
            (value,) = struct.unpack("f", struct.pack("f", value))
        except OverflowError:
            value = math.copysign(math.inf, value)
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    scientific = _shortest_single(value) if single else _shortest(value)
    mantissa, _, exponent = scientific.partition("e")
    power = int(exponent)
    if -4 <= power < 6 or (value == 0):
        decimals = max(len(mantissa.lstrip("-").replace(".", "")) - 1 - power, 0)
        return f"{value:.{decimals}f}"
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _shortest(value: float) -> str:
    digits = 0
    while float(shown := f"{value:.{digits}e}") != value:
        digits += 1
    return shown


def _shortest_single(value: float) -> str:
    digits = 0
    while struct.pack("f", float(shown := f"{value:.{digits}e}")) != struct.pack("f", value):
        digits += 1
    return shown
