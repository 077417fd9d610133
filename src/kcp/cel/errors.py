"""Errors of CEL expressions: compilation, evaluation and cost limits.

A compilation error is formatted as by cel-go's ``Error.ToDisplayString``, which Kubernetes passes on to users unchanged.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

_MAX_SNIPPET_BYTES: Final = 16384
_MAX_ERRORS: Final = 100


class CelError(Exception):
    """Base class of the errors of an expression and of its evaluation."""


class Issue(NamedTuple):
    """One compilation error: the message and the offset in the source (in code points; -1 for none)."""

    message: str
    offset: int


class CompilationError(CelError):
    """The expression cannot be compiled.

    ``str()`` is the text that Kubernetes shows, one paragraph per issue. ``message``, ``line`` and ``column`` (both from 1)
    belong to the first issue.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0, text: str = "") -> None:
        super().__init__(text or message)
        self.message = message
        self.line = line
        self.column = column

    @classmethod
    def at(cls, source: str, issues: Sequence[Issue]) -> "CompilationError":
        """Make the error for these issues, ordered by their position in the source."""
        ordered = sorted(issues, key=lambda issue: issue.offset)
        parts = [_display(source, issue) for issue in ordered[:_MAX_ERRORS]]
        if len(ordered) > _MAX_ERRORS:
            parts.append(f"{len(ordered) - _MAX_ERRORS} more errors were truncated")
        line, column = position(source, ordered[0].offset)
        return cls(ordered[0].message, line, column + 1, "\n".join(parts))


class EvaluationError(CelError):
    """Evaluation failed for this input: a missing key, an overflow, a division by zero.

    ``cost`` is the cost of the evaluation up to the failure.
    """

    cost: int = 0


class BudgetExceededError(CelError):
    """Evaluation was cancelled because it exceeded the limit of one call (``per_call``) or the budget of one object."""

    def __init__(self, per_call: bool) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")
        self.per_call = per_call


def position(source: str, offset: int) -> tuple[int, int]:
    """The line (from 1) and column (from 0) of an offset; (-1, 0) for a negative one."""
    if offset < 0:
        return -1, 0
    line = source.count("\n", 0, offset) + 1
    return line, offset - (source.rfind("\n", 0, offset) + 1)


def _display(source: str, issue: Issue) -> str:
    line, column = position(source, issue.offset)
    text = f"ERROR: <input>:{line}:{column + 1}: {issue.message}"
    if line < 1:
        return text
    snippet = source.split("\n")[line - 1].replace("\t", " ")
    if len(snippet.encode("utf-8", "surrogatepass")) > _MAX_SNIPPET_BYTES:
        return text
    dots = "".join("." if character < "\x80" else "\uff0e" for character in snippet[:column])
    mark = "\uff3e" if column < len(snippet) and snippet[column] >= "\x80" else "^"
    return f"{text}\n | {snippet}\n | {dots}{mark}"
