"""`python -m tests.faults --rounds 5`: inject every fault, and print the table of counts and measured times."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
from pathlib import Path

import pytest

from tests.faults import table


class _Table:
    """A pytest plugin that collects the lines of the table."""

    def __init__(self) -> None:
        self.lines: list[table.Line] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.lines += [
                table.decoded(str(value)) for name, value in report.user_properties if name == table.PROPERTY
            ]


def main() -> int:
    """Run the tests of this folder; the exit code is pytest's."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each fault is injected [default: 5]")
    parser.add_argument("tests", nargs="*", help="further arguments for pytest, such as -k disk")
    chosen, rest = parser.parse_known_args()
    os.environ["KCP_FAULT_ROUNDS"] = str(chosen.rounds)
    collected = _Table()
    folder = str(Path(__file__).parent)
    code = pytest.main([folder, "-q", "--timeout", str(120 * chosen.rounds), *chosen.tests, *rest], plugins=[collected])
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    print(f"\n{dt.datetime.now(dt.UTC):%Y-%m-%d}, {machine}, {chosen.rounds} rounds:\n")
    print("\n".join(table.rendered(collected.lines)))
    return int(code)


sys.exit(main())
