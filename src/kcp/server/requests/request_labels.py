"""The metric labels of a request: a bounded set, whatever clients ask for."""

from __future__ import annotations

from typing import Final

from kcp.registry.types.resource_types import ResourceType
from kcp.server.observability.metrics import CUSTOM_LABELS
from kcp.server.requests.request_info import RequestInfo

_VERBS: Final = {
    "create": "POST",
    "update": "PUT",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
    "patch": "PATCH",
    "apply": "APPLY",
}
_OTHER: Final = ("OTHER", "", "", "", "", "")


def labels_of(info: RequestInfo | None, type_: ResourceType | None, roots: frozenset[str]) -> tuple[str, ...]:
    """Return the values of `REQUEST_LABELS`. ``roots`` are the first segments of all mounted paths."""
    if info is None:
        return _OTHER
    if not info.is_resource:
        root = info.parts[0] if info.parts else ""
        verb = info.verb.upper() if info.verb in ("get", "head") else "OTHER"
        return (verb, "", "", "", f"/{root}", "") if root in roots else _OTHER
    if type_ is None:
        return _OTHER
    subresource = info.subresource if info.subresource in type_.subresources else ""
    scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
    verb = _VERBS.get(info.verb, "OTHER")
    if type_.builtin:
        return (verb, type_.group, type_.version, type_.plural, subresource, scope)
    return (verb, *CUSTOM_LABELS, subresource, scope)
