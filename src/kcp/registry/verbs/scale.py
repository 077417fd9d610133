"""The ``scale`` subresource: an autoscaling/v1 Scale that stands for fields at the JSONPaths of a CustomResourceDefinition.

A write to it is a write of the parent object: the client, and admission plugins, see the Scale, the log stores the parent.
Follows k8s.io/apiextensions-apiserver's ``ScaleREST`` and its validator of custom resources, with their messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from kcp.api import documents, errors, field_errors, json_values, jsonpath
from kcp.api.field_errors import FieldError
from kcp.api.patch.go_format import go_text, go_type
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import Target, Written
from kcp.registry.types.resource_types import ResourceType, Subresource
from kcp.registry.verbs import scale_decoding
from kcp.registry.verbs.attempts import Write

Object = dict[str, Any]
NOT_SET: Final = -(1 << 31)
"""The replicas of an object that has none yet, in the Scale that a client patches."""
_INT32: Final = (1 << 31) - 1


def scale_of(obj: Object, type_: ResourceType, *, unset: int | None = None) -> Object:
    """The Scale of an object. ``unset`` stands for missing replicas; without it they raise StatusError 500."""
    subresource = _subresource(type_)
    meta = obj["metadata"]
    path = subresource.paths["specReplicasPath"]
    replicas = jsonpath.simple_path(path).get(obj)
    if replicas is None:
        if unset is None:
            raise errors.internal_error(f'the spec replicas field "{path}" does not exist')
        replicas = unset
    observed = jsonpath.simple_path(subresource.paths["statusReplicasPath"]).get(obj)
    status: Object = {"replicas": observed or 0}
    if selector_path := subresource.paths.get("labelSelectorPath"):
        selector = jsonpath.simple_path(selector_path).get(obj)
        if selector:
            status["selector"] = selector
    shown = {"name": meta["name"]}
    for name in ("namespace", "uid", "resourceVersion", "creationTimestamp"):
        if meta.get(name):
            shown[name] = meta[name]
    return {
        "kind": "Scale",
        "apiVersion": scale_decoding.API_VERSION,
        "metadata": shown,
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def with_replicas(obj: Object, scale: Object, type_: ResourceType) -> Object:
    """The object with the replicas that a Scale asks for. Raises StatusError 400."""
    path = _subresource(type_).paths["specReplicasPath"]
    spec = scale.get("spec") or {}
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else None
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise errors.bad_request("spec.replicas of a Scale must be an integer")
    if replicas == NOT_SET:
        raise errors.bad_request(f'the spec replicas field "{path}" cannot be empty')
    return jsonpath.simple_path(path).set(obj, replicas)


def rescale(
    context: RequestContext, target: Target, wanted: Callable[[Object], Any], *, replaces: bool = False
) -> Write:
    """The write of ``spec.replicas`` through a Scale; ``wanted`` makes the new Scale from the present one.

    The UID of a Scale that replaces the present one is a precondition.
    """
    type_ = target.type

    def change(write: Write) -> Object:
        assert write.old is not None
        scale = scale_decoding.decoded(wanted(scale_of(write.old, type_, unset=NOT_SET)), target, write.context)
        write.resource_version = scale["metadata"].get("resourceVersion") or ""
        if replaces:
            write.uid = scale["metadata"].get("uid") or ""
        return with_replicas(json_values.copy(write.old), scale, type_)

    return Write(context, target, "update", change=change, trusted=True)


def as_scale(written: Written) -> Written:
    """The outcome of a write of the parent, as a Scale."""
    return Written(documents.encode(scale_of(written.object, written.type)), written.type, written.object)


def apply_configuration(scale: Any, type_: ResourceType) -> Object:
    """The apply configuration of the parent that an applied Scale stands for. Raises StatusError 400."""
    if not isinstance(scale, dict) or scale.get("kind", "Scale") != "Scale":
        raise errors.bad_request("the scale subresource takes a Scale of autoscaling/v1")
    scale_decoding.check_version(scale)
    meta = scale.get("metadata")
    applied: Object = {"apiVersion": type_.api_version, "kind": type_.kind, "metadata": {} if meta is None else meta}
    return with_replicas(applied, scale, type_)


def validate(obj: Object, type_: ResourceType) -> list[FieldError]:
    """The errors of what a Scale shows of an object."""
    subresource = _subresource(type_)
    found: list[FieldError] = []
    for name in ("specReplicasPath", "statusReplicasPath"):
        path = subresource.paths[name]
        replicas, problem = _member(obj, path, int)
        if problem is None:
            if replicas is None or 0 <= replicas <= _INT32:
                continue
            least = replicas < 0
            problem = "should be a non-negative integer" if least else f"should be less than or equal to {_INT32}"
        found.append(field_errors.invalid(path, replicas or 0, problem))
    if selector_path := subresource.paths.get("labelSelectorPath"):
        _, problem = _member(obj, selector_path, str)
        if problem is not None:
            found.append(field_errors.invalid(selector_path, "", problem))
    return found


def _member(obj: Object, path: str, kind: type[Any]) -> tuple[Any, str | None]:
    """The value at a path (None where it is absent), and the problem of a value that is not of type ``kind``."""
    node: Any = obj
    names = jsonpath.simple_path(path).names
    for depth, name in enumerate(names, 1):
        if type(node) is not dict:
            return None, _accessor_error(names[:depth], node, "map[string]interface{}")
        if name not in node:
            return None, None
        node = node[name]
        if node is None and depth < len(names):
            return None, None
    return (node, None) if type(node) is kind else (None, _accessor_error(names, node, go_type(kind())))


def _accessor_error(names: Sequence[str], node: Any, expected: str) -> str:
    return f".{'.'.join(names)} accessor error: {go_text(node)} is of the type {go_type(node)}, expected {expected}"


def _subresource(type_: ResourceType) -> Subresource:
    return type_.subresources["scale"]
