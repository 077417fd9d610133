"""The checker: a history in, everything that is wrong with it out. No input or output of its own."""

from __future__ import annotations

from tests.histories.log import Log
from tests.histories.model import History, Violation
from tests.histories.operations import check_operations
from tests.histories.watching import check_watch


def check(history: History) -> list[Violation]:
    """Every violation of linearizability and of the guarantees of watches; none for a right history."""
    log = Log(history)
    found = list(log.problems())
    found += check_operations(history.writes, history.reads, log)
    for watch in history.watches:
        found += check_watch(watch, log)
    return found
