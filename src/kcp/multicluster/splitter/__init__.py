"""Splitting of Deployments and their like over the clusters of a logical cluster. See docs/multicluster.md.

A root object has a leaf for each cluster that runs copies of it; the status of the root sums up those of the leaves. The rules
are pure functions (`allocation`, `moves`, `rollouts`, `planning`, `statuses`), which `controller` applies.
"""

from kcp.multicluster.splitter.controller import SplitterController
from kcp.multicluster.splitter.policies import InvalidPolicyError, Policy, check_split_by
from kcp.multicluster.splitter.running import run

__all__ = ["InvalidPolicyError", "Policy", "SplitterController", "check_split_by", "run"]
