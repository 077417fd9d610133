"""What the commands of ``kcp cluster`` share: the flags of the kcp server, its client, and the report of failures."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from kcp.cli.cluster_flags import kubeconfig_flags
from kcp.cli.progress import Progress, printable

if TYPE_CHECKING:
    from kcp.client import Client

FAILED: Final = 1
"""The exit code of a command that the server refuses, or that waits in vain."""
_UNREACHABLE: Final = 2
_INTERRUPTED: Final = 130
"""The exit code of a program that SIGINT ended."""

T = TypeVar("T")

server_flags: Final = kubeconfig_flags(
    "The kcp server", "the kcp server; its context chooses the logical cluster", "kcp-"
)
"""Adds ``--kcp-kubeconfig`` and ``--kcp-context``."""


class CommandError(Exception):
    """A command failed. The message is for its user."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; report a failure, and end the process with its exit code."""
    from kcp.client import ClientError, NotFoundError, StatusError

    try:
        return asyncio.run(work)
    except NotFoundError as error:
        missing = "no clusters are registered in this logical cluster" if error.details is None else str(error)
        click.echo(f"kcp: {printable(missing)}", err=True)
        sys.exit(FAILED)
    except (CommandError, StatusError) as error:
        click.echo(f"kcp: {printable(str(error))}", err=True)
        sys.exit(FAILED)
    except ClientError as error:
        click.echo(f"kcp: {printable(str(error))}", err=True)
        sys.exit(_UNREACHABLE)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


@asynccontextmanager
async def server(kcp_kubeconfig: Path | None, kcp_context: str) -> AsyncIterator[Client]:
    """Open a client of the logical cluster. Raises ClientError, also where the server is not kcp or cannot be reached."""
    from kcp.cli.server_checks import check_version_of_kcp
    from kcp.client import Client, TransportError, load_configuration

    configuration = load_configuration(kcp_kubeconfig, context=kcp_context)
    try:
        await check_version_of_kcp(configuration)
    except TransportError as error:
        raise TransportError(
            f"{error}: is kcp running there? (--kcp-kubeconfig or KUBECONFIG names its kubeconfig)"
        ) from error
    async with Client(configuration) as client:
        yield client


async def until(timeout: float, work: Callable[[Progress], Coroutine[Any, Any, None]], name: str, what: str) -> None:
    """Wait for work on the Cluster ``name`` that shows its progress.

    Raises CommandError with the last progress when the time is over; ``what`` is what has not happened.
    """
    progress = Progress(f"{name}: ")
    try:
        async with asyncio.timeout(timeout or None):
            await work(progress)
    except TimeoutError:
        last = f": {progress.last}" if progress.last else ""
        raise CommandError(f"{name} {what} within {timeout:g} s{last}") from None
    finally:
        progress.done()
