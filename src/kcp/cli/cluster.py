"""``kcp cluster``: the commands about the Kubernetes clusters of a logical cluster."""

from __future__ import annotations

import click

from kcp.cli.cluster_descriptions import describe, list_
from kcp.cli.cluster_manifest import manifest, syncer_kubeconfig
from kcp.cli.cluster_registration import register, remove
from kcp.cli.cluster_scheduling import cordon, drain, uncordon


@click.group(short_help="Register and manage clusters.")
def cluster() -> None:
    """Register Kubernetes clusters in a logical cluster, and decide what may run there."""


for _command in (register, list_, describe, cordon, uncordon, drain, remove, manifest, syncer_kubeconfig):
    cluster.add_command(_command)
