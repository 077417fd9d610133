"""``kcp deployment-splitter``: the splitter as a process of its own."""

from __future__ import annotations

from pathlib import Path

import click

from kcp.cli import flags
from kcp.cli.cluster_flags import kubeconfig_flags
from kcp.cli.controller_processes import (
    configuration_of_kcp,
    leader_election_flag,
    log_flags,
    run_process,
    run_until_signalled,
)

_splitting = flags.group("Splitting")


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
@leader_election_flag("Splitting", "deployment-splitter", "Split")
@log_flags()
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
    from kcp.multicluster import splitter
    from kcp.multicluster.splitter import InvalidPolicyError, Policy, check_split_by

    log_formats.set_up(log_format, verbosity)
    try:
        policy = Policy(check_split_by(split_by), minimum_per_cluster)
    except InvalidPolicyError as error:
        raise click.UsageError(f"--split-by: {error}") from None
    configuration = configuration_of_kcp(kubeconfig, context)

    run_process(run_until_signalled(splitter.run(configuration, policy=policy, leader_elect=leader_elect)))
