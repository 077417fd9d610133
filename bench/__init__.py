"""Benchmarks: the same load on kcp and, given an address, on any other Kubernetes API server, side by side in one run."""
