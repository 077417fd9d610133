"""Limits on the number and the length of validation errors, so that an answer stays small whatever a client sends."""

from collections.abc import Sequence
from typing import Final

import orjson

from kcp.api import field_errors
from kcp.api.field_errors import FieldError

MAX_ERRORS: Final = 250
"""How many errors of one object are reported."""
MAX_SUPPORTED_VALUES_LENGTH: Final = 4096
"""How many characters of the values of an enum an error shows."""
MAX_VALUE_LENGTH: Final = 4096
"""How many characters of a schema an error shows."""
NO_PATH: Final = "<nil>"


MORE_ERRORS: Final = FieldError(
    field_errors.INVALID,
    NO_PATH,
    field_errors.ABSENT,
    f"too many errors: only the first {MAX_ERRORS} are reported",
)
"""The last error of a list that was cut off."""


class Shortened:
    """A value as an error message shows it, cut off after `MAX_VALUE_LENGTH`. It does not hold the value itself."""

    def __init__(self, value: object) -> None:
        try:
            text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        except TypeError:  # integers beyond 64 bits, lone surrogates, or deep nesting
            text = "..."
        self.text = text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}..."

    def __str__(self) -> str:
        return self.text


def limited(found: list[FieldError]) -> list[FieldError]:
    """Cut off a list of errors after `MAX_ERRORS`, with a last error that says so."""
    if len(found) <= MAX_ERRORS:
        return found
    return [*found[:MAX_ERRORS], MORE_ERRORS]


def supported_values(choices: Sequence[object]) -> str:
    """The detail of an error that lists the values of an enum, cut off after `MAX_SUPPORTED_VALUES_LENGTH`."""
    shown: list[str] = []
    length = 0
    for choice in choices:
        text = f'"{choice if isinstance(choice, str) else Shortened(choice)}"'
        length += len(text) + 2
        if length > MAX_SUPPORTED_VALUES_LENGTH and shown:
            return f"supported values: {', '.join(shown)} and {len(choices) - len(shown)} more"
        shown.append(text[:MAX_SUPPORTED_VALUES_LENGTH])
    return f"supported values: {', '.join(shown)}"
