"""The commands of ``kcp``: all of them, and how to run one in a test that has an event loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner, Result

from kcp.cli.main import main


async def kcp(*words: str | Path) -> Result:
    """Run a command in a thread: commands run event loops too."""
    return await asyncio.to_thread(CliRunner().invoke, main, list(map(str, words)))


def every_command(command: click.Command, path: str = "kcp") -> Iterator[tuple[str, click.Command]]:
    """A command and those below it, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, f"{path} {name}"
            yield from every_command(below, f"{path} {name}")
