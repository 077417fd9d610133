"""The statuses of Pods, as a kubelet reports them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from kcp.api.times import now
from kcp.multicluster.conditions import is_true
from kcp.multicluster.workloads import WorkloadCondition, with_workload_conditions

Object = dict[str, Any]


def is_ready(pod: Object) -> bool:
    """Return whether a Pod is ready."""
    return is_true(pod.get("status", {}).get("conditions"), "Ready")


def unschedulable(pod: Object, message: str) -> Object:
    """Return the status of a Pod that no node takes."""
    return _status(pod, "Pending", [WorkloadCondition("PodScheduled", "False", "Unschedulable", message)])


def starting(pod: Object) -> Object:
    """Return the status of a Pod whose containers start."""
    containers = [_container(each, {"waiting": {"reason": "ContainerCreating"}}) for each in _containers(pod)]
    return {**_on_node(pod, "Pending", _unready(pod)), "containerStatuses": containers}


def not_pulled(pod: Object, images: Sequence[str]) -> Object:
    """Return the status of a Pod that waits for images that cannot be pulled."""
    containers = []
    for each in _containers(pod):
        waiting = {"reason": "ContainerCreating"}
        if each.get("image") in images:
            waiting = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{each["image"]}"'}
        containers.append(_container(each, {"waiting": waiting}))
    return {**_on_node(pod, "Pending", _unready(pod)), "containerStatuses": containers}


def running(pod: Object) -> Object:
    """Return the status of a Pod that is ready."""
    started = {"running": {"startedAt": now()}}
    containers = [_container(each, started, ready=True) for each in _containers(pod)]
    conditions = [WorkloadCondition(kind, "True", "") for kind in ("ContainersReady", "Ready")]
    return {**_on_node(pod, "Running", conditions), "containerStatuses": containers}


def succeeded(pod: Object) -> Object:
    """Return the status of a Pod whose containers have ended."""
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now()}}
    containers = [_container(each, ended) for each in _containers(pod)]
    conditions = [WorkloadCondition(kind, "False", "PodCompleted") for kind in ("ContainersReady", "Ready")]
    return {**_on_node(pod, "Succeeded", conditions), "containerStatuses": containers}


def _containers(pod: Object) -> list[Object]:
    return list(pod["spec"].get("containers") or ())


def _unready(pod: Object) -> list[WorkloadCondition]:
    names = " ".join(str(each.get("name")) for each in _containers(pod))
    message = f"containers with unready status: [{names}]"
    return [WorkloadCondition(kind, "False", "ContainersNotReady", message) for kind in ("ContainersReady", "Ready")]


def _container(container: Object, state: Object, *, ready: bool = False) -> Object:
    image = container.get("image", "")
    return {
        "name": container.get("name", ""),
        "image": image,
        "imageID": "",
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "state": state,
    }


def _on_node(pod: Object, phase: str, conditions: list[WorkloadCondition]) -> Object:
    scheduled = [WorkloadCondition(kind, "True", "") for kind in ("PodScheduled", "Initialized")]
    found = _status(pod, phase, [*scheduled, *conditions])
    address = _address(pod["metadata"]["uid"])
    found |= {"hostIP": _address(pod["spec"]["nodeName"]), "podIP": address, "podIPs": [{"ip": address}]}
    found.setdefault("startTime", now())
    return found


def _status(pod: Object, phase: str, conditions: list[WorkloadCondition]) -> Object:
    current = pod.get("status", {})
    return {
        **current,
        "phase": phase,
        "conditions": with_workload_conditions(current.get("conditions"), conditions, timed=False),
    }


def _address(text: str) -> str:
    """Return an address of the net 10.0.0.0/8 that depends on a text only."""
    return "10." + ".".join(str(1 + each % 254) for each in hashlib.sha256(text.encode()).digest()[:3])
