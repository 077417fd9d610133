"""The status of a Cluster, as far as the cluster controller writes it. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kcp.multicluster.clusters.api import ConditionType, Reason
from kcp.multicluster.clusters.probing import STATUS_FIELDS, Facts
from kcp.multicluster.clusters.records import ClusterRecord
from kcp.multicluster.conditions import Condition, with_conditions
from kcp.schema.raw_schemas import Raw, text

_OWN: Final = frozenset(ConditionType)


def status_of(record: ClusterRecord, facts: Facts | None, conditions: Sequence[Condition]) -> Raw:
    """Return the fields of the status to apply: those of the facts (None: as they were), and the conditions.

    A condition of the controller that is not among ``conditions`` stays as it is.
    """
    fields = _facts_of(record) if facts is None else facts.fields()
    current = [each for each in record.conditions if text(each, "type") in _OWN]
    return {**fields, "conditions": with_conditions(current, conditions, record.generation) or current}


def is_current(record: ClusterRecord, wanted: Raw) -> bool:
    """Return whether a Cluster has the wanted status already."""
    own = [each for each in record.conditions if text(each, "type") in _OWN]
    return _comparable({**_facts_of(record), "conditions": own}) == _comparable(wanted)


def _facts_of(record: ClusterRecord) -> Raw:
    return {name: record.status[name] for name in STATUS_FIELDS if name in record.status}


def _comparable(status: Raw) -> Raw:
    """The status without the order of its conditions."""
    return {**status, "conditions": {text(each, "type"): each for each in status["conditions"]}}


def conditions_before_check(record: ClusterRecord, heartbeat: Condition) -> list[Condition]:
    """Return what is known of a Cluster before the first check of its present state has ended: whether its syncer is alive."""
    if heartbeat.status is not True and record.is_true(ConditionType.READY):
        return [heartbeat, Condition(ConditionType.READY, False, Reason.ERROR_HEARTBEAT, heartbeat.message)]
    return [heartbeat]


def unique_condition(others: Sequence[str], uid: str) -> Condition:
    """Return the condition that names the Clusters that are the same Kubernetes cluster."""
    kind = ConditionType.UNIQUE_CLUSTER
    if not others:
        return Condition(kind, True, Reason.REGISTERED_ONCE, "No other Cluster here is the same Kubernetes cluster")
    named = ", ".join(sorted(others))
    message = (
        f"the same Kubernetes cluster as {named} (its namespace kube-system has the UID {uid}): remove all but one"
    )
    return Condition(kind, False, Reason.REGISTERED_TWICE, message)
