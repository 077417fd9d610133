"""The ``scale`` subresource: autoscaling/v1 Scale over the paths that a CustomResourceDefinition names."""

from __future__ import annotations

from typing import Any

from kcp.api import errors, field_errors, jsonpath
from kcp.api.kinds import GroupKind
from kcp.registry.resource_types import ResourceType, Subresource

Object = dict[str, Any]
KIND = GroupKind("autoscaling", "Scale")


def scale_of(obj: Object, type_: ResourceType) -> Object:
    """The Scale that shows an object. Raises StatusError 404 where the type has none."""
    subresource = _subresource(type_)
    meta = obj["metadata"]
    replicas = jsonpath.simple_path(subresource.paths["specReplicasPath"]).get(obj)
    if replicas is None:
        message = f"the spec replicas field {subresource.paths['specReplicasPath']!r} does not exist"
        raise errors.internal_error(message)
    observed = jsonpath.simple_path(subresource.paths["statusReplicasPath"]).get(obj)
    status: Object = {"replicas": observed or 0}
    if path := subresource.paths.get("labelSelectorPath"):
        selector = jsonpath.simple_path(path).get(obj)
        if selector:
            status["selector"] = selector
    shown = {"name": meta["name"]}
    for name in ("namespace", "uid", "resourceVersion", "creationTimestamp"):
        if meta.get(name):
            shown[name] = meta[name]
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": shown,
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def with_replicas(obj: Object, scale: Object, type_: ResourceType) -> Object:
    """The object with the replicas that a Scale asks for. Raises StatusError 400 or 422."""
    spec = scale.get("spec") or {}
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else None
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise errors.bad_request("spec.replicas of a Scale must be an integer")
    if replicas < 0:
        problem = field_errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid(KIND, obj["metadata"].get("name") or "", [problem])
    return jsonpath.simple_path(_subresource(type_).paths["specReplicasPath"]).set(obj, replicas)


def apply_configuration(scale: Any, type_: ResourceType) -> Object:
    """The apply configuration of the object that an applied Scale stands for. Raises StatusError 400 or 422."""
    if not isinstance(scale, dict) or scale.get("kind", "Scale") != "Scale":
        raise errors.bad_request("the scale subresource takes a Scale of autoscaling/v1")
    meta = scale.get("metadata")
    applied: Object = {"apiVersion": type_.api_version, "kind": type_.kind, "metadata": {} if meta is None else meta}
    return with_replicas(applied, scale, type_)


def _subresource(type_: ResourceType) -> Subresource:
    return type_.subresources["scale"]
