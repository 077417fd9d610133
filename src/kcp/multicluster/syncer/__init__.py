"""The syncer: mirrors the objects that are assigned to a cluster down to it, and their status up. See docs/syncer.md.

What is done with an object is decided by pure functions (`decisions`, over `ownership`), copies are made by `transforms` from
the data of `kinds.yaml`; `reconciling` applies the decisions, and `syncer` puts the parts together.
"""

from kcp.multicluster.syncer.metrics import SyncerMetrics
from kcp.multicluster.syncer.shared_sources import SharedCopies, SharedSources
from kcp.multicluster.syncer.sources import CopySource, ObjectSource
from kcp.multicluster.syncer.syncer import Syncer, SyncerSettings
from kcp.multicluster.syncer.upstream import IdentityError

__all__ = [
    "CopySource",
    "IdentityError",
    "ObjectSource",
    "SharedCopies",
    "SharedSources",
    "Syncer",
    "SyncerMetrics",
    "SyncerSettings",
]
