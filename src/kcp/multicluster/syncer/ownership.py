"""Whose a copy is: the identity of a syncer, and what it recognizes as its own. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kcp.api.kinds import GroupResource
from kcp.multicluster.placement import Locator, downstream_namespace


class Identity(NamedTuple):
    """A Cluster in a logical cluster. The UIDs identify both; the names are for readers."""

    logical_cluster: str
    logical_cluster_uid: str
    cluster: str
    cluster_uid: str

    def locator(self, namespace: str, name: str = "", uid: str = "") -> Locator:
        """Return the locator of the copy of an object, or of a namespace."""
        return Locator(*self, namespace, name, uid)

    def owns(self, locator: Locator | None) -> bool:
        """Return whether a locator is of an object that is assigned to this Cluster of this logical cluster."""
        return locator is not None and locator.is_of(self.logical_cluster_uid, self.cluster_uid)

    def namespace(self, namespace: str) -> str:
        """Return the name of the namespace downstream for one upstream."""
        return downstream_namespace(self.logical_cluster_uid, self.cluster_uid, namespace)


class Key(NamedTuple):
    """An object upstream."""

    resource: GroupResource
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.resource} {self.namespace}/{self.name}"


def metadata_of(api_object: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metadata of an object, an empty mapping if it has none."""
    found = api_object.get("metadata")
    return found if isinstance(found, dict) else {}


def annotations_of(api_object: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the annotations of an object."""
    return metadata_of(api_object).get("annotations") or {}
