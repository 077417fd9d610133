"""The owner reference of what belongs to a Cluster in its logical cluster."""

from __future__ import annotations

from typing import Any

from kcp.multicluster.placement import CLUSTERS


def owner_reference(name: str, uid: str) -> dict[str, Any]:
    """Return the owner reference of what is deleted with a Cluster."""
    return {"apiVersion": CLUSTERS.api_version, "kind": CLUSTERS.kind, "name": name, "uid": uid}
