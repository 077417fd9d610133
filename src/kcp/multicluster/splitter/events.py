"""The Events about a root: how its leaves are scaled and updated, and what keeps copies from running. Pure functions.

A leaf is to its root what a ReplicaSet is to a Deployment, so the reasons and messages are like those of Kubernetes' deployment
controller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from kcp.multicluster.conditions import condition_of
from kcp.multicluster.splitter.kinds import SplitKind
from kcp.multicluster.splitter.leaves import wanted_copies

Object = dict[str, Any]


class RootEvent(NamedTuple):
    """An Event: whether it is a warning, its reason and its message."""

    warning: bool
    reason: str
    message: str


class _Reported(NamedTuple):
    """A condition of a root that is reported when it gets a status or another reason."""

    type: str
    status: str
    warning: bool


_REPORTED: Final = (
    _Reported("Progressing", "False", warning=True),
    _Reported("ReplicaFailure", "True", warning=True),
    _Reported("Failed", "True", warning=True),
    _Reported("Complete", "True", warning=False),
)


def leaf_events(kind: SplitKind, before: Object | None, after: Object | None) -> Iterator[RootEvent]:
    """Yield the Events about a write of a leaf. It is created where there is none ``before``, deleted where none is ``after``."""
    leaf = after or before
    assert leaf is not None
    name = leaf["metadata"]["name"]
    old, new = (0 if each is None else wanted_copies(kind, each) for each in (before, after))
    if old != new:
        direction = "up" if new > old else "down"
        yield RootEvent(False, "ScalingLeaf", f"Scaled {direction} leaf {name} from {old} to {new}")
    if before and after and before["spec"].get("template") != after["spec"].get("template"):
        yield RootEvent(False, "UpdatingLeaf", f"Updated leaf {name} to the template of this object")


def condition_events(before: Object, after: Object) -> Iterator[RootEvent]:
    """Yield the Events about a change of the status of a root."""
    for reported in _REPORTED:
        old, new = (condition_of(each.get("conditions"), reported.type) for each in (before, after))
        same = (old.get("status"), old.get("reason")) == (new.get("status"), new.get("reason"))
        if new.get("status") == reported.status and not same:
            yield RootEvent(reported.warning, str(new.get("reason")), str(new.get("message", "")))


def placement_event(before: str, after: str) -> RootEvent:
    """Return the Event about an object that is placed whole: on a cluster, or moved there from another one."""
    moved = f"Moved from cluster {before} to cluster {after}" if before else f"Assigned to cluster {after}"
    return RootEvent(False, "Scheduled", moved)
