"""Limits that the cost units do not give, so that no expression can fill the memory or run for ever.

cel-go counts 1 for joining two lists, since it does not copy them, and does not count the size of a result that is longer than
its inputs; here both take memory. A value can also hold one list many times, so that walking it takes exponential time.
"""

from typing import Any, Final

from kcp.cel.errors import BudgetExceededError

LONGEST_TEXT: Final = 64 * 1024 * 1024
LONGEST_LIST: Final = 4 * 1024 * 1024
MOST_STEPS: Final = 1_500_000


def check_text(length: int) -> None:
    """Raises BudgetExceededError for a text of this length."""
    if length > LONGEST_TEXT:
        raise BudgetExceededError(per_call=True)


def check_list(length: int) -> None:
    """Raises BudgetExceededError for a list of this length."""
    if length > LONGEST_LIST:
        raise BudgetExceededError(per_call=True)


class Steps:
    """Counts the elements that a walk through a value visits."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST_STEPS

    def take(self, container: Any) -> None:
        """Count the elements of a container. Raises BudgetExceededError when the walk is too long."""
        self.left -= len(container) + 1
        if self.left < 0:
            raise BudgetExceededError(per_call=True)
