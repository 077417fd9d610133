"""``kcp syncer``: the syncer of one Cluster as a process of its own."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

import click

from kcp.cli import flags
from kcp.cli.cluster_flags import kubeconfig_flags
from kcp.cli.controller_processes import fail, log_flags, run_process, run_until_signalled

if TYPE_CHECKING:
    from kcp.multicluster.syncer.running import SyncerProcess

_REPLACED: Final = 3

_cluster = flags.group("Cluster")
_syncing = flags.group("Syncing")
_monitoring = flags.group("Monitoring")


@click.command("syncer", cls=flags.GroupedCommand, short_help="Mirror the objects of a Cluster to it.")
@kubeconfig_flags("The kcp server", "the kcp server; its context chooses the logical cluster", "from-", default="")
@kubeconfig_flags("The cluster", "the cluster", "to-", default="the service account of the Pod, or as for kubectl")
@_cluster("--cluster", required=True, metavar="NAME", help="Name of the Cluster in the logical cluster.")
@_cluster(
    "--cluster-uid",
    default="",
    metavar="UID",
    show_default=False,
    help="UID of the Cluster: the syncer of a Cluster that was created again refuses to start. [default: the present one]",
)
@_cluster(
    "--token-secret",
    default="",
    metavar="NAMESPACE/NAME",
    show_default=False,
    help='Secret in the cluster from which the token file of --from-kubeconfig is mounted: its key "token" is renewed when '
    "two thirds of the token's lifetime are over.",
)
@_syncing(
    "--resources",
    default=(),
    type=flags.Words(),
    metavar="LIST",
    show_default=False,
    help="Resources such as deployments.apps,services to sync also without negotiation. "
    "[default: those with a compatible, available APIResourceImport of the Cluster]",
)
@_syncing("--workers", default=8, type=click.IntRange(1, 64), metavar="N", help="Objects that are synced at a time.")
@_syncing(
    "--heartbeat-interval",
    default="20s",
    type=flags.DurationType(),
    metavar="DURATION",
    help="Time between two writes of the Cluster's status.",
)
@_syncing(
    "--discovery-interval",
    default="5m",
    type=flags.DurationType(),
    metavar="DURATION",
    help="Time after which the resources of both servers are discovered again, if nothing else shows a change.",
)
@_syncing(
    "--namespace-clean-delay",
    default="30s",
    type=flags.DurationType(),
    metavar="DURATION",
    help="Time after which a namespace without copies is removed from the cluster.",
)
@_monitoring(
    "--listen",
    default="",
    metavar="HOST:PORT",
    show_default=False,
    help="Address of /metrics, /readyz and /livez over plain HTTP. [default: not served]",
)
@log_flags("Monitoring")
def syncer(cluster: str, cluster_uid: str, verbosity: int, log_format: str, **choices: Any) -> None:
    """Mirror the objects that are assigned to a Cluster down to it, and their status up.

    An object is assigned by the label "kcp.io/cluster: NAME". Runs until SIGTERM or SIGINT; copies stay in the cluster
    then. The exit code is 2 if at the start a server cannot be reached or refuses the user, or the cluster is not the
    registered one, and 3 if the Cluster does not exist, is being deleted, or is not the one of --cluster-uid. After other
    failures the command tries again.
    """
    from kcp.cli import log_formats
    from kcp.cli.server_checks import check_is_cluster, check_servers
    from kcp.client import ClientError, load_configuration
    from kcp.multicluster.syncer import SyncerSettings
    from kcp.multicluster.syncer.running import SyncerProcess

    if choices["from_kubeconfig"] is None:
        raise click.UsageError("--from-kubeconfig is missing: the file of the kcp server")
    address, secret = _address(choices["listen"]), _secret(choices["token_secret"])
    for name in ("heartbeat_interval", "discovery_interval"):
        if choices[name] <= 0:
            raise click.UsageError(f"--{name.replace('_', '-')} must be longer than 0 s")
    log_formats.set_up(log_format, verbosity)
    try:
        upstream = load_configuration(choices["from_kubeconfig"], context=choices["from_context"])
        downstream = load_configuration(choices["to_kubeconfig"], context=choices["to_context"])
        asyncio.run(check_servers(upstream, downstream, flags=("--from-kubeconfig", "--to-kubeconfig")))
        asyncio.run(check_is_cluster(upstream, downstream, cluster))
    except ClientError as error:
        fail(error)
    settings = SyncerSettings(
        resources=choices["resources"],
        workers=choices["workers"],
        heartbeat_interval=choices["heartbeat_interval"],
        discovery_interval=choices["discovery_interval"],
        clean_delay=choices["namespace_clean_delay"],
    )
    process = SyncerProcess(upstream, downstream, cluster, cluster_uid, settings, secret)
    run_process(_serve_and_run(process, address))


def _address(text: str) -> tuple[str, int] | None:
    """Return host and port of an address; None for an empty text."""
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise click.UsageError(f'--listen "{text}" is not HOST:PORT, such as 127.0.0.1:8080')
    return host.removeprefix("[").removesuffix("]"), int(port)


def _secret(text: str) -> tuple[str, str] | None:
    """Return namespace and name of a Secret; None for an empty text."""
    if not text:
        return None
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise click.UsageError(f'--token-secret "{text}" is not NAMESPACE/NAME')
    return namespace, name


async def _serve_and_run(process: SyncerProcess, address: tuple[str, int] | None) -> None:
    from contextlib import AsyncExitStack

    from kcp.client import ConfigurationError
    from kcp.multicluster.syncer import IdentityError
    from kcp.multicluster.syncer.running import monitoring

    async with AsyncExitStack() as stack:
        if address is not None:
            listener = monitoring(*address, lambda: process.is_ready, process.metrics.text)
            try:
                host, port = await stack.enter_async_context(listener)
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
                fail(ConfigurationError(f"--listen: cannot listen on {address[0]}:{address[1]}: {reason}"))
            shown = f"[{host}]" if ":" in host else host
            click.echo(f"kcp: metrics and health at http://{shown}:{port}", err=True)
        try:
            await run_until_signalled(process.run())
        except IdentityError as error:
            fail(error, _REPLACED)
