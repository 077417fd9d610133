"""What can go wrong with a CEL expression: it does not compile, it fails on a value, or it costs too much.

The printed form of a compilation error is cel-go's ``Error.ToDisplayString``, which Kubernetes shows to users as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LONGEST_SNIPPET: Final = 16384
_MOST_ERRORS: Final = 100


class CelError(Exception):
    """Anything that is wrong with an expression or its evaluation."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with the text of an expression: what, and at which offset (in code points; -1 for the whole)."""

    message: str
    offset: int


class CompilationError(CelError):
    """The expression cannot be compiled.

    ``str()`` is the text that Kubernetes shows, one paragraph for each issue; ``message``, ``line`` (from 1) and ``column``
    (from 1) are of the first one.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0, text: str = "") -> None:
        super().__init__(text or message)
        self.message = message
        self.line = line
        self.column = column

    @classmethod
    def at(cls, source: str, issues: Sequence[Issue]) -> "CompilationError":
        """The error for these issues, in the order in which they stand in the source."""
        ordered = sorted(issues, key=lambda issue: issue.offset)
        parts = [_display(source, issue) for issue in ordered[:_MOST_ERRORS]]
        if len(ordered) > _MOST_ERRORS:
            parts.append(f"{len(ordered) - _MOST_ERRORS} more errors were truncated")
        line, column = position(source, ordered[0].offset)
        return cls(ordered[0].message, line, column + 1, "\n".join(parts))


class EvaluationError(CelError):
    """The expression has no value for this input: a missing key, an overflow, a division by zero, ...

    ``cost`` is what evaluation cost until then.
    """

    cost: int = 0


class BudgetExceededError(CelError):
    """Evaluation was cancelled because it cost more than one call, or all calls for one object, may cost.

    ``per_call`` tells the two apart.
    """

    def __init__(self, per_call: bool) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")
        self.per_call = per_call


def position(source: str, offset: int) -> tuple[int, int]:
    """The line (from 1) and column (from 0) of an offset; (-1, 0) for no place at all."""
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
    if len(snippet.encode("utf-8", "surrogatepass")) > _LONGEST_SNIPPET:
        return text
    dots = "".join("." if character < "\x80" else "\uff0e" for character in snippet[:column])
    mark = "\uff3e" if column < len(snippet) and snippet[column] >= "\x80" else "^"
    return f"{text}\n | {snippet}\n | {dots}{mark}"
