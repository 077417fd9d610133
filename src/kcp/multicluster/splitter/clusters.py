"""The clusters of a logical cluster, as the splitter sees them: whether they take copies, keep what they have, or lose it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, NamedTuple

from kcp.api.quantity import parse_quantity
from kcp.api.times import parse_time
from kcp.multicluster.conditions import condition_of, is_true
from kcp.schema.raw_schemas import schema, text

Object = dict[str, Any]


class Use(IntEnum):
    """What a cluster may be used for, the best first."""

    OPEN = 0
    """It takes new copies."""
    CORDONED = 1
    """It keeps the copies that it has."""
    DRAINED = 2
    """Its copies move away as soon as others are ready."""
    LOST = 3
    """It is not ready: its copies do not count, and others are made. Its own go when those are ready."""
    LEAVING = 4
    """It is being removed: it has no copies any more."""


class Cluster(NamedTuple):
    """A cluster: its use, why it takes no copies, and what its weight may depend on."""

    name: str
    use: Use
    reason: str
    labels: Mapping[str, str]
    allocatable: Mapping[str, str]


def cluster_of(found: Object, now: datetime | None = None) -> tuple[Cluster, float | None]:
    """Return a cluster by its object, and after how many seconds its use changes with the time; None if it does not."""
    meta, spec, status = found["metadata"], schema(found, "spec") or {}, schema(found, "status") or {}
    evict_after = _time(text(spec, "evictAfter"))
    remaining = (evict_after - (now or datetime.now(UTC))).total_seconds() if evict_after else None
    if "deletionTimestamp" in meta:
        use, reason = Use.LEAVING, "is being removed"
    elif not is_true(status.get("conditions"), "Ready"):
        why = text(condition_of(status.get("conditions"), "Ready"), "reason")
        use, reason = Use.LOST, f"is not ready ({why})" if why else "is not ready"
    elif remaining is not None and remaining <= 0:
        use, reason = Use.DRAINED, "is drained"
    elif spec.get("unschedulable") is True:
        use, reason = Use.CORDONED, "is cordoned"
    else:
        use, reason = Use.OPEN, ""
    allocatable = {name: str(amount) for name, amount in (schema(status, "allocatable") or {}).items()}
    labels = {name: str(value) for name, value in (schema(meta, "labels") or {}).items()}
    waits = remaining if remaining is not None and remaining > 0 else None
    return Cluster(meta["name"], use, reason, labels, allocatable), waits


def _time(value: str) -> datetime | None:
    try:
        return parse_time(value) if value else None
    except ValueError:
        return None


def amount(cluster: Cluster, resource: str) -> int:
    """Return the allocatable amount of a resource in thousandths; 0 where the cluster does not report it."""
    try:
        return max(0, parse_quantity(cluster.allocatable.get(resource, "0")).milli())
    except ValueError:
        return 0
