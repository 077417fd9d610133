"""Limits on memory and time that the cost units do not cover.

cel-go charges 1 for concatenating two lists, since it does not copy them, and does not charge for a result that is longer than
its inputs; here both take memory. A value can also contain the same list many times, so that walking it takes exponential time.
"""

from typing import Any, Final

from kcp.cel.errors import BudgetExceededError

MAX_STRING_LENGTH: Final = 64 * 1024 * 1024
MAX_LIST_LENGTH: Final = 4 * 1024 * 1024
MAX_STEPS: Final = 1_500_000


def check_string_length(length: int) -> None:
    """Raise BudgetExceededError if a string of this length is too long."""
    if length > MAX_STRING_LENGTH:
        raise BudgetExceededError(per_call=True)


def check_list_length(length: int) -> None:
    """Raise BudgetExceededError if a list of this length is too long."""
    if length > MAX_LIST_LENGTH:
        raise BudgetExceededError(per_call=True)


class StepCounter:
    """Counts the elements that a walk through a value visits, up to MAX_STEPS."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_STEPS

    def count(self, container: Any) -> None:
        """Count the elements of a list or map. Raises BudgetExceededError when the walk is too long."""
        self.left -= len(container) + 1
        if self.left < 0:
            raise BudgetExceededError(per_call=True)
