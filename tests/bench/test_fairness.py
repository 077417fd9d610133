"""The benchmark of fairness runs, and prints what a quiet tenant notices of each flood."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.fairness import Delays, Measured, percentile

ROOT = Path(__file__).parents[2]
SMALL = ("--seconds", "1", "--alone", "1", "--objects", "5", "--watches", "5")


@pytest.mark.skipif(not shutil.which("wrk") or not shutil.which("taskset"), reason="needs wrk and taskset")
def test_each_flood_has_a_line_for_gets_and_one_for_creates() -> None:
    command = [sys.executable, "-m", "bench.fairness", *SMALL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tables = done.stdout.partition("of the quiet tenant (ms)")[2]
    floods = (
        "gets, 64 connections",
        "lists of 5 objects, 16",
        "5 watches, 10 writes a second",
        "creates, 64 connections",
    )
    for flood in floods:
        rows = re.findall(rf"^{flood} +(.*)$", tables, re.MULTILINE)
        assert len(rows) == 2, tables
        for row in rows:
            figures = re.findall(r"([\d.]+) / *([\d.]+)", row)
            assert len(figures) == 5
            assert all(float(figure) > 0 for pair in figures[:3] for figure in pair)
    assert "refusals of the quiet tenant's requests: kcp 0" in done.stdout
    assert len(re.findall(r"the flood: [\d.]+ requests a second", done.stdout)) == 6
    assert len(re.findall(r"the flood: [\d.]+ MB of events a second", done.stdout)) == 2


def test_a_cell_has_percentiles_and_the_ratios_of_those_beside_the_flood() -> None:
    alone, elsewhere, beside = ([number / parts for number in range(1, 101)] for parts in (100, 80, 50))
    assert (percentile(alone, 0.5), percentile(alone, 0.99)) == (0.51, 1.0)
    measured = Measured(Delays(alone), Delays(elsewhere), Delays(beside))
    shown = "0.51 / 1.00  0.64 / 1.25  1.02 / 2.00  2.0 / 2.0  1.6 / 1.6"
    assert measured.cell("gets").split() == shown.split()
