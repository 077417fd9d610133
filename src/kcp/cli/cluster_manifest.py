"""``kcp cluster manifest`` and ``kcp cluster syncer-kubeconfig``: what runs a syncer that the cluster controller does not run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kcp.cli import flags
from kcp.cli.cluster_commands import run, server, server_flags
from kcp.cli.syncer_addresses import warn_of_loopback

if TYPE_CHECKING:
    from kcp.client import Client
    from kcp.multicluster.clusters.manifest_printing import Access

_syncer = flags.group("Syncer")


def _access_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags of `_opened`."""
    url = _syncer(
        "--syncer-server-url",
        default="",
        metavar="URL",
        show_default=False,
        help="Address of the kcp server for the syncer. [default: that of --kcp-kubeconfig]",
    )
    lifetime = _syncer(
        "--token-lifetime",
        default="365d",
        type=flags.DurationType(),
        metavar="DURATION",
        help="How long its token is valid.",
    )
    return server_flags(url(lifetime(command)))


@click.command(cls=flags.GroupedCommand, short_help="Print what runs a cluster's syncer there.")
@_access_flags
@_syncer("--syncer-image", required=True, metavar="IMAGE", show_default=False, help="Image of the syncer.")
@click.argument("name")
def manifest(name: str, syncer_image: str, **choices: Any) -> None:
    """Print what runs the syncer of Cluster NAME in its Kubernetes cluster, for kubectl apply.

    For a cluster controller that neither runs syncers nor installs them. The manifest holds a token of a service account that
    may touch only what is assigned to the cluster.
    """
    from kcp.multicluster.clusters.manifest_printing import manifest_of

    async def work() -> None:
        async with _opened(**choices) as (client, access):
            warn_of_loopback(access.upstream.server)
            click.echo(await manifest_of(client, name, syncer_image, access), nl=False)

    run(work())


@click.command("syncer-kubeconfig", cls=flags.GroupedCommand, short_help="Print a kubeconfig for a cluster's syncer.")
@_access_flags
@click.argument("name")
def syncer_kubeconfig(name: str, **choices: Any) -> None:
    """Print a kubeconfig of this logical cluster for the syncer of Cluster NAME: kcp syncer --from-kubeconfig.

    It holds a token of a service account that may touch only what is assigned to the cluster.
    """
    from kcp.multicluster.clusters.manifest_printing import syncer_kubeconfig_of

    async def work() -> None:
        async with _opened(**choices) as (client, access):
            click.echo(await syncer_kubeconfig_of(client, name, access), nl=False)

    run(work())


@asynccontextmanager
async def _opened(
    *, kcp_kubeconfig: Path | None, kcp_context: str, syncer_server_url: str, token_lifetime: float
) -> AsyncIterator[tuple[Client, Access]]:
    """Open a client of the logical cluster, with how its syncers get there. Raises ClientError."""
    from kcp.client import load_configuration
    from kcp.logical_clusters import UNNAMED, path_of
    from kcp.multicluster.clusters import upstream_of
    from kcp.multicluster.clusters.manifest_printing import Access

    upstream = upstream_of(load_configuration(kcp_kubeconfig, context=kcp_context), syncer_server_url)
    async with server(kcp_kubeconfig, kcp_context) as client:
        path = "" if client.cluster == UNNAMED else path_of(client.cluster)
        yield client, Access(upstream._replace(server=upstream.server + path), int(token_lifetime))
