"""The commands of ``kcp``: all of them, and how to run one in the process of the tests.

That takes a hundredth of the time of a process: for the many cases of a rule, while `tests.support.kcp_process` is for what only
a process shows, such as its end, its signals and its output while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner, Result

from kcp.cli.main import main


async def kcp(*words: str | Path) -> Result:
    """Run a command in a thread: commands run event loops too."""
    return await asyncio.to_thread(CliRunner().invoke, main, list(map(str, words)))


def call(*words: str, cwd: Path | None = None, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. What it sets for its own process is as before afterwards; a fault of it is raised."""
    threshold, loggers = gc.get_threshold(), [logging.getLogger(), logging.getLogger("kcp")]
    logs = [(each, each.handlers[:], each.level) for each in loggers]
    try:
        with contextlib.chdir(cwd) if cwd is not None else contextlib.nullcontext():
            done = CliRunner().invoke(main, list(words), input=stdin, prog_name="kcp")
    finally:
        gc.set_threshold(*threshold)
        for logger, handlers, level in logs:
            logger.handlers[:] = handlers
            logger.setLevel(level)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def every_command(command: click.Command, path: str = "kcp") -> Iterator[tuple[str, click.Command]]:
    """A command and those below it, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, f"{path} {name}"
            yield from every_command(below, f"{path} {name}")
