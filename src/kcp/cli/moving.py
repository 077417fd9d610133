"""``kcp store export`` and ``import``: move everything, or one logical cluster, between stores of any kind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import click

from kcp import logical_clusters
from kcp.cli import flags
from kcp.cli.places import (
    etcd_options,
    existing_log_file,
    new_log_file,
    place_flags,
    place_of,
    refusals,
)
from kcp.logical_clusters import LogicalClusterName

_FILE: Final = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_moving = flags.group("Moving")


def _name(_context: click.Context, _parameter: click.Parameter, text: str | None) -> LogicalClusterName | None:
    """Read ``--logical-cluster``. Raises BadParameter for a name that no request can use."""
    if text is None:
        return None
    if text == logical_clusters.WILDCARD:
        raise click.BadParameter("* stands for all; leave the flag out")
    try:
        return logical_clusters.parse_name(text)
    except logical_clusters.InvalidNameError as error:
        raise click.BadParameter(str(error)) from error


@click.command(cls=flags.GroupedCommand)
@_moving("--logical-cluster", metavar="NAME", callback=_name, help="Only this logical cluster. [default: all of them]")
@place_flags
@_FILE
def export(file: Path, logical_cluster: LogicalClusterName | None, **choices: Any) -> None:
    """Write what a log holds at one revision to FILE, gzipped when its name ends in .gz. Servers go on as usual."""
    with refusals():
        configuration = place_of(choices)
        if configuration.etcd_servers:
            from kcp.store.etcd.moving import export_log

            summary = asyncio.run(export_log(etcd_options(configuration), file, logical_cluster))
        else:
            from kcp.store import moving

            summary = moving.export_log(existing_log_file(configuration), file, logical_cluster)
    click.echo(
        f"exported {summary.entries} objects of {len(summary.logical_clusters)} logical clusters at revision "
        f"{summary.header.revision} to {file}"
    )


@click.command("import", cls=flags.GroupedCommand)
@_moving(
    "--logical-cluster",
    metavar="NAME",
    callback=_name,
    help="Of a file with all logical clusters, only this one; the one of a file that holds one, under this name.",
)
@_moving(
    "--replace",
    is_flag=True,
    help="Replace all that the target (the logical cluster, or all of them) holds; otherwise, nothing may be there yet.",
)
@place_flags
@_FILE
def import_(file: Path, logical_cluster: LogicalClusterName | None, replace: bool, **choices: Any) -> None:
    """Write what FILE holds into a log: of a stopped server, or into etcd while servers run.

    Objects keep their UIDs and times; their resource versions are new, and larger than those of either log. Clients that watched
    are told to list again.
    """
    with refusals():
        from kcp.store import moving

        configuration = place_of(choices)
        selection = moving.select(file, logical_cluster, replace=replace)
        if configuration.etcd_servers:
            from kcp.store.etcd.moving import import_log

            done = asyncio.run(import_log(etcd_options(configuration), file, selection))
        else:
            done = moving.import_log(new_log_file(configuration), file, selection)
    click.echo(
        f"imported {done.written} objects; {done.unchanged} were there, {done.deleted} deleted, {done.ended} had expired; "
        f"revision {done.revision}"
    )
