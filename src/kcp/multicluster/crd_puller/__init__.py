"""CustomResourceDefinitions of the resources of a Kubernetes cluster: its CRDs, and its built-in types converted."""

from kcp.multicluster.crd_puller.definitions import APPROVED, CORE, definition_of, name_of
from kcp.multicluster.crd_puller.pulling import (
    CUSTOM_RESOURCE_DEFINITIONS,
    Pulled,
    PulledVersions,
    UnknownResourceError,
    pull,
    pull_versions,
)
from kcp.multicluster.crd_puller.structural import RecursiveSchemaError, UnconvertibleSchemaError, structural_schema

__all__ = [
    "APPROVED",
    "CORE",
    "CUSTOM_RESOURCE_DEFINITIONS",
    "Pulled",
    "PulledVersions",
    "RecursiveSchemaError",
    "UnconvertibleSchemaError",
    "UnknownResourceError",
    "definition_of",
    "name_of",
    "pull",
    "pull_versions",
    "structural_schema",
]
