"""Discovery documents: groups, versions and resources, in the legacy form and in the aggregated one (KEP-3352).

Everything here is a function of a set of resource types. The pieces of a type are encoded once and shared by all
surfaces that have it, so a changed CustomResourceDefinition costs joining bytes, not encoding the other types again.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import orjson

from kcp.api.kinds import version_order
from kcp.registry.documents.document_cache import DocumentCache
from kcp.registry.documents.groups import group_order
from kcp.registry.documents.packing import entity_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kcp.registry.types.resource_types import ResourceType, Subresource

AGGREGATED_VERSIONS: Final = ("v2", "v2beta1")
"""The versions of ``apidiscovery.k8s.io`` in which the aggregated document is served."""

_CUSTOM_VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""The order in which Kubernetes lists the verbs of custom resources; those of built-in types are sorted."""

_NOT_WHILE_TERMINATING: Final = ("create", "patch", "update")
"""Verbs that discovery omits for a type whose definition is terminating."""


_CACHE: Final = DocumentCache()
"""The discovery documents of all surfaces, by content."""


class Document(NamedTuple):
    """An encoded document and its entity tag, quotes included."""

    body: bytes
    etag: str

    @property
    def size(self) -> int:
        """The size in bytes."""
        return len(self.body) + 512


def document(body: bytes) -> Document:
    """A document with its entity tag."""
    return Document(body, entity_tag(hashlib.sha512(body)))


def storage_version_hash(group: str, version: str, kind: str) -> str:
    """The ``storageVersionHash`` of a resource: changes when its objects are stored in another version."""
    return base64.b64encode(hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()[:8]).decode()


class _Fragments(NamedTuple):
    """The entries of a type in the legacy resource list and in the aggregated document."""

    resources: bytes
    aggregated: bytes


_fragments: WeakKeyDictionary[ResourceType, _Fragments] = WeakKeyDictionary()


def _fragments_of(type_: ResourceType) -> _Fragments:
    found = _fragments.get(type_)
    if found is None:
        entries = [_resource(type_), *(_subresource(type_, sub) for sub in _subresources(type_))]
        found = _Fragments(
            b",".join(orjson.dumps(entry) for entry in entries),
            bytes(memoryview(orjson.dumps(_aggregated_resource(type_)))),  # orjson over-allocates its result
        )
        _fragments[type_] = found
    return found


def _subresources(type_: ResourceType) -> list[Subresource]:
    return [type_.subresources[name] for name in sorted(type_.subresources)]


def _verbs(type_: ResourceType) -> list[str]:
    if type_.builtin:
        return sorted(type_.verbs)
    served = (verb for verb in type_.verbs if not type_.terminating or verb not in _NOT_WHILE_TERMINATING)
    return sorted(served, key=_CUSTOM_VERBS.index)


def _names_and_categories(type_: ResourceType) -> dict[str, list[str]]:
    found = {"shortNames": list(type_.short_names), "categories": list(type_.categories)}
    return {key: values for key, values in found.items() if values}


def _resource(type_: ResourceType) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": type_.plural,
        "singularName": type_.singular,
        "namespaced": type_.namespaced,
        "kind": type_.kind,
        "verbs": _verbs(type_),
    }
    entry.update(_names_and_categories(type_))
    if type_.stored:
        storage_group = type_.storage.partition(".")[2]
        version = type_.storage_version or type_.version
        entry["storageVersionHash"] = storage_version_hash(storage_group, version, type_.kind)
    return entry


def _subresource(type_: ResourceType, subresource: Subresource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": f"{type_.plural}/{subresource.name}",
        "singularName": "",
        "namespaced": type_.namespaced,
    }
    if subresource.kind is not None:
        if subresource.kind.group:
            entry["group"] = subresource.kind.group
        entry["version"] = subresource.kind.version
    entry["kind"] = subresource.kind.kind if subresource.kind is not None else type_.kind
    entry["verbs"] = sorted(subresource.verbs)
    return entry


def _aggregated_resource(type_: ResourceType) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": type_.plural,
        "responseKind": type_.gvk._asdict(),
        "scope": "Namespaced" if type_.namespaced else "Cluster",
        "singularResource": type_.singular,
        "verbs": _verbs(type_),
    }
    entry.update(_names_and_categories(type_))
    if type_.subresources:
        entry["subresources"] = [
            {
                "subresource": subresource.name,
                "responseKind": (subresource.kind or type_.gvk)._asdict(),
                "verbs": sorted(subresource.verbs),
            }
            for subresource in _subresources(type_)
        ]
    return entry


class DiscoveryDocuments:
    """The discovery documents of a set of resource types, each encoded on first request and cached within a bound.

    Bodies are JSON; None if there is no such group or version. Methods are pure and may run in any thread.
    """

    def __init__(self, types: Iterable[ResourceType]) -> None:
        groups: dict[str, dict[str, list[ResourceType]]] = {}
        for type_ in types:
            groups.setdefault(type_.group, {}).setdefault(type_.version, []).append(type_)
        self._groups: dict[str, dict[str, list[ResourceType]]] = {
            group: {
                version: sorted(groups[group][version], key=lambda type_: type_.plural)
                for version in sorted(groups[group], key=version_order)
            }
            for group in sorted(groups, key=group_order)
        }
        self._digest = _digest_of(
            type_ for versions in self._groups.values() for found in versions.values() for type_ in found
        )

    def core_versions(self, server_address: str = "") -> bytes:
        """``/api``: APIVersions, with the address for clients."""
        return orjson.dumps(
            {
                "kind": "APIVersions",
                "versions": list(self._groups.get("", ())),
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
            }
        )

    def groups(self) -> bytes:
        """``/apis``: APIGroupList."""
        return self._document(("groups", self._digest), self._group_list).body

    def group(self, group: str) -> bytes | None:
        """``/apis/<group>``: APIGroup."""
        if not group or group not in self._groups:
            return None
        return orjson.dumps({"kind": "APIGroup", "apiVersion": "v1", **self._group(group)})

    def resources(self, group: str, version: str) -> bytes | None:
        """``/api/<version>`` (group "") and ``/apis/<group>/<version>``: APIResourceList."""
        types = self._groups.get(group, {}).get(version)
        if types is None:
            return None
        name = f"{group}/{version}" if group else version
        head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name}
        return self._document(
            ("resources", group, version, _digest_of(types)),
            lambda: orjson.dumps(head)[:-1] + b',"resources":[' + _joined(types, "resources") + b"]}",
        ).body

    def aggregated(self, root: str, version: str = "v2") -> Document:
        """APIGroupDiscoveryList of ``root`` ("api" or "apis") in a version of `AGGREGATED_VERSIONS`."""
        return self._document(("aggregated", root, version, self._digest), lambda: self._aggregate(root, version))

    @staticmethod
    def _document(key: tuple[object, ...], build: Callable[[], bytes]) -> Document:
        return _CACHE.get(key, lambda: document(build()))

    def _group_list(self) -> bytes:
        groups = [self._group(group) for group in self._groups if group]
        return orjson.dumps({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})

    def _aggregate(self, root: str, version: str) -> bytes:
        names = [group for group in self._groups if bool(group) == (root == "apis")]
        head = {"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}}
        items = b",".join(self._aggregated_group(group) for group in names)
        return orjson.dumps(head)[:-1] + b',"items":[' + items + b"]}"

    def _group(self, group: str) -> dict[str, Any]:
        versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in self._groups[group]]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _aggregated_group(self, group: str) -> bytes:
        versions = b",".join(
            b'{"version":'
            + orjson.dumps(version)
            + b',"resources":['
            + _joined(types, "aggregated")
            + b'],"freshness":"Current"}'
            for version, types in self._groups[group].items()
        )
        return b'{"metadata":{"name":' + orjson.dumps(group) + b'},"versions":[' + versions + b"]}"


def _digest_of(types: Iterable[ResourceType]) -> bytes:
    """The cache key of the documents of these types: a hash of their sources, so that the cache keeps no type alive."""
    found = hashlib.sha256()
    for type_ in types:
        found.update(type_.identity)
    return found.digest()


def _joined(types: Sequence[ResourceType], form: str) -> bytes:
    return b",".join(getattr(_fragments_of(type_), form) for type_ in types)
