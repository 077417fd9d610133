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

from kcp.client import APIResource
from kcp.client.discovery.decoding import read_resources

VERSIONS = ("1.20", "1.36")


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


@cache
def recording(version: str) -> Recording:
    """The recording of a version of Kubernetes."""
    content = json.loads(gzip.decompress(Path(__file__).with_name(f"kubernetes-{version}.json.gz").read_bytes()))
    return Recording(content["schemas"], content["resources"])
