"""The benchmark of many clusters runs, and prints each of its measurements."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
SMALL = {
    "clusters": 1,
    "logical-clusters": 2,
    "deployments": 4,
    "settling": 0,
    "seconds": 0.1,
    "changes": 3,
    "resources": "deployments.apps",
}


def test_a_small_run_prints_its_measurements() -> None:
    arguments = [f"--{name}={value}" for name, value in SMALL.items()]
    command = [sys.executable, "-m", "bench.multicluster", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in done.stdout.splitlines() if "  " in line)
    assert found["clusters / logical clusters / syncers / Deployments"] == "1 / 2 / 2 / 4"
    down, up = map(float, found["requests for a Deployment, down / up"].split(" / "))
    assert down >= 2
    assert up >= 1
    for change in ("a change reaches its cluster, p50 / p99", "its status is back, p50 / p99"):
        assert re.fullmatch(r"\d+ / \d+ ms", found[change])
    for share in ("the controller without Deployments", "steady state"):
        assert re.match(r"\d+\.\d\d % of a core", found[share])
    assert float(found["memory of the controller, growth for a Deployment"].split()[0]) > 20
