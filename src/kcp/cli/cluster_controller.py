"""``kcp cluster-controller``: the cluster controller as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kcp.cli import flags
from kcp.cli.api_negotiation import AUTO_PUBLISH_HELP
from kcp.cli.cluster_controller_flags import controller_flags, options_of, take_controller_choices
from kcp.cli.cluster_flags import kubeconfig_flags

if TYPE_CHECKING:
    from kcp.client import ClientConfiguration
    from kcp.multicluster.clusters import Options

_FAILED: Final = 2
_LOG_FORMATS: Final = ("text", "json")

_clusters = flags.group("Clusters")
_logging = flags.group("Logging")


@click.command("cluster-controller", cls=flags.GroupedCommand, short_help="Connect clusters to logical clusters.")
@kubeconfig_flags("Server", "the kcp server")
@controller_flags("Clusters")
@_clusters("--auto-publish-apis", is_flag=True, show_default=False, help=AUTO_PUBLISH_HELP)
@_clusters(
    "--leader-elect",
    default=True,
    **flags.SWITCH,
    help="Work only while this process holds the Lease kube-system/cluster-controller: several may run. [default: true]",
)
@_logging(
    "-v",
    "--v",
    "verbosity",
    default=0,
    type=click.IntRange(min=0),
    metavar="LEVEL",
    help="Log level: 4 adds debug output.",
)
@_logging("--log-format", default="text", type=click.Choice(_LOG_FORMATS), help="Format of the log lines on stderr.")
def cluster_controller(kubeconfig: Path | None, context: str, verbosity: int, log_format: str, **choices: Any) -> None:
    """Connect the Clusters of all logical clusters of a kcp server, and negotiate their APIs.

    For each Cluster, this imports the APIs of its Kubernetes cluster, runs the syncer (--push-mode), installs it there
    (--pull-mode) or leaves it to others (kcp cluster manifest), and keeps its conditions. Runs until SIGTERM or SIGINT. The
    exit code is 2 if at the start the server cannot be reached, refuses the user or is not a kcp server; after later failures
    the command tries again. "kcp start --with-cluster-controller" runs the same inside the server.
    """
    taken = take_controller_choices(choices)
    from kcp.cli import log_formats
    from kcp.cli.server_checks import check_kcp_server
    from kcp.client import ClientError, load_configuration

    log_formats.set_up(log_format, verbosity)
    try:
        configuration = load_configuration(kubeconfig, context=context)
        options = options_of(
            taken,
            configuration,
            auto_publish=choices["auto_publish_apis"],
            leader_elect=choices["leader_elect"],
        )
        asyncio.run(check_kcp_server(configuration))
    except ClientError as error:
        click.echo(f"kcp: {error}", err=True)
        sys.exit(_FAILED)
    import uvloop

    uvloop.run(_run_until_signalled(configuration, options))


async def _run_until_signalled(configuration: ClientConfiguration, options: Options) -> None:
    from kcp.multicluster import clusters

    task = asyncio.ensure_future(clusters.run(configuration, options))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
