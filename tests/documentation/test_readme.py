"""The README and the pages of `docs/` are correct: their commands run with the output shown, and their links resolve.

The two commands of the first screen install; `contrib/check-readme.sh` runs them on a fresh clone.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from kcp import __version__
from kcp.cli.main import main
from kcp.cli.start import start
from kcp.testing import Server
from tests.support.commands import call, every_command
from tests.support.kcp_process import run
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "contrib" / "README.md"]
BINARIES = Path(sys.executable).parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
AGE = re.compile(r"\b\d+s\b")


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in a language; `""` for those without one."""
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


README = PAGES[0]


def test_the_first_screen_has_the_two_commands() -> None:
    installing, testing = blocks(README, "sh")[:2]
    assert README.read_text().index(testing) < 2000
    assert installing.rstrip().endswith("&& .venv/bin/kcp start")
    assert installing.count("\n") == testing.count("\n") == 1
    assert shlex.split(testing)[:3] == ["python3", "-m", "venv"]
    assert ".venv/bin/pytest" in testing


@pytest.mark.parametrize(
    "script", [".ci/run", ".ci/versions", "contrib/check-readme.sh", "contrib/demo/run.sh", "contrib/lock.sh"]
)
def test_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_the_server_prints_what_the_readme_shows(tmp_path: Path) -> None:
    (shown,) = [block for block in blocks(README, "") if "is ready at" in block]
    assert f"kcp {__version__} is ready at https://127.0.0.1:6443" in shown
    command = [BINARIES / "kcp", *shlex.split(blocks(README, "sh")[0])[-1:], "--secure-port", "0"]
    with subprocess.Popen(
        [str(word) for word in command], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        while "export" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert re.sub(r":\d+ ", ":6443 ", said).rstrip() == shown.rstrip()
    assert process.returncode == 0


def test_the_session_with_kubectl_in_the_readme_works(tmp_path: Path) -> None:
    (session,) = [block for block in blocks(README, "") if block.startswith("$ kubectl get ns")]
    commands = re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
    assert len(commands) > 2
    with Server(root_directory=tmp_path) as server:
        environment = {
            "PATH": f"{BINARIES}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "KUBECONFIG": str(server.kubeconfig),
        }
        for each in commands:
            command, _, expected = each.partition("\n")
            done = subprocess.run(shlex.split(command), env=environment, capture_output=True, text=True, check=True)
            assert columns(done.stdout + done.stderr) == columns(expected), command


def test_the_session_with_compat_in_the_readme_works(tmp_path: Path) -> None:
    (session,) = [block for block in blocks(README, "") if block.startswith("$ kcp compat")]
    command, _, expected = session.removeprefix("$ ").partition("\n")
    old = (ROOT / "examples" / "1-first-crd" / "crd.yaml").read_text()
    (tmp_path / "old.yaml").write_text(old)
    (tmp_path / "new.yaml").write_text(old.replace("[small, medium, large]", "[small, medium]"))
    done = run(*shlex.split(command)[1:], cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, expected, "")


def columns(text: str) -> list[list[str]]:
    """The words of a table's lines, without ages."""
    return [AGE.sub("0s", line).split() for line in text.strip().splitlines()]


def test_the_readme_s_python_runs(tmp_path: Path) -> None:
    for text in blocks(README, "python"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().endswith(".kubeconfig")
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_paths_exist(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py|\.yaml|/)?)`", page.read_text()):
        assert (ROOT / path).exists() or list((ROOT / "src" / "kcp").rglob(path.rstrip("/"))), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_flags_that_a_page_names_exist(page: Path) -> None:
    known = {option for _, command in every_command(main) for param in command.params for option in param.opts}
    for line in page.read_text().splitlines():
        if "kcp " in line and not any(other in line for other in ("pip ", "kubectl", "etcdctl", "helm ", "python -m")):
            assert set(FLAG.findall(line)) <= known | {"--help", "--version"}, line


def test_the_architecture_page_names_every_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = {path.parent.name for path in (ROOT / "src" / "kcp").glob("*/__init__.py")}
    assert [name for name in sorted(packages) if f"`{name}/`" not in text] == []


def test_help_explains_every_flag_of_start() -> None:
    shown = call("start", "--help").stdout
    for param in start.params:
        option = max(param.opts, key=len)
        assert option in shown
        assert len(getattr(param, "help", "") or "") > 20, option
        assert (param.help or "")[:20] in " ".join(shown.split()), option


def test_every_command_has_a_help_text() -> None:
    for path, command in every_command(main):
        assert command.help, path
    for name in main.list_commands(click.Context(main)):
        assert call(name, "--help").returncode == 0


def test_the_readme_s_versions_of_python_are_those_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.11"' in project
    versions = re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    assert f"Python {versions[0]} to {versions[-1]}" in README.read_text()
