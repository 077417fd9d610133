"""What kube-apiserver serves: discovery and OpenAPI schemas, without their descriptions.

``kubernetes-1.20`` is OpenAPI 2.0 of the release's swagger.json, ``kubernetes-1.36`` OpenAPI 3.0 of its ``api/openapi-spec``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from kcp.api.kinds import GroupResource, version_order
from kcp.client import APIResource
from kcp.client.discovery.decoding import read_resources

VERSIONS = ("1.20", "1.36")
OBJECTS = Path(__file__).with_name("objects-1.36.json.gz")
"""What kube-apiserver 1.36.3 stores of the objects and patches of the tests; ``record_objects`` writes it."""


class Recording(NamedTuple):
    """A cluster's OpenAPI schemas by name, and its discovery documents."""

    schemas: dict[str, dict[str, Any]]
    groups: list[dict[str, Any]]

    def schema_names(self) -> dict[tuple[str, str, str], str]:
        """The names of the schemas of kinds, by group, version and kind."""
        return {
            (entry["group"], entry["version"], entry["kind"]): name
            for name, schema in self.schemas.items()
            for entry in schema.get("x-kubernetes-group-version-kind", ())
        }

    def resources(self) -> Iterator[APIResource]:
        """The resources whose objects can be read, in each version."""
        for document in self.groups:
            group, _, version = document["groupVersion"].rpartition("/")
            yield from (resource for resource in read_resources(document, group, version) if "get" in resource.verbs)

    def preferred(self) -> list[APIResource]:
        """Each resource in the version that the cluster prefers."""
        found: dict[GroupResource, APIResource] = {}
        for resource in sorted(self.resources(), key=lambda each: version_order(each.version)):
            found.setdefault(resource.group_resource, resource)
        return list(found.values())


class RecordedObjects(NamedTuple):
    """The objects as they were created by ``<kind>/<name>``, the same later as JSON and as protobuf in base64, and the patched
    objects, or the codes of refused patches, in the patches' order."""

    stored: dict[str, dict[str, Any]]
    protobuf: dict[str, tuple[dict[str, Any], str]]
    patched: list[Any]


@cache
def recorded_objects() -> RecordedObjects:
    """What the cluster stores."""
    return RecordedObjects(**json.loads(gzip.decompress(OBJECTS.read_bytes())))


@cache
def recording(version: str) -> Recording:
    """The recording of a version of Kubernetes."""
    content = json.loads(gzip.decompress(Path(__file__).with_name(f"kubernetes-{version}.json.gz").read_bytes()))
    return Recording(content["schemas"], content["resources"])
