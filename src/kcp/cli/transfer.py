"""``kcp store export`` and ``import``: move everything, or one logical cluster, between logs of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from kcp import logical_clusters
from kcp.cli import flags
from kcp.cli.store_options import backend_of, errors_end, storage_flags
from kcp.logical_clusters import LogicalClusterName

_FILE: Final = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_transfer = flags.group("Transfer")


def _name(_context: click.Context, _parameter: click.Parameter, text: str | None) -> LogicalClusterName:
    """Parse ``--logical-cluster``; without it, all of them. Raises BadParameter for a name that no request can use."""
    if text is None:
        return logical_clusters.WILDCARD
    if text == logical_clusters.WILDCARD:
        raise click.BadParameter("* stands for all; leave the flag out")
    try:
        return logical_clusters.parse_name(text)
    except logical_clusters.InvalidNameError as error:
        raise click.BadParameter(str(error)) from error


@click.command(cls=flags.GroupedCommand, short_help="Write the content of a log to a file.")
@_transfer(
    "--logical-cluster", metavar="NAME", callback=_name, help="Only this logical cluster. [default: all of them]"
)
@storage_flags
@_FILE
def export(file: Path, logical_cluster: LogicalClusterName, **choices: Any) -> None:
    """Write a log's state at one revision to FILE, gzipped if its name ends in .gz. Servers may keep running."""
    with errors_end():
        summary = backend_of(choices).export_log(file, logical_cluster)
    click.echo(
        f"exported {summary.entries} objects of {len(summary.logical_clusters)} logical clusters at revision "
        f"{summary.header.revision} to {file}"
    )


@click.command("import", cls=flags.GroupedCommand, short_help="Write the content of a file into a log.")
@_transfer(
    "--logical-cluster",
    metavar="NAME",
    callback=_name,
    help="From a file with all logical clusters, import only this one; from a file with a single one, import it under this name.",
)
@_transfer(
    "--replace",
    is_flag=True,
    help="Replace everything that the target (the logical cluster, or all of them) holds. Otherwise no key may exist yet.",
)
@storage_flags
@_FILE
def import_(file: Path, logical_cluster: LogicalClusterName, replace: bool, **choices: Any) -> None:
    """Write the content of FILE into a log: of a stopped server, or into etcd while servers run.

    Objects keep their UIDs and times; their resource versions are new, and higher than those of either log. Clients that watched
    are told to list again.
    """
    with errors_end():
        from kcp.store.transfers import select

        selection = select(file, logical_cluster, replace=replace)
        done = backend_of(choices).import_log(file, selection)
    click.echo(
        f"imported {done.written} objects; {done.unchanged} were there, {done.deleted} deleted, {done.expired} had expired; "
        f"revision {done.revision}"
    )
