"""The capacity of a cluster: the sums over its nodes. Pure functions; the nodes are not trusted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kcp.api.quantity import Quantity, canonical, parse_quantity
from kcp.multicluster.conditions import is_true
from kcp.schema.raw_schemas import Raw, schema

_RESOURCES: Final = 64
"""Kinds of resources (cpu, memory, devices) that are summed."""


def capacity_of(nodes: Iterable[Raw], others: Raw | None = None) -> dict[str, str]:
    """Return the sum of the nodes' ``status.capacity``, by resource, and of ``others``, the sum of other nodes."""
    return _sums([others, *(schema(schema(node, "status") or {}, "capacity") for node in nodes)])


def allocatable_of(nodes: Iterable[Raw], others: Raw | None = None) -> dict[str, str]:
    """Return the sum of the ``status.allocatable`` of the nodes that are ready and take Pods, as `capacity_of`."""
    return _sums(
        [others, *(schema(schema(node, "status") or {}, "allocatable") for node in nodes if _takes_pods(node))]
    )


def _takes_pods(node: Raw) -> bool:
    unschedulable = (schema(node, "spec") or {}).get("unschedulable")
    return unschedulable is not True and is_true((schema(node, "status") or {}).get("conditions"), "Ready")


def _sums(found: Iterable[Raw | None]) -> dict[str, str]:
    sums: dict[str, Quantity] = {}
    for amounts in found:
        for resource, amount in (amounts or {}).items():
            try:
                quantity = parse_quantity(str(amount))
            except ValueError:
                continue
            if resource in sums:
                sums[resource] += quantity
            elif len(sums) < _RESOURCES:
                sums[resource] = quantity
    return {resource: canonical(sums[resource]) for resource in sorted(sums)}
