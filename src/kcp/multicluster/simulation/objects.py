"""What the controllers of a simulated cluster read from objects, and the names of those that they make."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from kcp.client import APIResource, ObjectKey
from kcp.multicluster.workloads import controller_reference

Object = dict[str, Any]

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names in Kubernetes: they spell no words (``k8s.io/apimachinery/pkg/util/rand``)."""
_PREFIX: Final = 57
"""Characters of an owner's name in the name of what is made for it."""


def digest(length: int, *parts: Any) -> str:
    """Return letters that depend on JSON values only."""
    number = int.from_bytes(hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).digest(), "big")
    return "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(length))


def template_hash(template: Object) -> str:
    """Return the hash of a pod template."""
    return digest(10, template)


def generated_name(owner: str, suffix: str) -> str:
    """Return the name of an object that is made for an owner."""
    return f"{owner[:_PREFIX]}-{suffix}"


def owner_value(object_: Object) -> tuple[str, ...]:
    """Return what the index of controllers knows an object by."""
    meta = object_["metadata"]
    for each in meta.get("ownerReferences") or ():
        if each.get("controller"):
            return (_owner(meta.get("namespace", ""), each["kind"], each["name"], each["uid"]),)
    return ()


def owned_by(resource: APIResource, owner: Object) -> str:
    """Return the value of the objects of an owner in the index of controllers."""
    meta = owner["metadata"]
    return _owner(meta.get("namespace", ""), resource.kind, meta["name"], meta["uid"])


def _owner(namespace: str, kind: str, name: str, uid: str) -> str:
    return f"{kind}/{namespace}/{name}/{uid}"


def owner_key(value: str, kind: str, key: ObjectKey) -> ObjectKey | None:
    """Return the key of the controller of an object, from its value in the index; None if it is of another kind."""
    found, namespace, name, _ = value.split("/")
    return ObjectKey(key.cluster, namespace, name) if found == kind else None


def pod_of(
    resource: APIResource, owner: Object, name: str, labels: Mapping[str, str], spec: Mapping[str, Any] | None = None
) -> Object:
    """Return a Pod of the template of an owner, with more labels, and fields of the spec."""
    template = owner["spec"]["template"]
    meta = template.get("metadata") or {}
    found: Object = {
        "metadata": {
            "name": name,
            "labels": {**(meta.get("labels") or {}), **labels},
            "ownerReferences": [controller_reference(resource, owner)],
        },
        "spec": {**template["spec"], **(spec or {})},
    }
    if annotations := meta.get("annotations"):
        found["metadata"]["annotations"] = annotations
    return found


def is_deleting(object_: Object) -> bool:
    """Return whether an object is being deleted."""
    return "deletionTimestamp" in object_["metadata"]


def is_finished(pod: Object) -> bool:
    """Return whether a Pod has ended."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
