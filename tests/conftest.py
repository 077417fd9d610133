"""Figures that tests measure are reported at the end of the run, from workers too; they are never a reason to fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Report = Callable[[str], None]
_PROPERTY = "measured"


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Report:
    """Report a figure."""
    return lambda text: record_property(_PROPERTY, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == _PROPERTY
    ]
    if found:
        terminalreporter.section("measured")
        for line in found:
            terminalreporter.write_line(line)
