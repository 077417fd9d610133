"""Kubernetes' regex library, and compiled patterns for ``matches``: RE2 syntax, linear time."""

from functools import lru_cache
from typing import Any, Final

import re2

from kcp.cel import call_costs as cost
from kcp.cel.declarations import Row
from kcp.cel.errors import EvaluationError

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Any:
    """Compile a pattern. Raises EvaluationError if it is invalid."""
    try:
        return re2.compile(pattern, options=_OPTIONS)
    except (re2.error, ValueError) as error:
        detail = error.args[0] if error.args else ""
        detail = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        raise EvaluationError(f"error parsing regexp: {detail}") from None


def _find(text: str, pattern: str) -> str:
    match = compiled(pattern).search(text)
    return "" if match is None else str(match.group())


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found: list[str] = []
    if most == 0:
        return found
    last = -1
    for match in compiled(pattern).finditer(text):
        # As in Go, ignore an empty match that abuts the preceding match.
        if match.end() == match.start() == last:
            continue
        last = match.end()
        found.append(match.group())
        if len(found) == most:
            break
    return found


ROWS: Final[list[Row]] = [
    ("string_find_string", "string.find(string): string", _find, cost.pattern),
    ("string_find_all_string", "string.findAll(string): list<string>", _find_all, cost.pattern),
    ("string_find_all_string_int", "string.findAll(string, int): list<string>", _find_all, cost.pattern),
]
