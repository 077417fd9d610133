"""kcp: a Kubernetes API server without Kubernetes."""

__version__ = "0.1.0"
