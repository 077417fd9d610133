"""A simulated Kubernetes cluster: its types, and stand-ins for its controllers. See docs/multicluster.md.

It is for demonstrations and tests of what joins clusters: a kcp server with the workload types as definitions, and controllers
that do what Kubernetes' own do, over HTTP, without running any container. A client cannot tell its Deployments from
those of a real cluster.
"""

from kcp.multicluster.simulation.running import run
from kcp.multicluster.simulation.settings import Settings

__all__ = ["Settings", "run"]
