"""The Events about a Cluster: what has changed between two statuses. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from kcp.multicluster.clusters.api import ConditionType, Reason
from kcp.multicluster.clusters.records import ClusterRecord
from kcp.multicluster.conditions import condition_of
from kcp.schema.raw_schemas import Raw, text

_TOLD: Final = (ConditionType.READY, ConditionType.UNIQUE_CLUSTER, ConditionType.APIS_IMPORTED)
_UID: Final = "physicalClusterUID"


class Transition(NamedTuple):
    """An Event: whether it is a warning, its reason and its message."""

    warning: bool
    reason: str
    message: str


def transitions(record: ClusterRecord, status: Raw) -> Iterator[Transition]:
    """Yield what a new status of a Cluster changes for those who watch it."""
    for kind in _TOLD:
        before, after = (dict(condition_of(each, kind)) for each in (record.conditions, status["conditions"]))
        changed = text(after, "status") != text(before, "status")
        if changed and not (kind != ConditionType.READY and not before and text(after, "status") == "True"):
            reason = text(after, "reason")
            is_warning = text(after, "status") == "False" and reason != Reason.REMOVING
            yield Transition(is_warning, reason, text(after, "message"))
    if record.physical_uid and text(status, _UID) not in ("", record.physical_uid):
        message = (
            f"the kubeconfig is that of another Kubernetes cluster now, {text(status, _UID)} and not {record.physical_uid}: "
            "what was synced to the other one stays there"
        )
        yield Transition(True, "ClusterReplaced", message)
