"""The checker: a pure function from a history to all violations in it."""

from __future__ import annotations

from tests.histories.log import Log
from tests.histories.model import History, Violation
from tests.histories.operations import check_operations
from tests.histories.watching import check_watch


def check(history: History) -> list[Violation]:
    """Return every violation of linearizability and of the guarantees of watches; none for a correct history."""
    log = Log(history)
    found = list(log.problems())
    found += check_operations(history.writes, history.reads, log)
    for watch in history.watches:
        found += check_watch(watch, log)
    return found
