"""Keys and ranges of the log whose logical clusters are given as plain text."""

from __future__ import annotations

from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import Key, Range


def make_key(resource: str, cluster: str, namespace: str, name: str) -> Key:
    """The key of an object."""
    return Key(resource, LogicalClusterName(cluster), namespace, name)


def make_range(resource: str, cluster: str, namespace: str | None = None) -> Range:
    """The keys of a resource in one logical cluster, or in one namespace of it."""
    return Range(resource, LogicalClusterName(cluster), namespace)
