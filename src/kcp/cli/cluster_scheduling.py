"""``kcp cluster cordon``, ``uncordon`` and ``drain``: what may run on a Kubernetes cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from kcp.cli import flags
from kcp.cli.cluster_commands import run, server, server_flags, until
from kcp.cli.cluster_flags import timeout_flag, waiting_flag
from kcp.cli.progress import Progress

if TYPE_CHECKING:
    from kcp.client import Client
    from kcp.multicluster.clusters.administration import Assigned

_INTERVAL: Final = 1.0
"""Seconds between two counts of the objects that a drained cluster still has."""


@click.command(cls=flags.GroupedCommand, short_help="Let a cluster get no new objects.")
@server_flags
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def cordon(names: tuple[str, ...], kcp_kubeconfig: Path | None, kcp_context: str) -> None:
    """Let clusters get no new objects. What is there stays."""
    from kcp.multicluster.clusters import administration

    run(_change(kcp_kubeconfig, kcp_context, names, administration.cordon, "cordoned"))


@click.command(cls=flags.GroupedCommand, short_help="Let a cluster get objects again.")
@server_flags
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def uncordon(names: tuple[str, ...], kcp_kubeconfig: Path | None, kcp_context: str) -> None:
    """Let clusters get objects again that were cordoned or drained."""
    from kcp.multicluster.clusters import administration

    run(_change(kcp_kubeconfig, kcp_context, names, administration.uncordon, "uncordoned"))


@click.command(cls=flags.GroupedCommand, short_help="Move what a cluster runs to other clusters.")
@server_flags
@waiting_flag("--wait", is_flag=True, help="Wait until nothing is assigned to the clusters.")
@timeout_flag("5m")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def drain(names: tuple[str, ...], kcp_kubeconfig: Path | None, kcp_context: str, *, wait: bool, timeout: float) -> None:
    """Move what clusters run to other clusters, and let them get no new objects.

    The splitter moves what it has placed: new copies are ready before the old ones go. Objects that were assigned to a cluster by
    hand stay.
    """
    from kcp.multicluster.clusters import administration

    async def work() -> None:
        await _change(kcp_kubeconfig, kcp_context, names, administration.drain, "draining")
        if wait:
            async with server(kcp_kubeconfig, kcp_context) as client:
                for name in names:
                    await _drained(client, name, timeout)

    run(work())


async def _change(
    kcp_kubeconfig: Path | None,
    kcp_context: str,
    names: tuple[str, ...],
    change: Callable[[Client, str], Awaitable[bool]],
    done: str,
) -> None:
    async with server(kcp_kubeconfig, kcp_context) as client:
        for name in names:
            click.echo(f"{name} {done}" if await change(client, name) else f"{name} already {done}")


async def _drained(client: Client, name: str, timeout: float) -> None:
    from kcp.multicluster.clusters import administration

    async def empty(progress: Progress) -> None:
        while left := await administration.assigned_objects(client, name):
            progress.show(waiting_for(left))
            await asyncio.sleep(_INTERVAL)

    await until(timeout, empty, name, "is not drained")
    click.echo(f"{name} drained")


def waiting_for(left: Sequence[Assigned]) -> str:
    """Return what a drained cluster still has: first of all what its user must move."""
    by_hand = [each.name for each in left if each.by_hand]
    if by_hand:
        return f"assigned by hand, so move or delete it yourself: {_counted(by_hand)}"
    return f"still assigned to it: {_counted([each.name for each in left])}"


def _counted(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} objects, such as {names[0]}"
