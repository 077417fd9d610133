"""The benchmark of auditing runs, checks that the creates were recorded, and prints a ratio."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.auditing import CONNECTIONS, row

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not shutil.which("wrk"), reason="needs wrk")
def test_each_number_of_connections_has_a_ratio() -> None:
    command = [sys.executable, "-m", "bench.auditing", "--rounds", "1", "--seconds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [str(count) for count in CONNECTIONS]
    for line in lines:
        without, audited, ratio = map(float, line.replace(",", "").split()[3:6])
        assert audited / without == pytest.approx(ratio, abs=0.002)


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    line = row("create", [100.0, 200.0, 100.0], [110.0, 210.0, 130.0])
    assert line.split() == ["create", "100.0", "130.0", "1.100", "(1.050", "to", "1.300)"]
