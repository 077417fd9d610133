"""kcp: a Kubernetes API server without Kubernetes.

Public are the command `kcp`, `kcp.__version__`, `kcp.testing` (a server for tests, with its pytest plugin), `kcp.embedding`
(a server inside another program, with parts of its own) and `kcp.client` (a client of any API server). All other modules are
internal.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
