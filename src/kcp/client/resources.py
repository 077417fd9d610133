"""Resources of discovery, and their paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kcp.api.errors import StatusError
from kcp.api.kinds import GroupResource, GroupVersion, GroupVersionKind
from kcp.client.transport.requests import segment


@dataclass(frozen=True, slots=True)
class APISubresource:
    """A subresource (``status``, ``scale``) and the kind of its objects."""

    name: str
    kind: GroupVersionKind
    verbs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class APIResource:
    """A resource in one version: its names, kind, scope, verbs and subresources.

    A well-known resource needs no discovery: ``APIResource("apps", "v1", "deployments", "Deployment")``.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    singular: str = ""
    verbs: frozenset[str] = frozenset()
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, APISubresource] = field(default_factory=dict, compare=False)

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` of its objects."""
        return str(GroupVersion(self.group, self.version))

    @property
    def group_resource(self) -> GroupResource:
        """Group and plural: ``deployments.apps``."""
        return GroupResource(self.group, self.plural)

    @property
    def group_version_kind(self) -> GroupVersionKind:
        """Group, version and kind."""
        return GroupVersionKind(self.group, self.version, self.kind)

    def is_absence(self, error: StatusError, name: str) -> bool:
        """Return whether a 404 says that an object does not exist, not its type or its server: it names the object."""
        details = error.details or {}
        kinds = (self.plural, self.kind.lower())
        return details.get("name") == name and str(details.get("kind", "")).lower() in kinds

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of the collection or of an object. An empty namespace means all namespaces."""
        parts = [group_version_path(GroupVersion(self.group, self.version))]
        if namespace:
            parts += ["namespaces", segment(namespace)]
        parts += [segment(part) for part in (self.plural, name, subresource) if part]
        return "/".join(parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.version}.{self.group}" if self.group else f"{self.plural}.{self.version}"


def group_version_path(version: GroupVersion) -> str:
    """Return the path of a group version: the root of its resources, and the address of their older discovery document."""
    root = f"/apis/{segment(version.group)}" if version.group else "/api"
    return f"{root}/{segment(version.version)}"
