"""``kcp cluster list`` and ``kcp cluster describe``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kcp.cli import flags
from kcp.cli.cluster_commands import run, server, server_flags
from kcp.cli.progress import printable

if TYPE_CHECKING:
    from kcp.client import Table
    from kcp.client.objects import Object

_output = flags.group("Output")


@click.command("list", cls=flags.GroupedCommand, short_help="List the clusters.")
@server_flags
@_output("--wide", is_flag=True, help="Print all columns.")
def list_(kcp_kubeconfig: Path | None, kcp_context: str, *, wide: bool) -> None:
    """List the clusters of a logical cluster."""

    async def work() -> None:
        from kcp.client import NotFoundError
        from kcp.multicluster.placement import CLUSTERS

        async with server(kcp_kubeconfig, kcp_context) as client:
            try:
                table = await client.resource(CLUSTERS).table()
            except NotFoundError:  # a logical cluster without the definition of Clusters
                table = None
        if table is None or not table.rows:
            click.echo("No clusters are registered.", err=True)
            return
        for line in _lines(table, wide=wide):
            click.echo(line.rstrip())

    run(work())


def _lines(table: Table, *, wide: bool) -> Iterator[str]:
    """The lines of a table, its columns aligned."""
    shown = [number for number, column in enumerate(table.columns) if wide or column.priority == 0]
    rows = [[table.columns[number].name.upper() for number in shown]]
    rows += [[_cell(row[number]) for number in shown] for row in table.rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(shown))]
    for row in rows:
        yield "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))


def _cell(value: Any) -> str:
    return "<none>" if value in (None, "") else printable(str(value))


@click.command(cls=flags.GroupedCommand, short_help="Show a cluster.")
@server_flags
@click.argument("name")
def describe(name: str, kcp_kubeconfig: Path | None, kcp_context: str) -> None:
    """Show Cluster NAME: where it is, what it has and runs, and its conditions."""

    async def work() -> None:
        from kcp.multicluster.clusters import administration
        from kcp.multicluster.placement import CLUSTERS

        async with server(kcp_kubeconfig, kcp_context) as client:
            found = await client.resource(CLUSTERS).get(name)
            assigned = await administration.assigned_objects(client, name)
        for line in _description(found, len(assigned)):
            click.echo(printable(line))

    run(work())


def _description(found: Object, assigned: int) -> Iterator[str]:
    meta, spec, status = found["metadata"], found.get("spec") or {}, found.get("status") or {}
    labels = ", ".join(f"{key}={value}" for key, value in sorted((meta.get("labels") or {}).items()))
    scheduling = "cordoned" if spec.get("unschedulable") else "enabled"
    if spec.get("evictAfter"):
        scheduling = f"draining since {spec['evictAfter']}"
    fields = {
        "Name": meta["name"],
        "Labels": labels,
        "Location": status.get("location"),
        "Version": status.get("version"),
        "Cluster UID": status.get("physicalClusterUID"),
        "Scheduling": scheduling,
        "Last heartbeat": status.get("lastHeartbeatTime"),
        "Synced resources": ", ".join(status.get("syncedResources") or ()),
        "Capacity": _amounts(status.get("capacity")),
        "Allocatable": _amounts(status.get("allocatable")),
        "Assigned objects": str(assigned),
        "Created": meta.get("creationTimestamp"),
    }
    for title, value in fields.items():
        yield f"{title + ':':<18}{value or '<none>'}"
    yield "Conditions:"
    for each in status.get("conditions") or ():
        message = f": {each['message']}" if each.get("message") else ""
        yield f"  {each['type']}={each['status']} since {each['lastTransitionTime']} ({each['reason']}){message}"


def _amounts(amounts: Any) -> str:
    return ", ".join(f"{resource} {amount}" for resource, amount in sorted((amounts or {}).items()))
