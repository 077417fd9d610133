"""``kcp deployment-splitter``: the splitter as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kcp.cli import flags
from kcp.cli.cluster_flags import kubeconfig_flags

if TYPE_CHECKING:
    from kcp.client import ClientConfiguration

_FAILED: Final = 2
_LOG_FORMATS: Final = ("text", "json")

_splitting = flags.group("Splitting")
_logging = flags.group("Logging")


@click.command("deployment-splitter", cls=flags.GroupedCommand, short_help="Split workloads over clusters.")
@kubeconfig_flags("Server", "the kcp server")
@_splitting(
    "--split-by",
    default="equal",
    metavar="RULE",
    help="Weights of clusters: equal, label:<key> (a number in a label of the Cluster) or allocatable:<resource>. The annotation "
    "workload.kcp.io/split-by of an object goes before this.",
)
@_splitting(
    "--minimum-per-cluster",
    default=0,
    type=click.IntRange(0, 1_000_000),
    metavar="N",
    help="Copies that each cluster gets before the others are spread by weight, while there are enough. The annotation "
    "workload.kcp.io/minimum-per-cluster of an object goes before this.",
)
@_splitting(
    "--leader-elect",
    default=True,
    **flags.SWITCH,
    help="Split only while this process holds the Lease kube-system/deployment-splitter: several may run. [default: true]",
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
def deployment_splitter(
    kubeconfig: Path | None,
    context: str,
    split_by: str,
    minimum_per_cluster: int,
    leader_elect: bool,
    verbosity: int,
    log_format: str,
) -> None:
    """Split Deployments, StatefulSets, ReplicaSets and Jobs over the clusters that are registered in their logical cluster.

    Each gets a leaf for each cluster, with a part of its copies, and the sum of their statuses. DaemonSets and CronJobs are
    placed on one cluster. Runs until SIGTERM or SIGINT. The exit code is 2 if at the start the server cannot be reached, refuses
    the user or is not a kcp server; after later failures the command tries again.
    """
    from kcp.cli import log_formats
    from kcp.cli.server_checks import check_kcp_server
    from kcp.client import ClientError, load_configuration
    from kcp.multicluster.splitter import InvalidPolicyError, Policy, check_split_by

    log_formats.set_up(log_format, verbosity)
    try:
        policy = Policy(check_split_by(split_by), minimum_per_cluster)
    except InvalidPolicyError as error:
        raise click.UsageError(f"--split-by: {error}") from None
    try:
        configuration = load_configuration(kubeconfig, context=context)
        asyncio.run(check_kcp_server(configuration))
    except ClientError as error:
        click.echo(f"kcp: {error}", err=True)
        sys.exit(_FAILED)
    import uvloop

    uvloop.run(_run_until_signalled(configuration, policy=policy, leader_elect=leader_elect))


async def _run_until_signalled(configuration: ClientConfiguration, **choices: Any) -> None:
    from kcp.multicluster import splitter

    task = asyncio.ensure_future(splitter.run(configuration, **choices))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
