"""Kubernetes clusters that are registered in logical clusters, and their controller. See docs/multicluster.md."""

from kcp.multicluster.clusters.controller import ClusterController
from kcp.multicluster.clusters.running import Mode, Options, run, upstream_of

__all__ = ["ClusterController", "Mode", "Options", "run", "upstream_of"]
