"""The benchmark of revocation runs on servers that share an etcd, and prints a figure for each thing that is revoked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.revocation import STEPS, Times, row
from devtools.etcd import MISSING, binary

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(binary() is None, reason=MISSING)
def test_each_step_has_a_line_of_figures() -> None:
    arguments = ["--servers", "2", "--members", "1", "--rounds", "1", "--writers", "1"]
    command = [sys.executable, "-m", "bench.revocation", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    _, title, *lines = done.stdout.splitlines()
    assert title.split() == ["p50", "p99", "max"] * 2
    assert [line[:40].strip() for line in lines] == list(STEPS)
    for line in lines:
        in_force, _, _, old, _, _ = map(float, line[40:].split())
        assert in_force > old >= 0


def test_the_percentile_is_one_of_the_rounds() -> None:
    rounds = [Times(float(number), number / 2) for number in range(1, 201)]
    assert row("step", rounds).split() == ["step", "100.5", "198.0", "200.0", "50.2", "99.0", "100.0"]
    assert row("step", [Times(3.0, 0.0)]).split() == ["step", "3.0", "3.0", "3.0", "0.0", "0.0", "0.0"]
