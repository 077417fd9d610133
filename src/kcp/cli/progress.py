"""Progress of a command that waits: one line that is rewritten on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import shutil
import sys
from typing import Final

import click

_ERASE: Final = "\r\x1b[2K"


def printable(message: str) -> str:
    """Return a message with its control characters escaped, which a server could send to the terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in message)


class Progress:
    """Shows what a command waits for on standard error, until `done`."""

    def __init__(self, prefix: str = "") -> None:
        """``prefix`` comes before each message."""
        self._terminal = sys.stderr.isatty()
        self._prefix = prefix
        self.last = ""
        """The message that is shown, without the prefix."""

    def show(self, message: str) -> None:
        """Show a message in place of the last one."""
        message = printable(message)
        if message == self.last:
            return
        self.last = message
        message = printable(self._prefix) + message
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            click.echo(_ERASE + message[:width], nl=False, err=True)
        else:
            click.echo(message, err=True)

    def done(self) -> None:
        """Erase the last message from a terminal."""
        if self._terminal and self.last:
            click.echo(_ERASE, nl=False, err=True)
