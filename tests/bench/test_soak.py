"""The soak command runs, and its rule distinguishes growth from noise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.soak import Sample, judge
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.soak", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def samples(memory: Sequence[float], files: float = 60) -> list[Sample]:
    return [Sample(10.0 * number, each, 40, files, 4, 200, 10) for number, each in enumerate(memory)]


def test_a_short_soak_prints_samples_and_a_verdict() -> None:
    done = run(
        "--minutes", "0.15", "--sample-seconds", "0.5", "--tolerance-megabytes", "64", "--filling-clusters", "20"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    rows = [line.split() for line in lines[1:] if line.strip()[0].isdigit() and "requests:" not in line]
    assert len(rows) >= 3
    assert all(float(row[1]) > 20 and float(row[2]) > 0 and float(row[3]) > 5 and float(row[4]) >= 1 for row in rows)
    assert sum(float(row[5]) for row in rows) > len(rows)
    assert sum(line.endswith(": flat") for line in lines) == 4


def test_growing_memory_is_not_flat() -> None:
    memory, directory, *_ = judge(samples([80 + 0.1 * number for number in range(120)]), 4)
    assert not memory.flat
    assert directory.flat
    assert memory.per_hour == pytest.approx(36)
    assert str(memory).endswith("NOT FLAT")


def test_noise_and_the_warm_up_are_flat() -> None:
    warm_up = [40 + number for number in range(40)]
    noise = [80 + number % 7 for number in range(80)]
    assert all(judgement.flat for judgement in judge(samples(warm_up + noise), 4))


def test_files_left_open_are_not_flat() -> None:
    found = samples([80] * 60) + [Sample(600 + 10.0 * number, 80, 40, 80, 4, 200, 10) for number in range(60)]
    assert [judgement.what for judgement in judge(found, 4) if not judgement.flat] == ["open files"]


def test_a_run_too_short_for_a_verdict_is_refused_before_it_begins() -> None:
    done = run("--minutes", "0.1", "--sample-seconds", "10")
    assert done.returncode == 2
    assert "at least 9 samples" in done.stderr.splitlines()[-1]


def test_a_terminated_soak_stops_its_server() -> None:
    arguments = ("--minutes", "5", "--sample-seconds", "0.2", "--filling-clusters", "0")
    command = [sys.executable, "-u", "-m", "bench.soak", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "memory" in process.stdout.readline()
        (server,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.terminate()
        assert process.wait(PATIENCE) == 1
    assert not Path(f"/proc/{server}").exists()
