"""Flags that several commands share: which API server a command reads from or writes to, and how long it waits."""

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


waiting_flag: Final = flags.group("Waiting")
"""Adds a flag of those about waiting."""


def timeout_flag(default: str) -> Callable[[Command], Command]:
    """Return a decorator that adds ``--timeout``, the longest wait, with a default (a duration)."""
    return waiting_flag(
        "--timeout",
        default=default,
        type=flags.DurationType(),
        metavar="DURATION",
        help="How long to wait at most; 0s is for ever.",
    )
