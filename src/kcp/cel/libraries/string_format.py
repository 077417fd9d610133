"""``"...".format([...])`` of cel-go's string extensions, version 2, with Kubernetes' locale en_US."""

import math
from collections.abc import Callable
from typing import Any, Final

from kcp.cel.errors import EvaluationError
from kcp.cel.libraries.standard import string_from_double
from kcp.cel.limits import Visits, check_string_length, visits
from kcp.cel.times import format_duration, format_timestamp
from kcp.cel.values import Duration, Timestamp, TypeValue, Uint, type_name

_MAX_PRECISION: Final = 1000
_QUOTED_FOR_ONE: Final = 16
"""Characters that are quoted, for one visit."""
_SUPERSCRIPTS: Final = str.maketrans(
    "0123456789-", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b"
)
_NOT_NUMBERS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_STRINGS_OF: Final = "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"

_ESCAPES: Final = str.maketrans(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
)


def quote(text: str) -> str:
    """Format a string as a CEL literal."""
    return f'"{text.translate(_ESCAPES)}"'


def format_string(pattern: str, arguments: list[Any]) -> str:
    """Replace the clauses ``%s %d %f %e %b %x %X %o`` by the arguments. Raises EvaluationError."""
    out: list[str] = []
    at = used = size = 0
    while (percent := pattern.find("%", at)) >= 0:
        out.append(pattern[at:percent])
        if pattern[percent + 1 : percent + 2] == "%":
            out.append("%")
            at = percent + 2
            continue
        at, precision = _precision(pattern, percent + 1)
        clause = pattern[at : at + 1]
        if clause not in _CLAUSES or not clause:
            raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{clause}"')
        at += 1
        if used >= len(arguments):
            raise EvaluationError(f"index {used} out of range")
        out.append(_CLAUSES[clause](arguments[used], precision))
        size += len(out[-1])
        check_string_length(size)
        used += 1
    out.append(pattern[at:])
    return "".join(out)


def _precision(pattern: str, at: int) -> tuple[int, int]:
    if pattern[at : at + 1] != ".":
        return at, 6
    end = at + 1
    while end < len(pattern) and pattern[end] in "0123456789":
        end += 1
    if end == len(pattern):
        raise EvaluationError(
            "could not parse formatting clause: error while parsing precision: could not find end of precision specifier"
        )
    digits = pattern[at + 1 : end] or "0"
    if len(digits) > 4 or int(digits) > _MAX_PRECISION:
        raise EvaluationError(
            f"could not parse formatting clause: precision {digits[:20]} exceeds maximum allowed precision {_MAX_PRECISION}"
        )
    return end, int(digits)


def _bad(message: str, value: Any) -> EvaluationError:
    return EvaluationError(f"error during formatting: {message}, was given {type_name(value)}")


def _string(value: Any, _precision: int = 6) -> str:
    if type(value) is str:
        return value
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) in {int, Uint}:
        return str(int(value))
    if type(value) in {list, dict}:
        return _container(value, visits())
    by_type: dict[type, Callable[[Any], str]] = {
        float: string_from_double,
        bytes: lambda data: data.decode("utf-8", "replace"),
        Timestamp: format_timestamp,
        Duration: format_duration,
        TypeValue: lambda type_: type_.name,
    }
    if type(value) not in by_type:
        raise _bad(f"string clause can only be used on {_STRINGS_OF}", value)
    return by_type[type(value)](value)


def _container(value: Any, counted: Visits) -> str:
    counted.count_container(value)
    counted.count(2 * len(value))  # an element that is formatted takes as long as three that are compared
    if type(value) is list:
        return f"[{', '.join(_inside(item, counted) for item in value)}]"
    pairs = sorted((_inside(key, counted), _inside(item, counted)) for key, item in value.items())
    return "{" + ", ".join(f"{key}:{item}" for key, item in pairs) + "}"


def _inside(value: Any, counted: Visits) -> str:
    """Format an element of a list or map as a CEL literal."""
    if type(value) in {list, dict}:
        return _container(value, counted)
    if type(value) is str:
        counted.count(len(value) // _QUOTED_FOR_ONE)
        return quote(value)
    if type(value) is bytes:
        return "b" + quote(value.decode("utf-8", "replace"))
    if type(value) is float:
        return f"{value:.6f}" if math.isfinite(value) else quote(_string(value))
    if type(value) is Timestamp:
        return f'timestamp("{format_timestamp(value)}")'
    if type(value) is Duration:
        return f'duration("{format_duration(value)}")'
    return _string(value)


def _decimal(value: Any, _precision: int) -> str:
    if type(value) not in {int, Uint}:
        raise _bad("decimal clause can only be used on integers", value)
    return str(int(value))


def _number(value: Any, message: str) -> float:
    if type(value) is str and value in _NOT_NUMBERS:
        return _NOT_NUMBERS[value]
    if type(value) is not float:
        raise _bad(message, value)
    return value


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "\u221e" if value > 0 else "-\u221e"


def _fixed(value: Any, precision: int) -> str:
    number = _number(value, "fixed-point clause can only be used on doubles")
    return f"{number:,.{precision}f}" if math.isfinite(number) else _not_finite(number)


def _scientific(value: Any, precision: int) -> str:
    number = _number(value, "scientific clause can only be used on doubles")
    if not math.isfinite(number):
        return _not_finite(number)
    mantissa, _, exponent = f"{number:.{precision}e}".partition("e")
    return f"{mantissa}\u00d710{exponent.removeprefix('+').translate(_SUPERSCRIPTS)}"


def _binary(value: Any, _precision: int) -> str:
    if type(value) not in {int, Uint, bool}:
        raise _bad("only integers and bools can be formatted as binary", value)
    return f"{int(value):b}"


def _octal(value: Any, _precision: int) -> str:
    if type(value) not in {int, Uint}:
        raise _bad("octal clause can only be used on integers", value)
    return f"{int(value):o}"


def _hexadecimal(value: Any, _precision: int) -> str:
    if type(value) is str:
        return value.encode().hex()
    if type(value) is bytes:
        return value.hex()
    if type(value) not in {int, Uint}:
        raise _bad("only integers, byte buffers, and strings can be formatted as hex", value)
    return f"{int(value):x}"


_CLAUSES: Final[dict[str, Callable[[Any, int], str]]] = {
    "s": _string,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "o": _octal,
    "x": _hexadecimal,
    "X": lambda value, precision: _hexadecimal(value, precision).upper(),
}
