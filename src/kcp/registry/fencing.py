"""Fencing keys: keys that make concurrent writes conflict when the result of each depends on the other's object.

The log checks preconditions only of the keys that a write names. Whether a CustomResourceDefinition gets its names depends on
all definitions of its logical cluster. So each write of a definition also writes the fencing key of the logical cluster, on the
condition that the key is as it was before the definitions were read: of two overlapping writes, the later one fails and retries.
"""

from __future__ import annotations

from typing import Final

from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import ABSENT, Condition, Key, Store

FENCES: Final = "fences.kcp.io"
"""The resource of the fencing keys. Their values are empty, and no object is stored below it."""


def fence(store: Store, storage: str, cluster: LogicalClusterName) -> Condition:
    """The condition that no object of a type is written in a logical cluster from now on."""
    key = Key(FENCES, cluster, "", storage)
    found = store.get(key)
    return Condition(key, found.revision if found is not None else ABSENT)
