"""Kubeconfig files: typed entries, kubectl's rules of finding and merging files, and the configuration of a context."""
