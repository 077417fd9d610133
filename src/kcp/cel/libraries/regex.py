"""Kubernetes' regex library, and compiled patterns for ``matches``: RE2 syntax, linear time."""

from typing import Any, Final

from kcp.cel import call_costs as cost
from kcp.cel.declarations import Row
from kcp.cel.errors import EvaluationError
from kcp.cel.patterns import compile_pattern


def compiled(pattern: str) -> Any:
    """Compile a pattern. Raises EvaluationError if it is invalid."""
    try:
        return compile_pattern(pattern)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


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
