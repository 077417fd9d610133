"""What differs between the kinds whose copies are split over clusters, as data; and the kinds that are placed whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kcp.client import APIResource


@dataclass(frozen=True, kw_only=True)
class SplitKind:
    """A kind that is split: where its copies are counted, and what its status sums up.

    ``copies`` is the field of the spec that is split, ``also`` one that is split with it. ``counts`` are the fields of the status
    that are sums over the leaves; ``available`` and ``updated`` are those that say how many copies serve, and have the newest
    template (empty: the kind has no rollouts). ``strategy`` is the field with the rollout strategy. The copies of a leaf of a
    ``fixed`` kind cannot change. ``name_limit`` leaves room for what controllers append to names.
    """

    resource: APIResource
    copies: str = "replicas"
    also: str = ""
    counts: tuple[str, ...]
    available: str
    updated: str = ""
    strategy: str = ""
    fixed: bool = False
    name_limit: int


DEPLOYMENT: Final = SplitKind(
    resource=APIResource("apps", "v1", "deployments", "Deployment"),
    counts=("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"),
    available="availableReplicas",
    updated="updatedReplicas",
    strategy="strategy",
    name_limit=236,
)
STATEFUL_SET: Final = SplitKind(
    resource=APIResource("apps", "v1", "statefulsets", "StatefulSet"),
    counts=("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"),
    available="readyReplicas",
    updated="updatedReplicas",
    strategy="updateStrategy",
    name_limit=52,
)
REPLICA_SET: Final = SplitKind(
    resource=APIResource("apps", "v1", "replicasets", "ReplicaSet"),
    counts=("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
    available="availableReplicas",
    name_limit=247,
)
JOB: Final = SplitKind(
    resource=APIResource("batch", "v1", "jobs", "Job"),
    copies="completions",
    also="parallelism",
    counts=("active", "ready", "succeeded", "failed", "terminating"),
    available="succeeded",
    fixed=True,
    name_limit=57,
)
SPLIT: Final = (DEPLOYMENT, STATEFUL_SET, REPLICA_SET, JOB)
WHOLE: Final = (
    APIResource("apps", "v1", "daemonsets", "DaemonSet"),
    APIResource("batch", "v1", "cronjobs", "CronJob"),
)
"""Kinds whose objects run on one cluster each, as a whole."""
