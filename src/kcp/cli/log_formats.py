"""Log lines: Kubernetes' own text form (klog, with structured fields), or one JSON document a line."""

from __future__ import annotations

import datetime as dt
import logging
import sys
from typing import Any, Final

import orjson

_LETTERS: Final = {
    logging.DEBUG: "I",
    logging.INFO: "I",
    logging.WARNING: "W",
    logging.ERROR: "E",
    logging.CRITICAL: "F",
}
_DEBUG_FROM: Final = 4


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "fields", {})


class TextFormatter(logging.Formatter):
    """``I1123 10:15:30.123456 4711 requests.py:40] "HTTP" verb="get" status=200``."""

    def format(self, record: logging.LogRecord) -> str:
        when = dt.datetime.fromtimestamp(record.created, dt.UTC)
        letter = _LETTERS.get(record.levelno, "I")
        location = f"{record.filename}:{record.lineno}"
        fields = "".join(f" {name}={_value(value)}" for name, value in _fields(record).items())
        line = f"{letter}{when:%m%d %H:%M:%S.%f} {record.process} {location}] {_quoted(record.getMessage())}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JSONFormatter(logging.Formatter):
    """One JSON document: ``ts``, ``level``, ``logger``, ``msg`` and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        when = dt.datetime.fromtimestamp(record.created, dt.UTC)
        content = {
            "ts": when.isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(content, default=str).decode()


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _value(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else str(value)


def set_up(log_format: str, verbosity: int) -> None:
    """Send this program's log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("kcp").setLevel(logging.DEBUG if verbosity >= _DEBUG_FROM else logging.INFO)
