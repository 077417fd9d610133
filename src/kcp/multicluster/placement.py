"""Placement of objects on clusters, for clients: the resource of Clusters, and everything of `kcp.api.placement`."""

from __future__ import annotations

from typing import Final

from kcp.api.placement import (
    CLUSTER_LABEL,
    FIELD_MANAGER,
    FINALIZER_PREFIX,
    GROUP,
    HELD_PREFIX,
    IDENTITY_NAMESPACE,
    LOCATOR_ANNOTATION,
    MARK_LABEL,
    OWNED_BY_LABEL,
    PLACED_ANNOTATION,
    SYNC_ERROR_ANNOTATION,
    SYNC_VERB,
    Locator,
    cluster_of,
    decode_locator,
    downstream_namespace,
    finalizer,
    held_label,
    is_copy,
    label_value,
    leaf_name,
    locator_of,
    mark_of,
    shorten,
)
from kcp.client import APIResource

CLUSTERS: Final = APIResource(GROUP, "v1alpha1", "clusters", "Cluster", namespaced=False)
"""Kubernetes clusters that are registered in a logical cluster."""

__all__ = [
    "CLUSTERS",
    "CLUSTER_LABEL",
    "FIELD_MANAGER",
    "FINALIZER_PREFIX",
    "GROUP",
    "HELD_PREFIX",
    "IDENTITY_NAMESPACE",
    "LOCATOR_ANNOTATION",
    "MARK_LABEL",
    "OWNED_BY_LABEL",
    "PLACED_ANNOTATION",
    "SYNC_ERROR_ANNOTATION",
    "SYNC_VERB",
    "Locator",
    "cluster_of",
    "decode_locator",
    "downstream_namespace",
    "finalizer",
    "held_label",
    "is_copy",
    "label_value",
    "leaf_name",
    "locator_of",
    "mark_of",
    "shorten",
]
