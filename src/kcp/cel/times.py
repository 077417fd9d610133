"""Timestamps and durations: RFC 3339, Go's duration syntax, calendar fields, arithmetic within the limits of both."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final

from kcp.cel.errors import EvaluationError
from kcp.cel.values import INT_MAX, INT_MIN, Duration, Timestamp

SECOND: Final = 1_000_000_000
OVERFLOW: Final = "timestamp overflow"
EARLIEST: Final = -62135596800 * SECOND
LATEST: Final = 253402300799 * SECOND + 999_999_999
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_UNITS: Final = {
    "ns": 1,
    "us": 1000,
    "\u00b5s": 1000,
    "\u03bcs": 1000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_PART: Final = re.compile(r"(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_LONG_UNITS: Final = {
    **dict.fromkeys(("milli", "millis", "millisecond", "milliseconds"), 1000000),
    **dict.fromkeys(("micro", "micros", "microsecond", "microseconds"), 1000),
    **dict.fromkeys(("nano", "nanos", "nanosecond", "nanoseconds"), 1),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), SECOND),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60 * SECOND),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), 3600 * SECOND),
    **dict.fromkeys(("d", "day", "days"), 86400 * SECOND),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), 7 * 86400 * SECOND),
    **_UNITS,
}
_LONG_PART: Final = re.compile(r"([0-9]+)\s*([A-Za-z\u00b5\u03bc]+)")
_OFFSET: Final = re.compile(r"([+-])?([0-9]{1,2}):([0-9]{2})\Z")


def timestamp(text: str) -> Timestamp:
    """Parse an RFC 3339 date-time. Raises EvaluationError."""
    match = _RFC3339.match(text)
    if match is None:
        raise EvaluationError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}"')
    *numbers, fraction, zone = match.groups()
    try:
        moment = datetime(*(int(number) for number in numbers), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        raise EvaluationError(f'parsing time "{text}": out of range') from None
    nanoseconds = _nanoseconds(moment) + int((fraction or "0")[:9].ljust(9, "0"))
    if zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[4:])
        if hours > 23 or minutes > 59:
            raise EvaluationError(f'parsing time "{text}": time zone offset out of range')
        shift = (hours * 3600 + minutes * 60) * SECOND
        nanoseconds += -shift if zone[0] == "+" else shift
    return _checked(nanoseconds)


def date(text: str) -> Timestamp:
    """The start, in UTC, of a full-date of RFC 3339. Raises EvaluationError."""
    if not _DATE.match(text):
        raise EvaluationError(f"Invalid date formatted string {text}")
    return timestamp(f"{text}T00:00:00Z")


def timestamp_from_seconds(seconds: int) -> Timestamp:
    """``timestamp(int)``: seconds since the epoch. Raises EvaluationError out of range."""
    return _checked(seconds * SECOND)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _checked(nanoseconds: int) -> Timestamp:
    if not EARLIEST <= nanoseconds <= LATEST:
        raise EvaluationError(OVERFLOW)
    return Timestamp(nanoseconds)


def format_timestamp(value: Timestamp) -> str:
    """Format as RFC 3339 with as many fractional digits as needed."""
    seconds, fraction = divmod(int(value), SECOND)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    # On some platforms strftime does not pad years before 1000.
    text = text.rjust(19, "0")
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else f"{text}Z"


def duration(text: str) -> Duration:
    """Parse a duration in Go's syntax, such as ``-1h30m`` or ``1.5s``. Raises EvaluationError."""
    rest = text[1:] if text[:1] in {"-", "+"} else text
    total = 0 if rest == "0" else _parts(rest)
    if total is None:
        raise EvaluationError(f'time: invalid duration "{text}"')
    return checked_duration(-total if text[:1] == "-" else total)


def _parts(text: str) -> int | None:
    total, at = 0, 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            return None
        whole, fraction, only_fraction, unit = match.groups()
        if len(whole or "") > 20:
            return None
        total += int(whole or 0) * _UNITS[unit]
        digits = (fraction or only_fraction or "")[:18]
        if digits:
            total += int(digits) * _UNITS[unit] // 10 ** len(digits)
        at = match.end()
    return total if text else None


def schema_duration(text: str) -> Duration:
    """Parse a duration of the schema format ``duration``: Go's syntax, or words such as ``2 days``."""
    try:
        return duration(text)
    except EvaluationError:
        found = _LONG_PART.findall(text)
        if not found or any(unit not in _LONG_UNITS or len(amount) > 20 for amount, unit in found):
            raise EvaluationError(f'Invalid duration {text}: unable to parse "{text}" as duration') from None
        return checked_duration(sum(int(amount) * _LONG_UNITS[unit] for amount, unit in found))


def checked_duration(nanoseconds: int) -> Duration:
    """A duration of nanoseconds. Raises EvaluationError on overflow."""
    if not INT_MIN <= nanoseconds <= INT_MAX:
        raise EvaluationError("duration overflow")
    return Duration(nanoseconds)


def format_duration(value: Duration) -> str:
    """Format in seconds, as ``string(duration)`` does."""
    sign = "-" if value < 0 else ""
    seconds, fraction = divmod(abs(int(value)), SECOND)
    return f"{sign}{seconds}.{fraction:09d}".rstrip("0") + "s" if fraction else f"{sign}{seconds}s"


def add_timestamp(instant: int, span: int) -> Timestamp:
    """A timestamp plus a duration. Raises EvaluationError out of range."""
    return _checked(int(instant) + int(span))


def subtract_timestamp(instant: int, span: int) -> Timestamp:
    """A timestamp minus a duration. Raises EvaluationError out of range."""
    return _checked(int(instant) - int(span))


def subtract_timestamps(left: int, right: int) -> Duration:
    """The duration between two timestamps. Raises EvaluationError on overflow."""
    return checked_duration(int(left) - int(right))


def add_durations(left: int, right: int) -> Duration:
    """The sum of durations. Raises EvaluationError on overflow."""
    return checked_duration(int(left) + int(right))


def subtract_durations(left: int, right: int) -> Duration:
    """The difference of durations. Raises EvaluationError on overflow."""
    return checked_duration(int(left) - int(right))


# Calendar fields


def _local(value: Timestamp, zone: str) -> datetime:
    moment = _EPOCH + timedelta(seconds=int(value) // SECOND)
    try:
        return moment if zone == "UTC" else moment.astimezone(_zone(zone))
    except OverflowError:
        raise EvaluationError(OVERFLOW) from None


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    match = _OFFSET.match(name)
    if match is not None:
        sign, hours, minutes = match.groups()
        span = timedelta(hours=int(hours), minutes=int(minutes))
        if span >= timedelta(hours=24):
            raise EvaluationError(f"unknown time zone {name}")
        return timezone(-span if sign == "-" else span)
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise EvaluationError(f"unknown time zone {name}") from None


def full_year(value: Timestamp, zone: str = "UTC") -> int:
    """``getFullYear``."""
    return _local(value, zone).year


def month(value: Timestamp, zone: str = "UTC") -> int:
    """``getMonth``, from 0."""
    return _local(value, zone).month - 1


def day_of_year(value: Timestamp, zone: str = "UTC") -> int:
    """``getDayOfYear``, from 0."""
    return _local(value, zone).timetuple().tm_yday - 1


def day_of_month(value: Timestamp, zone: str = "UTC") -> int:
    """``getDayOfMonth``, from 0."""
    return _local(value, zone).day - 1


def date_of_month(value: Timestamp, zone: str = "UTC") -> int:
    """``getDate``, from 1."""
    return _local(value, zone).day


def day_of_week(value: Timestamp, zone: str = "UTC") -> int:
    """``getDayOfWeek``, 0 for Sunday."""
    return (_local(value, zone).weekday() + 1) % 7


def hours(value: Timestamp, zone: str = "UTC") -> int:
    """``getHours`` of a timestamp."""
    return _local(value, zone).hour


def minutes(value: Timestamp, zone: str = "UTC") -> int:
    """``getMinutes`` of a timestamp."""
    return _local(value, zone).minute


def seconds(value: Timestamp, zone: str = "UTC") -> int:
    """``getSeconds`` of a timestamp."""
    return _local(value, zone).second


def milliseconds(value: Timestamp, zone: str = "UTC") -> int:  # noqa: ARG001 - no zone has a fraction of a second
    """``getMilliseconds`` of a timestamp."""
    return int(value) % SECOND // 1_000_000


def _whole(value: int, unit: int) -> int:
    return abs(int(value)) // unit * (-1 if value < 0 else 1)


def duration_hours(value: Duration) -> int:
    """``getHours`` of a duration: all of it in hours."""
    return _whole(value, 3600 * SECOND)


def duration_minutes(value: Duration) -> int:
    """``getMinutes`` of a duration: all of it in minutes."""
    return _whole(value, 60 * SECOND)


def duration_seconds(value: Duration) -> int:
    """``getSeconds`` of a duration: all of it in seconds."""
    return _whole(value, SECOND)


def duration_milliseconds(value: Duration) -> int:
    """``getMilliseconds`` of a duration: all of it in milliseconds."""
    return _whole(value, 1_000_000)
