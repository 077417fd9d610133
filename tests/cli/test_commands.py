"""The command line beside ``kcp start``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kcp import __version__
from kcp.cli.main import main
from kcp.cli.start import start
from tests.support.commands import call, every_command
from tests.support.kcp_process import run
from tests.support.waiting import PATIENCE


def test_the_version() -> None:
    assert run("--version").stdout == f"kcp {__version__}\n"


def test_an_interrupt_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kcp.cli.main.import_module", interrupted)
    done = CliRunner().invoke(main, ["compat", "old.yaml", "new.yaml"])
    assert (done.exit_code, done.output) == (130, "")


def test_help_names_every_command() -> None:
    shown = run("--help").stdout
    assert "start" in shown
    assert "completion" in shown
    assert "compat" in shown


def test_the_help_of_start_explains_every_flag_in_groups() -> None:
    shown = call("start", "--help").stdout
    for heading in ("Serving:", "Storage:", "Authentication:", "Limits:", "Logging:"):
        assert f"\n{heading}\n" in shown
    for flag in ("--bind-address", "--secure-port", "--root-directory", "--tls-cert-file", "--client-ca-file"):
        assert flag in shown
    for flag in (
        "--token-auth-file",
        "--anonymous-auth",
        "--durability",
        "--max-requests-inflight",
        "--enable-priority-and-fairness",
        "--log-format",
        "-v",
    ):
        assert flag in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_kcp(shell: str) -> None:
    done = call("completion", shell)
    assert done.returncode == 0, done.stderr
    assert "_KCP_COMPLETE" in done.stdout


def test_defaults_of_durations_and_numbers_are_shown_as_they_are_given() -> None:
    shown = " ".join(call("start", "--help").stdout.split())
    assert (
        "--audit-webhook-batch-max-wait DURATION How long events wait for others in the mode batch. [default: 30s]"
        in shown
    )
    assert "--audit-log-maxsize N " in shown
    assert "INTEGER RANGE" not in shown


def test_every_flag_of_every_command_says_what_it_is_for() -> None:
    for path, command in every_command(main):
        assert command.help, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{path} {parameter.opts}"
                assert len(parameter.help) > 15, f"{path} {parameter.opts}"
    shown = "".join(call("start", "--help").stdout.split())
    for parameter in start.params:
        for name in parameter.opts:
            assert name in shown
        assert isinstance(parameter, click.Option)
        assert "".join((parameter.help or "").split()) in shown


@pytest.mark.parametrize("group", [(), ("store",), ("snapshot",), ("cluster",)])
def test_the_help_of_a_group_says_of_each_command_what_it_does(group: tuple[str, ...]) -> None:
    commands = call(*group, "--help").stdout.partition("Commands:\n")[2]
    assert commands
    assert "..." not in commands, "no description is cut off"


@pytest.mark.parametrize("command", [("crd-puller",), ("store", "check"), ("snapshot", "save"), ("compat",)])
def test_the_help_of_a_command_lists_nothing_without_a_description(command: tuple[str, ...]) -> None:
    shown = call(*command, "--help").stdout
    assert 'default: ""' not in shown
    listed = [line.split(None, 1) for line in shown.partition("Other:")[2].splitlines() if line.strip()]
    assert listed == [["-h,", "--help  Show this message and exit."]]


COMPLETE = """
PATH="$1:$PATH"
source <(kcp completion bash)
COMP_WORDS=($2) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
[[ $2 == *" " ]] && COMP_WORDS+=("") COMP_CWORD=$((COMP_CWORD + 1))
spec=$(complete -p kcp)
function_name=${spec##*-F }
${function_name% kcp} kcp
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("kcp ", {"start", "snapshot", "completion"}),
        ("kcp sta", {"start"}),
        ("kcp start --sec", {"--secure-port"}),
        ("kcp start --max-q", {"--max-queued-requests", "--max-queued-requests-per-user", "--max-queue-wait"}),
        ("kcp start --durability ", {"full", "relaxed"}),
        ("kcp snapshot ", {"save", "restore", "info"}),
        ("kcp completion f", {"fish"}),
    ],
)
def test_bash_completes(tmp_path: Path, typed: str, offered: set[str]) -> None:
    command = tmp_path / "kcp"
    command.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from kcp.cli.main import main; main(prog_name=\'kcp\')" "$@"\n'
    )
    command.chmod(0o755)
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", str(tmp_path), typed], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    found = set(done.stdout.split())
    assert offered <= found, found
    if not typed.endswith(" "):
        assert found == offered


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
    done = call(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_output_that_cannot_be_written_is_an_error_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "kcp", "completion", "bash"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (1, "kcp: cannot write: No space left on device\n")
