"""``kcp cluster-controller``: the cluster controller as a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kcp.cli import flags
from kcp.cli.api_negotiation import AUTO_PUBLISH_HELP
from kcp.cli.cluster_controller_flags import controller_flags, options_of, take_controller_choices
from kcp.cli.cluster_flags import kubeconfig_flags
from kcp.cli.controller_processes import (
    configuration_of_kcp,
    fail,
    leader_election_flag,
    log_flags,
    run_process,
    run_until_signalled,
)

_clusters = flags.group("Clusters")


@click.command("cluster-controller", cls=flags.GroupedCommand, short_help="Connect clusters to logical clusters.")
@kubeconfig_flags("Server", "the kcp server")
@controller_flags("Clusters")
@_clusters("--auto-publish-apis", is_flag=True, show_default=False, help=AUTO_PUBLISH_HELP)
@leader_election_flag("Clusters", "cluster-controller", "Work")
@log_flags()
def cluster_controller(kubeconfig: Path | None, context: str, verbosity: int, log_format: str, **choices: Any) -> None:
    """Connect the Clusters of all logical clusters of a kcp server, and negotiate their APIs.

    For each Cluster, this imports the APIs of its Kubernetes cluster, runs the syncer (--push-mode), installs it there
    (--pull-mode) or leaves it to others (kcp cluster manifest), and keeps its conditions. Runs until SIGTERM or SIGINT. The
    exit code is 2 if at the start the server cannot be reached, refuses the user or is not a kcp server; after later failures
    the command tries again. "kcp start --with-cluster-controller" runs the same inside the server.
    """
    taken = take_controller_choices(choices)
    from kcp.cli import log_formats
    from kcp.client import ClientError
    from kcp.multicluster import clusters

    log_formats.set_up(log_format, verbosity)
    configuration = configuration_of_kcp(kubeconfig, context)
    try:
        options = options_of(
            taken,
            configuration,
            auto_publish=choices["auto_publish_apis"],
            leader_elect=choices["leader_elect"],
        )
    except ClientError as error:
        fail(error)
    run_process(run_until_signalled(clusters.run(configuration, options)))
