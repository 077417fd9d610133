"""Logging of the ``Warning`` headers of API servers (RFC 7234, 5.5; KEP-1693), each text once."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Final

from multidict import CIMultiDictProxy

_WARNING: Final = re.compile(r'299 [^ ]+ "((?:[^"\\]|\\.)*)"')
_REMEMBERED: Final = 256

logger = logging.getLogger(__name__)


class WarningLog:
    """Logs new warnings. Remembers a bounded number of them."""

    def __init__(self) -> None:
        self._seen: dict[str, None] = {}

    def take(self, headers: CIMultiDictProxy[str]) -> None:
        """Log the warnings of an answer that are new."""
        if "Warning" not in headers:
            return
        for text in _texts(headers.getall("Warning")):
            if text not in self._seen:
                if len(self._seen) >= _REMEMBERED:
                    del self._seen[next(iter(self._seen))]
                self._seen[text] = None
                logger.warning("the API server warns: %s", text)


def _texts(values: list[str]) -> Iterator[str]:
    for value in values:
        for found in _WARNING.finditer(value):
            yield re.sub(r"\\(.)", r"\1", found.group(1))
