"""The fault table: one line for each injected fault, with counts and measured times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

PROPERTY: Final = "fault"
"""The property of a test's report that carries its line."""


class Line(NamedTuple):
    """The measurements under one fault."""

    fault: str
    injected: int
    acknowledged: int
    refused: int
    checked: int
    violations: int
    recovery: float
    """Seconds, the longest of all."""
    note: str = ""


Record = Callable[[Line], None]

_HEAD: Final = (
    "| fault | times | writes acknowledged | refused | answers and events checked | violations | recovery | |",
    "|---|--:|--:|--:|--:|--:|--:|---|",
)


def encoded(line: Line) -> str:
    """Encode a line as a property of a test's report, which a worker sends to the main process."""
    return json.dumps(line)


def decoded(text: str) -> Line:
    """Decode a line that `encoded` has encoded."""
    return Line(*json.loads(text))


def rendered(lines: Iterable[Line]) -> list[str]:
    """Return the table in Markdown."""
    return [
        *_HEAD,
        *(
            f"| {line.fault} | {line.injected} | {line.acknowledged} | {line.refused} | {line.checked} | {line.violations} "
            f"| {line.recovery:.1f} s | {line.note} |"
            for line in sorted(lines)
        ),
    ]
