"""Resolution of the resource names that users write. Follows kubectl's rules (apimachinery's REST mapper).

A name is a plural, a singular, a short name or a kind; ``name.group`` and ``name.version.group`` say more. Of several
groups that have a resource of the name, the first in the order of discovery is chosen; of several versions, the preferred one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kcp.api.kinds import GroupResource, GroupVersion, GroupVersionKind
from kcp.client.errors import DiscoveryError
from kcp.client.resources import APIResource


@dataclass(frozen=True)
class Discovered:
    """The resources of an API server in the order of discovery, each group's preferred version first.

    ``failed`` says which group versions could not be read, and why.
    """

    resources: tuple[APIResource, ...]
    failed: dict[GroupVersion, str]

    def preferred(self) -> Iterator[APIResource]:
        """Yield each resource once, in the first version that has it."""
        found: dict[GroupResource, APIResource] = {}
        for resource in self.resources:
            found.setdefault(resource.group_resource, resource)
        return iter(found.values())

    def by_kind(self, kind: GroupVersionKind) -> APIResource:
        """Find the resource of a kind. Raises DiscoveryError."""
        for resource in self.resources:
            if resource.group_version_kind == kind:
                return resource
        raise self._missing(f"kind {kind.kind} of {kind.api_version}")

    def of_object(self, object_: dict[str, object]) -> APIResource:
        """Find the resource of an object with ``apiVersion`` and ``kind``. Raises DiscoveryError."""
        version, kind = object_.get("apiVersion"), object_.get("kind")
        if not isinstance(version, str) or not isinstance(kind, str):
            raise DiscoveryError("the object has no apiVersion or no kind")
        try:
            parsed = GroupVersion.parse(version)
        except ValueError as error:
            raise DiscoveryError(str(error)) from error
        return self.by_kind(GroupVersionKind(parsed.group, parsed.version, kind))

    def find(self, name: str) -> APIResource:
        """Find the resource of a name. Raises DiscoveryError."""
        first, _, rest = name.partition(".")
        for matches in (_plural_or_singular, _short_name, _kind):
            for group, version in _readings(rest):
                for resource in self.resources:
                    if matches(resource, first) and _in(resource, group, version):
                        return resource
        raise self._missing(f'resource "{name}"')

    def _missing(self, what: str) -> DiscoveryError:
        unread = "; ".join(f"{version}: {why}" for version, why in self.failed.items())
        return DiscoveryError(f"the server has no {what}" + (f" (not read: {unread})" if unread else ""))


def _readings(rest: str) -> Iterator[tuple[str | None, str | None]]:
    """Yield the meanings of the text after a resource's name: a version and a group, or a group."""
    if not rest:
        yield None, None
        return
    version, _, group = rest.partition(".")
    yield group, version
    yield rest, None


def _in(resource: APIResource, group: str | None, version: str | None) -> bool:
    return (group is None or resource.group == group) and (version is None or resource.version == version)


def _plural_or_singular(resource: APIResource, name: str) -> bool:
    return name.lower() in (resource.plural, resource.singular)


def _short_name(resource: APIResource, name: str) -> bool:
    return name.lower() in resource.short_names


def _kind(resource: APIResource, name: str) -> bool:
    return name.lower() == resource.kind.lower()
