"""Errors about one field of an object, in the words of Kubernetes.

Follows k8s.io/apimachinery's ``field.Error``: the printed form is ``<path>: <type>: <value>: <detail>``, and each error
becomes one entry of ``status.details.causes``. Kubernetes sets no limits on these texts; the limits here keep a body full of
errors from costing seconds and an answer of hundreds of megabytes, and lie above what clients of Kubernetes cause.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

REQUIRED: Final = "FieldValueRequired"
INVALID: Final = "FieldValueInvalid"
DUPLICATE: Final = "FieldValueDuplicate"
NOT_SUPPORTED: Final = "FieldValueNotSupported"
FORBIDDEN: Final = "FieldValueForbidden"
TOO_LONG: Final = "FieldValueTooLong"
TOO_MANY: Final = "FieldValueTooMany"
TYPE_INVALID: Final = "FieldValueTypeInvalid"
INTERNAL: Final = "InternalError"
UNDECODABLE: Final = "Undecodable"
"""Internal: the body is refused as undecodable before it is validated."""

_TITLES: Final = {
    REQUIRED: "Required value",
    INVALID: "Invalid value",
    DUPLICATE: "Duplicate value",
    NOT_SUPPORTED: "Unsupported value",
    FORBIDDEN: "Forbidden",
    TOO_LONG: "Too long",
    TOO_MANY: "Too many",
    TYPE_INVALID: "Invalid value",
    INTERNAL: "Internal error",
    UNDECODABLE: "Invalid value",
}
MAX_ERRORS: Final = 1_000
"""Errors of one object that are reported. Validators that walk a client's input may stop beyond this number."""
MAX_ERRORS_LENGTH: Final = 128 * 1024
"""Characters of all errors of one object, beyond which no further error is reported."""
MAX_VALUE_LENGTH: Final = 8_192
"""Characters of a value or field path in a message."""
MAX_SUPPORTED_VALUES: Final = 250
"""Values that a message lists for a field with a closed set of values."""
_MAX_MESSAGE_LENGTH: Final = 4 * MAX_VALUE_LENGTH

_WITHOUT_VALUE: Final = frozenset({REQUIRED, FORBIDDEN, TOO_LONG, TOO_MANY, INTERNAL})


class _Absent:
    """The value of a field error that has none."""

    def __repr__(self) -> str:
        return "<absent>"


ABSENT: Final = _Absent()


class Formatted:
    """A value that many errors show: it is formatted once."""

    __slots__ = ("_text",)

    def __init__(self, value: Any) -> None:
        self._text = _format(value)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error about one field: its type (a constant above), its path, the bad value, and the detail for a person."""

    type: str
    field: str
    value: Any = ABSENT
    detail: str = ""

    @property
    def body(self) -> str:
        """The message without the path, as ``causes[].message`` carries it."""
        text = _TITLES[self.type]
        if self.type not in _WITHOUT_VALUE and self.value is not ABSENT:
            text += f": {_format(self.value)}"
        if self.detail:
            text += f": {self.detail}"
        return shorten(text, _MAX_MESSAGE_LENGTH)

    def __str__(self) -> str:
        cause = self.cause()
        return f"{cause['field']}: {cause['message']}" if self.field else cause["message"]

    def cause(self) -> dict[str, str]:
        """The entry of ``status.details.causes``."""
        return {"reason": self.type, "message": self.body, "field": shorten(self.field)}


def shorten(text: str, limit: int = MAX_VALUE_LENGTH) -> str:
    """A text for a message: its first ``limit`` characters, and the number of the others."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} more characters)"


def join(texts: Sequence[str], separator: str = ", ") -> str:
    """Join the texts of errors for one message. Beyond a limit in number or size, a last one counts the rest."""
    shown: list[str] = []
    size = 0
    for text in texts:
        if len(shown) == MAX_ERRORS or size > MAX_ERRORS_LENGTH:
            shown.append(f"and {len(texts) - len(shown)} more")
            break
        shown.append(shorten(text))
        size += len(shown[-1])
    return separator.join(shown)


def _format(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and len(value) > MAX_VALUE_LENGTH:
        return f"{orjson.dumps(value[:MAX_VALUE_LENGTH]).decode()}... ({len(value) - MAX_VALUE_LENGTH} more characters)"
    if isinstance(value, (str, dict, list, int, float)):
        return shorten(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())
    return str(value)


def required(field: str, detail: str = "") -> FieldError:
    """The required field is missing."""
    return FieldError(REQUIRED, field, ABSENT, detail)


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """The value is invalid."""
    return FieldError(INVALID, field, value, detail)


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    """The value is of another JSON type than the schema's."""
    return FieldError(TYPE_INVALID, field, value, detail)


def undecodable(field: str, value: Any, detail: str) -> FieldError:
    """The value does not decode as the field's Go type (a quantity, for example)."""
    return FieldError(UNDECODABLE, field, value, detail)


def forbidden(field: str, detail: str) -> FieldError:
    """The field may not be set or changed here."""
    return FieldError(FORBIDDEN, field, ABSENT, detail)


def duplicate(field: str, value: Any) -> FieldError:
    """The value must be unique and is not."""
    return FieldError(DUPLICATE, field, value)


def not_supported(field: str, value: Any, supported: Sequence[str]) -> FieldError:
    """The value is not one of the supported values."""
    if not supported:
        return FieldError(NOT_SUPPORTED, field, value)
    detail = "supported values: " + ", ".join(f'"{choice}"' for choice in supported[:MAX_SUPPORTED_VALUES])
    if len(supported) > MAX_SUPPORTED_VALUES:
        detail += f", and {len(supported) - MAX_SUPPORTED_VALUES} more"
    return FieldError(NOT_SUPPORTED, field, value, detail)


def too_long(field: str, limit: int) -> FieldError:
    """A string is longer than ``limit`` bytes."""
    return FieldError(
        TOO_LONG, field, ABSENT, f"may not be more than {limit} bytes" if limit >= 0 else "value is too long"
    )


def too_many(field: str, actual: int, limit: int) -> FieldError:
    """A list or map holds more than ``limit`` items."""
    return FieldError(TOO_MANY, field, ABSENT, f"{actual}: must have at most {limit} item{'' if limit == 1 else 's'}")
