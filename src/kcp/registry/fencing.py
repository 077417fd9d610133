"""Fencing keys: the keys that make concurrent writes conflict when each is judged by what else is stored.

The log checks the preconditions of the keys that a write names. Whether a CustomResourceDefinition gets its names depends on
all definitions of its logical cluster, so each such write also changes one fencing key of that logical cluster, conditional on
the revision that it read before it was judged: of two writes that overlap, the later one fails and is judged again.
"""

from __future__ import annotations

from typing import Final

from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import ABSENT, Condition, Key, Store

FENCES: Final = "fences.kcp.io"
"""The resource of the fencing keys. No object lies there, and their values are empty."""


def fence(store: Store, storage: str, cluster: LogicalClusterName) -> Condition:
    """The precondition that no object of a type was written in a logical cluster since now."""
    key = Key(FENCES, cluster, "", storage)
    found = store.get(key)
    return Condition(key, found.revision if found is not None else ABSENT)
