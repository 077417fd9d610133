"""The flags that say which API server a command reads from, and which it writes to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from kcp.cli import flags

Command = Callable[..., Any]

_FILE: Final = click.Path(path_type=Path)


def kubeconfig_flags(
    heading: str, of: str, prefix: str = "", *, default: str = "as for kubectl"
) -> Callable[[Command], Command]:
    """Return a decorator that adds ``--<prefix>kubeconfig`` and ``--<prefix>context``, under a heading."""
    group = flags.group(heading)
    shown = f" [default: {default}]" if default else ""

    def decorate(command: Command) -> Command:
        context = group(
            f"--{prefix}context",
            default="",
            metavar="NAME",
            show_default=False,
            help=f"Context of --{prefix}kubeconfig. [default: its current one]",
        )
        kubeconfig = group(f"--{prefix}kubeconfig", metavar="FILE", type=_FILE, help=f"Kubeconfig of {of}.{shown}")
        return kubeconfig(context(command))

    return decorate
