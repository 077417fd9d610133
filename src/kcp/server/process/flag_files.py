"""The files that flags name: read, decoded, and their mistakes reported in one form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kcp.server.process.errors import ConfigurationError

T = TypeVar("T")


def read(flag: str, path: Path, decode: Callable[[bytes], T]) -> T:
    """Return what a file holds, as ``decode`` makes it of the content.

    ``decode`` raises ValueError with one line that shows no secret. Raises ConfigurationError, which names the flag and the file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{flag}: cannot read {path}: {error.strerror}") from error
    try:
        return decode(content)
    except ValueError as error:
        raise ConfigurationError(f"{flag}: {path}: {error}") from error
