"""The page of API negotiation: its commands print what the page shows, with two clusters of different versions."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
from pathlib import Path

from tests.documentation.test_readme import BINARIES, ROOT, blocks, columns
from tests.multicluster.negotiation.test_scenarios import older_cluster
from tests.multicluster.recorded_clusters import RecordedCluster, serving
from tests.support.kcp_process import started
from tests.support.kubectl import patient
from tests.support.waiting import PATIENCE

PAGE = ROOT / "docs" / "api-negotiation.md"


def write_kubeconfig(path: Path, server: str) -> None:
    """A kubeconfig of a cluster that asks for no credentials."""
    path.write_text(
        f"{{current-context: c, contexts: [{{name: c, context: {{cluster: c}}}}], "
        f"clusters: [{{name: c, cluster: {{server: '{server}'}}}}]}}"
    )


def follow(folder: Path) -> int:
    """Run the commands of the page. Returns their number."""
    environment = {**os.environ, "PATH": f"{BINARIES}:{os.environ['PATH']}", "HOME": str(folder)}
    count = 0
    for text in blocks(PAGE, ""):
        for each in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = each.partition("\n")
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                environment[name] = value
                continue
            done = subprocess.run(
                shlex.split(patient(command)),
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE,
            )
            assert columns(done.stdout + done.stderr) == columns(expected), command
            assert done.returncode == 0, command
            count += 1
    return count


async def test_the_commands_of_the_page_print_what_is_shown(tmp_path: Path) -> None:
    (start,) = blocks(PAGE, "sh")
    assert shlex.split(start)[:2] == ["kcp", "start"]
    async with serving(RecordedCluster("1.36")) as east, serving(older_cluster()) as west:
        write_kubeconfig(tmp_path / "us-east1.kubeconfig", east.url)
        write_kubeconfig(tmp_path / "us-west1.kubeconfig", west.url)
        with started(Path(".kcp"), *shlex.split(start)[2:], cwd=tmp_path):
            assert await asyncio.to_thread(follow, tmp_path) == 13
