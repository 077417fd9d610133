"""A Kubernetes API server for tests: `with Server() as server`, and a fresh logical cluster for each test in milliseconds."""

from kcp.testing.server import LogicalCluster, Server

__all__ = ["LogicalCluster", "Server"]
