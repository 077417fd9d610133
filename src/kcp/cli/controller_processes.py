"""What commands that run a controller as a process share: flags of logs, the check of the server, and the end by a signal."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from kcp.cli import flags

if TYPE_CHECKING:
    from kcp.client import ClientConfiguration

FAILED: Final = 2
"""The exit code of a start that a server or a kubeconfig prevents."""
_TLS_BUFFER: Final = 192 << 10
"""Bytes. uvloop has a buffer of 256 KB for each TLS connection, of which a watch uses little. If the buffer is mapped by itself,
and is not a part of the heap that was in use before, the rest takes no memory."""
_LOG_FORMATS: Final = ("text", "json")

Command = Callable[..., Any]


def leader_election_flag(heading: str, lease: str, doing: str) -> Callable[[Command], Command]:
    """Return a decorator that adds ``--leader-elect``. ``doing`` says what only the holder of the Lease does."""
    return flags.group(heading)(
        "--leader-elect",
        default=True,
        **flags.SWITCH,
        help=f"{doing} only while this process holds the Lease kube-system/{lease}: several may run. [default: true]",
    )


def log_flags(heading: str = "Logging") -> Callable[[Command], Command]:
    """Return a decorator that adds ``-v`` (``verbosity``) and ``--log-format``, under a heading."""
    group = flags.group(heading)
    level = group(
        "-v",
        "--v",
        "verbosity",
        default=0,
        type=click.IntRange(min=0),
        metavar="LEVEL",
        help="Log level: 4 adds debug output.",
    )
    form = group(
        "--log-format", default="text", type=click.Choice(_LOG_FORMATS), help="Format of the log lines on stderr."
    )
    return lambda command: level(form(command))


def configuration_of_kcp(kubeconfig: Path | None, context: str) -> ClientConfiguration:
    """Return how a kcp server is reached, which has been checked; end with `FAILED` where it cannot be used."""
    from kcp.cli.server_checks import check_kcp_server
    from kcp.client import ClientError, load_configuration

    try:
        configuration = load_configuration(kubeconfig, context=context)
        asyncio.run(check_kcp_server(configuration))
    except ClientError as error:
        fail(error)
    return configuration


def fail(error: Exception, code: int = FAILED) -> NoReturn:
    """End the process with a message."""
    click.echo(f"kcp: {error}", err=True)
    sys.exit(code)


def run_process(running: Coroutine[Any, Any, None]) -> None:
    """Run a controller in this process, which does nothing else. Raises as the controller."""
    import uvloop

    from kcp.server.process import allocator
    from kcp.server.process.open_files import allow_many_files

    allow_many_files()
    allocator.use_one_arena()
    allocator.return_large_allocations(_TLS_BUFFER)
    uvloop.run(_run_alone(running))


async def _run_alone(running: Coroutine[Any, Any, None]) -> None:
    """Run a controller with the memory management of a process that runs for long."""
    from kcp.server.process.cyclic_garbage import CyclicGarbage
    from kcp.server.process.free_pages import return_free_pages_after_work

    background = [asyncio.create_task(each) for each in (CyclicGarbage().run(), return_free_pages_after_work())]
    try:
        await running
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


async def run_until_signalled(running: Coroutine[Any, Any, None]) -> None:
    """Run a controller until it ends, or SIGTERM or SIGINT cancels it. Raises as the controller."""
    task = asyncio.ensure_future(running)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
