"""The page about many clusters: its commands print what the page shows, with two simulated clusters."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from kcp.cli.start import start
from kcp.multicluster.clusters.api import ConditionType, Reason
from tests.documentation.test_readme import BINARIES, ROOT, blocks, columns
from tests.support.kcp_process import started
from tests.support.kubectl import patient
from tests.support.simulated_clusters import simulated_clusters
from tests.support.waiting import PATIENCE

PAGE = ROOT / "docs" / "multicluster.md"
SYNCER_PAGE = ROOT / "docs" / "syncer.md"


def commands(language: str) -> Iterator[tuple[str, str]]:
    """The commands of the page in blocks of a language, with what they print."""
    for text in blocks(PAGE, language):
        for each in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = each.partition("\n")
            yield command, expected


def run(folder: Path, command: str) -> str:
    """Run a command of the page in a folder. Returns what it prints."""
    environment = {**os.environ, "PATH": f"{BINARIES}:{os.environ['PATH']}", "HOME": str(folder)}
    environment["KUBECONFIG"] = ".kcp/data/admin.kubeconfig"
    shell = ("bash", "-c", patient(command))
    done = subprocess.run(
        shell, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False, timeout=2 * PATIENCE
    )
    assert done.returncode == 0, command
    return done.stdout


def test_the_commands_of_the_page_print_what_is_shown(tmp_path: Path) -> None:
    first = blocks(PAGE, "sh")[0]
    assert shlex.split(first)[:2] == ["kcp", "start"]
    (tmp_path / "contrib").symlink_to(ROOT / "contrib")
    with simulated_clusters(tmp_path, "us-east1", "us-west1", arguments=("--make-pods=false",)) as clusters:
        for cluster, file in zip(clusters, ("us-east1-admin", "us-west1"), strict=True):
            shutil.copy(cluster.kubeconfig, tmp_path / f"{file}.kubeconfig")
        with started(Path(".kcp"), *shlex.split(first)[2:], cwd=tmp_path):
            for command, expected in commands(""):
                if command.startswith(("export ", "kcp simulate-cluster ")):  # which run already
                    continue
                assert columns(run(tmp_path, command)) == columns(expected), command
                if command.startswith("kubectl get"):
                    ((listing, shown),) = commands("text")
                    assert run(tmp_path, listing).split("\n")[0].split() == shown.split("\n")[0].split()
            (sources,) = (text for text in blocks(SYNCER_PAGE, "sh") if text.startswith("kubectl get namespaces"))
            assert "SOURCE" in run(tmp_path, f"{sources.strip()} --kubeconfig us-east1-admin.kubeconfig")


def test_the_other_commands_that_start_a_server_are_right() -> None:
    others = [line for text in blocks(PAGE, "sh")[1:] for line in text.splitlines() if line.startswith("kcp start")]
    assert len(others) == 1
    for line in others:
        choices = start.make_context("start", shlex.split(line)[2:]).params
        assert (choices["pull_mode"], choices["with_cluster_controller"]) == (True, True)


def test_the_page_explains_each_reason() -> None:
    text = PAGE.read_text()
    good = {Reason.SYNCER_READY, Reason.HEARTBEAT_SEEN, Reason.REGISTERED_ONCE, Reason.APIS_IMPORTED}
    assert [each for each in Reason if each not in good and f"`{each}`" not in text] == []
    assert [each for each in ConditionType if f"`{each}`" not in text] == []
