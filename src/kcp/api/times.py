"""Times as API objects carry them: metav1.Time and metav1.MicroTime, both RFC 3339 in UTC."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d{1,6})\d*)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_RFC3339_MICRO: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.,]\d{6}(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"
_ELEMENTS: Final = tuple(
    (re.compile(pattern, re.ASCII), element)
    for pattern, element in (
        (r"\d{4}", "2006"), ("-", "-"), (r"\d\d", "01"), ("-", "-"), (r"\d\d", "02"), ("T", "T"), (r"\d\d", "15"),
        (":", ":"), (r"\d\d", "04"), (":", ":"), (r"\d\d(?:[.,]\d+)?", "05"), (r"Z|[+-]\d\d:\d\d", "Z07:00"),
    )
)  # fmt: skip

_second: tuple[int, str] = (0, "")


def now() -> str:
    """The current time as metadata carries it: RFC 3339, UTC, whole seconds. Formatted once a second."""
    global _second  # noqa: PLW0603 - a cache of one entry, replaced as a whole
    seconds = int(time.time())
    cached = _second
    if cached[0] != seconds:
        cached = _second = (seconds, whole_time(datetime.fromtimestamp(seconds, UTC)))
    return cached[1]


def micro_time(moment: datetime | None = None) -> str:
    """A time (default: now) as a MicroTime: RFC 3339, UTC, six decimals. Pads years before 1000, unlike ``strftime``."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def whole_time(moment: datetime) -> str:
    """A time as metadata carries it: RFC 3339, UTC, whole seconds. Pads years before 1000, unlike ``strftime``."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def check_micro_time(text: str) -> None:
    """Raise ValueError where a text has not the form of a MicroTime: RFC 3339 with exactly six decimals."""
    if _RFC3339_MICRO.fullmatch(text) is None:
        raise ValueError(f'parsing time "{text}" as "{_MICRO_LAYOUT}": it must have exactly six decimals')


def canonical_micro_time(text: str) -> str:
    """A MicroTime in UTC. Raises ValueError for a text that is not one."""
    if text.endswith("Z") and _RFC3339_MICRO.fullmatch(text):
        return text.replace(",", ".")  # the schema reports a date that does not exist
    check_micro_time(text)
    return micro_time(parse_time(text))


def parse_time(text: str) -> datetime:
    """Parse an RFC 3339 time, to the microsecond. Raises ValueError with the message of Go's ``time.Parse``."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(_parse_error(text))
    whole, fraction, zone = found.groups()
    try:
        return datetime.fromisoformat(f"{whole}.{(fraction or '0').ljust(6, '0')}{zone}")
    except ValueError as error:
        raise ValueError(f'parsing time "{text}": {error}') from error


def _parse_error(text: str) -> str:
    position = 0
    for pattern, element in _ELEMENTS:
        found = pattern.match(text, position)
        if found is None:
            return f'parsing time "{text}" as "{_LAYOUT}": cannot parse "{text[position:]}" as "{element}"'
        position = found.end()
    return f'parsing time "{text}": extra text: "{text[position:]}"'
