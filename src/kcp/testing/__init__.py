"""A Kubernetes API server for tests: `with Server() as server`, and a new logical cluster for each test."""

from kcp.testing.server import LogicalCluster, Server

__all__ = ["LogicalCluster", "Server"]
