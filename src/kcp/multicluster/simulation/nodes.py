"""The nodes of a simulated cluster, which their kubelets register."""

from __future__ import annotations

from typing import Any, Final

from kcp.client import AlreadyExistsError, Client
from kcp.multicluster.simulation.api import NODES
from kcp.multicluster.simulation.settings import Settings
from kcp.multicluster.workloads import WorkloadCondition, with_workload_conditions

Object = dict[str, Any]

_PRESSURES: Final = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)
_READY: Final = WorkloadCondition("Ready", "True", "KubeletReady", "kubelet is posting ready status")


async def register(client: Client, settings: Settings, version: str) -> None:
    """Create the nodes, and report that they are ready. Raises StatusError, TransportError."""
    verbs = client.resource(NODES)
    for number in range(1, settings.nodes + 1):
        name = f"{settings.name}-{number}"
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        try:
            node = await verbs.create({"metadata": {"name": name, "labels": labels}, "spec": {}})
        except AlreadyExistsError:
            node = await verbs.get(name)
        status = _status(node, settings, version, f"10.255.{number // 250}.{number % 250 + 1}")
        await verbs.patch(name, {"status": status}, subresource="status")


def _status(node: Object, settings: Settings, version: str, address: str) -> Object:
    capacity = {"cpu": settings.cpu, "memory": settings.memory, "pods": str(settings.pods_per_node)}
    pressures = [WorkloadCondition(kind, "False", reason, message) for kind, reason, message in _PRESSURES]
    current = node.get("status", {}).get("conditions")
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [
            {"type": "InternalIP", "address": address},
            {"type": "Hostname", "address": node["metadata"]["name"]},
        ],
        "conditions": with_workload_conditions(current, [*pressures, _READY], timed=False),
        "nodeInfo": {
            "kubeletVersion": version,
            "osImage": "simulated",
            "operatingSystem": "linux",
            "architecture": "amd64",
            "kernelVersion": "",
            "containerRuntimeVersion": "simulated://1",
        },
    }
