"""Findings: the results of a check of a log's invariants, for backends of any kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from kcp.store.contract import Key

FIRST: Final = 10
"""Violations of each rule that are reported unless the caller asks for more."""


class Violation(NamedTuple):
    """A violation of a rule: its key and revision (None and 0 if it concerns neither), and what is wrong."""

    key: Key | None
    revision: int
    what: str


class Finding(NamedTuple):
    """The result of a rule: how many items were examined, how many violate it, and the first violations."""

    name: str
    invariant: str
    examined: int
    broken: int
    first: list[Violation]


Examine = Callable[[Key, bytes, bool], str | None]
"""Returns what is wrong with a stored value, or None; the last argument says whether it is the current value of the key.

The caller supplies it, since the store does not interpret values.
"""
Progress = Callable[[str], None]
