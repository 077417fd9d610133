"""Limits on memory and time that cel-go's cost units do not cover.

cel-go charges a comparison by the length of its two lists or maps, or 1, however much is inside; 1 for a conversion, for the
concatenation of two lists, and for the parsing of a text as a URL, a time or a number; nothing for a result that is longer than
its inputs. kube-apiserver ends such work at its deadline. Here a thread cannot be interrupted, and concatenation copies: `Visits`
counts the values that operations visit, and charges for them.
"""

import json
import threading
from collections.abc import Sized
from typing import Any, Final

import orjson

from kcp.cel.errors import BudgetExceededError

MAX_STRING_LENGTH: Final = 64 * 1024 * 1024
MAX_LIST_LENGTH: Final = 4 * 1024 * 1024
FREE_VISITS: Final = 100_000
"""Visits of one budget that cost nothing: the rules for an ordinary object cost what they cost in Kubernetes."""
PRICE: Final = 3
"""The cost of a visit, such that all units of a budget take about as long as those of ordinary operations."""
UNMEASURED: Final = 32
"""Comparisons by schema of one budget that are not measured. Each visits at most what is in a request."""
LONG: Final = 256
"""Characters of a string that is compared or copied, for one visit."""
_COPIED_FOR_ONE: Final = 16
"""Elements of lists that are copied for one visit."""
_TEXT_FOR_ONE: Final = 16
"""Characters of JSON text that are compared, or of a text that is parsed, for one visit."""
_KEPT_SIZES: Final = 1024
"""Values whose size is kept for their next comparison."""


def check_string_length(length: int) -> None:
    """Count the characters of a new string. Raises BudgetExceededError if it is too long."""
    if length > MAX_STRING_LENGTH:
        raise BudgetExceededError(per_call=True)
    if length >= LONG:
        count_visits(length // LONG)


def check_list_length(length: int) -> None:
    """Count the elements of a new list. Raises BudgetExceededError if it is too long."""
    if length > MAX_LIST_LENGTH:
        raise BudgetExceededError(per_call=True)
    count_visits(length // _COPIED_FOR_ONE)


class Visits:
    """Counts the values that operations visit inside lists and maps, for all evaluations of one budget.

    Each visit costs ``price`` units, after the first ``free`` ones; ``unmeasured`` comparisons by schema are not counted.
    """

    __slots__ = ("_allowed", "_price", "_sizes", "free", "left", "unmeasured")

    def __init__(self, free: int = FREE_VISITS, unmeasured: int = UNMEASURED, price: int = PRICE) -> None:
        self._sizes: dict[int, tuple[Any, int]] = {}
        self.free = free
        self.unmeasured = unmeasured
        self._price = price
        self.left = self._allowed = free

    def begin(self, limit: int) -> None:
        """Begin an evaluation on this thread, with a cost limit."""
        self.left = self._allowed = self.free + limit // self._price
        _running.visits = self

    def settle(self) -> int:
        """Return the cost of the visits since the start of the evaluation."""
        visited = self._allowed - self.left
        if not visited:
            return 0
        free = min(self.free, visited)
        self.free -= free
        self._allowed = self.left
        return (visited - free) * self._price

    def count(self, visits: int) -> None:
        """Count visits. Raises BudgetExceededError if they cost more than the limit of the evaluation."""
        self.left -= visits
        if self.left < 0:
            raise BudgetExceededError(per_call=True)

    def count_container(self, container: Sized) -> None:
        """Count a list or map and its elements. Raises as `count`."""
        self.left -= len(container) + 1
        if self.left < 0:
            raise BudgetExceededError(per_call=True)

    def count_comparison(self, left: Any, right: Any) -> None:
        """Count what a comparison of JSON data visits, unless it is among the first. Raises as `count`.

        Data is measured by the length of its JSON text, which takes as long as a comparison.
        """
        if self.unmeasured > 0:
            self.unmeasured -= 1
        elif left and right and len(left) == len(right):
            known = self._sizes.get(id(left))
            if known is not None and known[0] is left:
                self.count(known[1])
                return
            size = _text_length(left) // _TEXT_FOR_ONE
            if len(self._sizes) < _KEPT_SIZES:
                self._sizes[id(left)] = (left, size)
            self.count(size)


def _text_length(value: Any) -> int:
    try:
        return len(orjson.dumps(value))
    except TypeError:  # a lone surrogate, or an integer of more than 64 bits
        return len(json.dumps(value))


class _Running(threading.local):
    """The visits of the evaluation that runs on this thread; an evaluation never waits for another."""

    def __init__(self) -> None:
        self.visits = Visits()


_running: Final = _Running()


def visits() -> Visits:
    """Return the visits of the evaluation that runs on this thread."""
    return _running.visits


def count_visits(number: int) -> None:
    """Count visits of the evaluation that runs. Raises BudgetExceededError."""
    _running.visits.count(number)


def count_parsing(text: str) -> None:
    """Count the characters of a long text that is parsed. Raises BudgetExceededError."""
    if len(text) >= LONG:
        _running.visits.count(len(text) // _TEXT_FOR_ONE)


def count_comparison(left: Any, right: Any) -> None:
    """Count what a comparison of JSON data visits, for the evaluation that runs. Raises BudgetExceededError."""
    _running.visits.count_comparison(left, right)


def count_search(item: str | bytes, container: Sized) -> None:
    """Count the search of a list for a string. Raises BudgetExceededError."""
    if len(item) >= LONG:
        _running.visits.count(len(container) * (len(item) // LONG))
