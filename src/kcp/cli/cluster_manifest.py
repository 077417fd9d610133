"""``kcp cluster manifest``: what runs a syncer in a Kubernetes cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kcp.cli import flags
from kcp.cli.cluster_commands import run, server, server_flags

_syncer = flags.group("Syncer")


@click.command(cls=flags.GroupedCommand, short_help="Print what runs a cluster's syncer there.")
@server_flags
@_syncer("--syncer-image", required=True, metavar="IMAGE", show_default=False, help="Image of the syncer.")
@_syncer(
    "--syncer-server-url",
    default="",
    metavar="URL",
    show_default=False,
    help="Address of the kcp server for the syncer. [default: that of --kcp-kubeconfig]",
)
@_syncer(
    "--token-lifetime",
    default="365d",
    type=flags.DurationType(),
    metavar="DURATION",
    help="How long its token is valid.",
)
@click.argument("name")
def manifest(name: str, **choices: Any) -> None:
    """Print what runs the syncer of Cluster NAME in its Kubernetes cluster, for kubectl apply.

    For a cluster controller that neither runs syncers nor installs them. The manifest holds a token of a service account that
    may touch only what is assigned to the cluster.
    """
    run(_print(name, **choices))


async def _print(
    name: str,
    *,
    kcp_kubeconfig: Path | None,
    kcp_context: str,
    syncer_image: str,
    syncer_server_url: str,
    token_lifetime: float,
) -> None:
    from kcp.client import load_configuration
    from kcp.logical_clusters import UNNAMED, path_of
    from kcp.multicluster.clusters import upstream_of
    from kcp.multicluster.clusters.manifest_printing import manifest_of

    upstream = upstream_of(load_configuration(kcp_kubeconfig, context=kcp_context), syncer_server_url)
    async with server(kcp_kubeconfig, kcp_context) as client:
        path = "" if client.cluster == UNNAMED else path_of(client.cluster)
        upstream = upstream._replace(server=upstream.server + path)
        click.echo(await manifest_of(client, name, syncer_image, upstream, int(token_lifetime)), nl=False)
