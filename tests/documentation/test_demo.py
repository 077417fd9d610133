"""The demo runs unattended, and prints what the README shows of it."""

from __future__ import annotations

import os
import subprocess

from tests.documentation.test_readme import BINARIES, README, ROOT, blocks, columns
from tests.support.waiting import PATIENCE


def test_the_demo_prints_what_the_readme_shows() -> None:
    environment = {
        **os.environ,
        "PATH": f"{BINARIES}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "DEMO_HEARTBEAT_THRESHOLD": "20s",  # on a busy machine, heartbeats are late
    }
    done = subprocess.run(
        [ROOT / "contrib" / "demo" / "run.sh"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stderr == ""
    (shown,) = [block for block in blocks(README, "") if "my-deployment" in block]
    said = iter(columns(done.stdout))
    missing = [line for line in columns(shown) if not any(each == line for each in said)]
    assert missing == []
