"""Which node takes a Pod: the one with the most room, of those that have enough for what the Pod requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kcp.api.quantity import parse_quantity

Object = dict[str, Any]


class Requests(NamedTuple):
    """CPU in thousandths of a core, memory in bytes, and Pods."""

    cpu: int = 0
    memory: int = 0
    pods: int = 0

    def plus(self, other: Requests) -> Requests:
        """Return the sum."""
        return Requests(self.cpu + other.cpu, self.memory + other.memory, self.pods + other.pods)

    def minus(self, other: Requests) -> Requests:
        """Return the difference."""
        return Requests(self.cpu - other.cpu, self.memory - other.memory, self.pods - other.pods)

    def lacking(self, room: Requests) -> list[str]:
        """Return why these requests do not fit into some room, in the words of Kubernetes' scheduler."""
        lacks = ((self.cpu, room.cpu, "Insufficient cpu"), (self.memory, room.memory, "Insufficient memory"))
        return [text for wanted, free, text in (*lacks, (self.pods, room.pods, "Too many pods")) if wanted > free]


def requests_of(pod: Object) -> Requests:
    """Return what the containers of a Pod request. A limit counts where there is no request."""
    found = Requests(pods=1)
    for container in pod.get("spec", {}).get("containers") or ():
        resources = container.get("resources") or {}
        wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        found = found.plus(quantities(wanted))
    return found


def quantities(values: Mapping[str, Any]) -> Requests:
    """Return the CPU, memory and Pods among quantities by resource."""
    cpu, memory, pods = (parse_quantity(str(values.get(name, 0))) for name in ("cpu", "memory", "pods"))
    return Requests(cpu.milli(), memory.to_integer(), pods.to_integer())


class Node(NamedTuple):
    """A node: what it has, and whether it takes Pods."""

    name: str
    labels: Mapping[str, str]
    allocatable: Requests
    schedulable: bool


def node_of(node: Object) -> Node:
    """Return a node by its object."""
    return Node(
        node["metadata"]["name"],
        node["metadata"].get("labels") or {},
        quantities(node.get("status", {}).get("allocatable") or {}),
        not node.get("spec", {}).get("unschedulable", False),
    )


def choose(pod: Object, nodes: Iterable[Node], used: Mapping[str, Requests]) -> tuple[str, str]:
    """Return the node for a Pod, or an empty name and the message of its condition."""
    wanted, selector = requests_of(pod), pod.get("spec", {}).get("nodeSelector") or {}
    best, room, total = "", Requests(), 0
    reasons: dict[str, int] = {}
    for node in nodes:
        total += 1
        free = node.allocatable.minus(used.get(node.name, Requests()))
        if not node.schedulable:
            problems = ["node(s) were unschedulable"]
        elif any(node.labels.get(key) != value for key, value in selector.items()):
            problems = ["node(s) didn't match Pod's node affinity/selector"]
        else:
            problems = wanted.lacking(free)
        for problem in problems:
            reasons[problem] = reasons.get(problem, 0) + 1
        if not problems and (not best or free > room):
            best, room = node.name, free
    shown = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    return best, "" if best else f"0/{total} nodes are available: {shown or 'no nodes'}."
