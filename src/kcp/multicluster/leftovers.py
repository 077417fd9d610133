"""What keeps a namespace of a cluster whose copies are gone: a namespace takes everything in it along. Pure.

The syncer removes namespaces that it needs no more, the cluster controller those of a Cluster that is deleted.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto
from typing import Final

from kcp.api.kinds import GroupResource
from kcp.client import APIResource
from kcp.schema.raw_schemas import Raw, objects, schema, text

_NEEDED: Final = frozenset({"list", "delete"})
_RECORDS: Final = frozenset({"events", "leases", "endpoints", "endpointslices"})
"""Resources that Kubernetes itself writes about the other objects of a namespace."""
_OF_EVERY_NAMESPACE: Final = frozenset({("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")})
"""The objects that Kubernetes puts into each namespace."""
_ACCOUNT_ANNOTATION: Final = "kubernetes.io/service-account.name"
"""The annotation of a Secret with a token of a service account, which goes with that. Before 1.24, each account has one."""

Kind = tuple[str, str]
"""A group and a kind."""


class Leftover(Enum):
    """An object in a namespace without copies."""

    EXPENDABLE = auto()
    """Kubernetes has made it for the namespace."""
    DEPENDENT = auto()
    """It goes with its owners, which were in the namespace."""
    FOREIGN = auto()
    """It is somebody else's."""


def may_be_left(resource: APIResource) -> bool:
    """Return whether a resource has objects that count: some only show what there is, such as metrics."""
    return resource.namespaced and resource.verbs >= _NEEDED and resource.plural not in _RECORDS


def kind_of(resource: APIResource) -> Kind:
    """Return the kind of a resource."""
    return resource.group, resource.kind


def leftover(resource: GroupResource, found: Raw, kinds: Collection[Kind]) -> Leftover:
    """Return what an object is. ``kinds`` are those whose objects are known: an owner of another one may still be there."""
    meta = schema(found, "metadata") or {}
    if (resource.resource, text(meta, "name")) in _OF_EVERY_NAMESPACE:
        return Leftover.EXPENDABLE
    if resource == GroupResource("", "secrets") and _ACCOUNT_ANNOTATION in (schema(meta, "annotations") or {}):
        return Leftover.EXPENDABLE
    owners = objects(meta.get("ownerReferences"))
    known = [(text(each, "apiVersion").rpartition("/")[0], text(each, "kind")) in kinds for each in owners]
    return Leftover.DEPENDENT if known and all(known) else Leftover.FOREIGN
