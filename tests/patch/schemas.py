"""Schemas and helpers for the tests of patches: write, apply, read ownership."""

from typing import Any

from kcp.api.patch import apply, managed_fields
from kcp.api.patch.merge_types import compile_merge_type

VERSION = "example.com/v1"
NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-02T00:00:00Z"

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
PORT = {
    "type": "object",
    "properties": {
        "port": NUMBER,
        "protocol": {"type": "string", "default": "TCP"},
        "name": TEXT,
    },
}
CONTAINER = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "image": TEXT,
        "args": {"type": "array", "items": TEXT},
        "env": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": TEXT, "value": TEXT}},
        },
    },
}
SPEC = {
    "replicas": NUMBER,
    "paused": {"type": "boolean"},
    "percent": {"x-kubernetes-int-or-string": True},
    "selector": {"type": "object", "additionalProperties": TEXT},
    "template": {"type": "object", "properties": {"color": TEXT, "size": NUMBER}},
    "reference": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"kind": TEXT, "name": TEXT}},
    "args": {"type": "array", "items": TEXT},
    "tags": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
    "containers": {
        "type": "array",
        "items": CONTAINER,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    },
    "ports": {
        "type": "array",
        "items": PORT,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port", "protocol"],
    },
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}
WIDGET = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": SPEC},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
TYPE = compile_merge_type(WIDGET)
RESET = {"": (("status",),), "status": (("metadata",), ("spec",))}

Object = dict[str, Any]


def widget(spec: Object | None = None, **parts: Any) -> Object:
    """A widget; ``labels`` and ``annotations`` go into its metadata."""
    meta: Object = {"name": "w", "namespace": "default"}
    meta |= {
        name: parts.pop(name) for name in ("labels", "annotations", "finalizers", "ownerReferences") if name in parts
    }
    obj: Object = {"apiVersion": VERSION, "kind": "Widget", "metadata": meta}
    if spec is not None:
        obj["spec"] = spec
    return {**obj, **parts}


def applied(live: Object | None, config: Object, manager: str = "applier", **options: Any) -> Object:
    """Server-side apply with the defaults of these tests."""
    subresource = options.get("subresource", "")
    settings: Object = {
        "force": False,
        "api_version": VERSION,
        "now": NOW,
        "reset_fields": RESET[subresource],
        **options,
    }
    type_ = settings.pop("type_", TYPE)
    return apply.server_side_apply(live, config, type_, manager=manager, **settings)


def written(live: Object | None, new: Object, manager: str = "writer", **options: Any) -> Object:
    """Return ``new`` with its managed fields after a create or update."""
    subresource = options.get("subresource", "")
    settings: Object = {"api_version": VERSION, "now": NOW, "reset_fields": RESET[subresource], **options}
    type_ = settings.pop("type_", TYPE)
    entries = managed_fields.update_managed_fields(live, new, type_, manager=manager, **settings)
    meta = {key: value for key, value in new["metadata"].items() if key != "managedFields"}
    if entries:
        meta["managedFields"] = entries
    return {**new, "metadata": meta}


def changed(obj: Object, **fields: Any) -> Object:
    """Return a copy with other fields of its spec; None removes one."""
    spec = {**obj.get("spec", {}), **fields}
    return {**obj, "spec": {key: value for key, value in spec.items() if value is not None}}


def entry(obj: Object, manager: str, operation: str | None = None, subresource: str = "") -> Object:
    """The managed fields entry of a manager; empty when it has none."""
    entries: list[Object] = obj["metadata"].get("managedFields", [])
    for found in entries:
        same = found["manager"] == manager and found.get("subresource", "") == subresource
        if same and operation in (None, found["operation"]):
            return found
    return {}


def owned(obj: Object, manager: str, operation: str | None = None, subresource: str = "") -> Object:
    """The field set of a manager; empty when it owns nothing."""
    fields: Object = entry(obj, manager, operation, subresource).get("fieldsV1", {})
    return fields


def owned_spec(obj: Object, manager: str) -> Object:
    """The part of a manager's field set below spec."""
    fields: Object = owned(obj, manager).get("f:spec", {})
    return fields
