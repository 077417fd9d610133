"""``kcp deployment-splitter``: the splitter as a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from kcp.cli.splitter_flags import policy_of, splitter_flags


@click.command("deployment-splitter", cls=flags.GroupedCommand, short_help="Split workloads over clusters.")
@kubeconfig_flags("Server", "the kcp server")
@splitter_flags("Splitting")
@leader_election_flag("Splitting", "deployment-splitter", "Split")
@log_flags()
def deployment_splitter(
    kubeconfig: Path | None,
    context: str,
    leader_elect: bool,
    verbosity: int,
    log_format: str,
    **choices: Any,
) -> None:
    """Split Deployments, StatefulSets, ReplicaSets and Jobs over the clusters that are registered in their logical cluster.

    Each gets a leaf for each cluster, with a part of its copies, and the sum of their statuses. DaemonSets and CronJobs are
    placed on one cluster. Runs until SIGTERM or SIGINT. The exit code is 2 if at the start the server cannot be reached, refuses
    the user or is not a kcp server; after later failures the command tries again.
    """
    from kcp.cli import log_formats
    from kcp.multicluster import splitter

    log_formats.set_up(log_format, verbosity)
    policy = policy_of(choices)
    configuration = configuration_of_kcp(kubeconfig, context)

    run_process(run_until_signalled(splitter.run(configuration, policy=policy, leader_elect=leader_elect)))
