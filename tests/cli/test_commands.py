"""The command line beside ``kcp start``."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from kcp import __version__
from tests.cli.kcp_process import run


def test_the_version() -> None:
    assert run("--version").stdout == f"kcp {__version__}\n"


def test_help_names_every_command() -> None:
    shown = run("--help").stdout
    assert "start" in shown
    assert "completion" in shown


def test_the_help_of_start_explains_every_flag_in_groups() -> None:
    shown = run("start", "--help").stdout
    for heading in ("Serving:", "Storage:", "Authentication:", "Limits:", "Logging:"):
        assert f"\n{heading}\n" in shown
    for flag in ("--bind-address", "--secure-port", "--root-directory", "--tls-cert-file", "--client-ca-file"):
        assert flag in shown
    for flag in (
        "--token-auth-file",
        "--anonymous-auth",
        "--durability",
        "--max-requests-inflight",
        "--log-format",
        "-v",
    ):
        assert flag in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_kcp(shell: str) -> None:
    done = run("completion", shell)
    assert done.returncode == 0, done.stderr
    assert "_KCP_COMPLETE" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_for_bash_is_one() -> None:
    script = run("completion", "bash").stdout
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("completion", "tcsh"), "'tcsh' is not one of"),
        (("stop",), "No such command 'stop'"),
        (("start", "--secure-port", "99999"), "--secure-port"),
        (("start", "--durability", "none"), "--durability"),
        (("start", "--event-ttl", "soon"), "is not a duration"),
        (("start", "--no-such-flag"), "--no-such-flag"),
        (("start", "surplus"), "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_is_wrong(arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
