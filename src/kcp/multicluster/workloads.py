"""What Deployments and the other workloads of Kubernetes have in common: counts, their conditions, and numbers of copies.

Sources: ``k8s.io/api/apps/v1``, and the API conventions for conditions. Everything here is a pure function.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kcp.api.times import now
from kcp.client import APIResource
from kcp.schema.raw_schemas import objects, text

Object = dict[str, Any]


class WorkloadCondition(NamedTuple):
    """The wanted state of a condition of a workload. ``status`` is ``True``, ``False`` or ``Unknown``."""

    type: str
    status: str
    reason: str
    message: str = ""


def with_workload_conditions(current: Any, wanted: Iterable[WorkloadCondition], *, timed: bool = True) -> list[Object]:
    """Return conditions with the wanted ones, in the order in which they appeared.

    The time of transition changes with the status only, that of the update (``timed``: the kind has one) with anything else too.
    """
    found = {text(each, "type"): dict(each) for each in objects(current)}
    for condition in wanted:
        known = found.get(condition.type, {})
        state = {"status": condition.status, "reason": condition.reason, "message": condition.message}
        if known and all(known.get(field) == value for field, value in state.items()):
            continue
        kept = known.get("lastTransitionTime") if known.get("status") == condition.status else None
        times = {"lastTransitionTime": kept or now(), **({"lastUpdateTime": now()} if timed else {})}
        found[condition.type] = {"type": condition.type, **state, **times}
    return list(found.values())


def copies(spec: Mapping[str, Any], field: str = "replicas") -> int:
    """Return the number of copies that a spec wants; 1 where it says nothing."""
    found = spec.get(field)
    return found if isinstance(found, int) and found >= 0 else 1


def count(status: Mapping[str, Any], field: str) -> int:
    """Return a count of a status; 0 where it is left out, and where a cluster reports nonsense."""
    found = status.get(field)
    return found if isinstance(found, int) and found >= 0 else 0


def scaled_value(value: Any, total: int, *, up: bool) -> int:
    """Return a number or a percentage of a total, rounded ``up`` or down; 0 for anything else."""
    if isinstance(value, int):
        return max(0, value)
    number = str(value).removesuffix("%")
    if not number.isascii() or not number.isdigit():
        return 0
    product = int(number[:9]) * total
    return -(-product // 100) if up else product // 100


def rolling_limits(strategy: Mapping[str, Any], replicas: int) -> tuple[int, int]:
    """Return how many copies may be unavailable and how many additional, as the strategy of a Deployment says.

    As in Kubernetes, a rollout that may do neither may make one copy unavailable. `Recreate` may make all unavailable.
    """
    if strategy.get("type") == "Recreate":
        return replicas, 0
    rolling = strategy.get("rollingUpdate") or {}
    unavailable = scaled_value(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    surge = scaled_value(rolling.get("maxSurge", "25%"), replicas, up=True)
    if not unavailable and not surge:
        unavailable = 1
    return min(unavailable, replicas), surge


def without_zeros(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts that Kubernetes writes: it leaves zeros out."""
    return {field: number for field, number in counts.items() if number}


def controller_reference(resource: APIResource, owner: Mapping[str, Any]) -> Object:
    """Return the owner reference to the controller of an object."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    """Return the merge patch (RFC 7396) of the fields of ``old`` to those of ``new``; empty if they are equal."""
    changed = {field: value for field, value in new.items() if old.get(field) != value}
    return {**changed, **{field: None for field in old if field not in new}}
