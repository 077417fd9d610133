"""The authorization of syncers that run in other clusters: they may touch what is assigned to their Cluster, and nothing else.

Follows the Node authorizer of Kubernetes and its admission plugin NodeRestriction. See docs/multicluster.md.
"""
