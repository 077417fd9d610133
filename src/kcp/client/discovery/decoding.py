"""Decoding of discovery documents: the aggregated form (KEP-3352), and the older form of a document for each group version.

Malformed entries are skipped: one broken aggregated API server must not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from kcp.api.kinds import GroupVersion, GroupVersionKind
from kcp.client.resources import APIResource, APISubresource

AGGREGATED: Final = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)
"""The ``Accept`` header that prefers the aggregated form and accepts the older one."""


@dataclass(frozen=True, slots=True)
class GroupVersions:
    """A group and its versions, the preferred one first."""

    group: str
    versions: tuple[str, ...]


def is_aggregated(document: Mapping[str, Any]) -> bool:
    """Whether an answer is in the aggregated form."""
    return document.get("kind") == "APIGroupDiscoveryList"


def read_aggregated(document: Mapping[str, Any]) -> tuple[list[APIResource], list[GroupVersion]]:
    """Return the resources of an aggregated document in its order, and the group versions marked as stale."""
    found: list[APIResource] = []
    stale: list[GroupVersion] = []
    for item in _mappings(document.get("items")):
        group = _text(_mapping(item.get("metadata")).get("name"))
        for version in _mappings(item.get("versions")):
            name = _text(version.get("version"))
            if version.get("freshness") == "Stale":
                stale.append(GroupVersion(group, name))
            found += filter(None, (_aggregated(group, name, entry) for entry in _mappings(version.get("resources"))))
    return found, stale


def _aggregated(group: str, version: str, entry: Mapping[str, Any]) -> APIResource | None:
    plural, kind = _text(entry.get("resource")), _kind(_mapping(entry.get("responseKind")), group, version)
    if not plural or not kind.kind:
        return None
    subresources = {}
    for sub in _mappings(entry.get("subresources")):
        name = _text(sub.get("subresource"))
        subresources[name] = APISubresource(
            name, _kind(_mapping(sub.get("responseKind")), group, version), frozenset(_texts(sub.get("verbs")))
        )
    return APIResource(
        group=group,
        version=version,
        plural=plural,
        kind=kind.kind,
        namespaced=entry.get("scope") == "Namespaced",
        singular=_text(entry.get("singularResource")),
        verbs=frozenset(_texts(entry.get("verbs"))),
        short_names=_texts(entry.get("shortNames")),
        categories=_texts(entry.get("categories")),
        subresources=subresources,
    )


def _kind(kind: Mapping[str, Any], group: str, version: str) -> GroupVersionKind:
    """Return a kind. Omitted group and version are those of the resource."""
    own_version = _text(kind.get("version"))
    return GroupVersionKind(
        _text(kind.get("group")) if own_version else group, own_version or version, _text(kind.get("kind"))
    )


def read_groups(document: Mapping[str, Any]) -> list[GroupVersions]:
    """Return the groups of ``/apis`` in their order, or the core group of ``/api``."""
    if document.get("kind") == "APIVersions":
        return [GroupVersions("", _texts(document.get("versions")))]
    found = []
    for group in _mappings(document.get("groups")):
        versions = [_text(each.get("version")) for each in _mappings(group.get("versions"))]
        preferred = _text(_mapping(group.get("preferredVersion")).get("version"))
        versions.sort(key=lambda version: version != preferred)
        found.append(GroupVersions(_text(group.get("name")), tuple(filter(None, versions))))
    return found


def read_resources(document: Mapping[str, Any], group: str, version: str) -> list[APIResource]:
    """Return the resources of one group version in the older form, where subresources are separate entries."""
    found: dict[str, APIResource] = {}
    for entry in _mappings(document.get("resources")):
        plural, slash, subresource = _text(entry.get("name")).partition("/")
        kind = _kind(entry, group, version)
        if slash:
            parent = found.get(plural)
            if parent is not None:
                sub = APISubresource(subresource, kind, frozenset(_texts(entry.get("verbs"))))
                found[plural] = replace(parent, subresources={**parent.subresources, subresource: sub})
        elif plural and kind.kind:
            found[plural] = APIResource(
                group=group,
                version=version,
                plural=plural,
                kind=kind.kind,
                namespaced=entry.get("namespaced") is True,
                singular=_text(entry.get("singularName")),
                verbs=frozenset(_texts(entry.get("verbs"))),
                short_names=_texts(entry.get("shortNames")),
                categories=_texts(entry.get("categories")),
            )
    return list(found.values())


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from (item for item in value if isinstance(item, Mapping))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
