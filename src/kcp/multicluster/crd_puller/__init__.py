"""CustomResourceDefinitions of the resources of a Kubernetes cluster: its CRDs, and its built-in types converted."""

from kcp.multicluster.crd_puller.definitions import definition_of, name_of
from kcp.multicluster.crd_puller.pulling import CUSTOM_RESOURCE_DEFINITIONS, Pulled, UnknownResourceError, pull
from kcp.multicluster.crd_puller.structural import RecursiveSchemaError, UnconvertibleSchemaError, structural_schema

__all__ = [
    "CUSTOM_RESOURCE_DEFINITIONS",
    "Pulled",
    "RecursiveSchemaError",
    "UnconvertibleSchemaError",
    "UnknownResourceError",
    "definition_of",
    "name_of",
    "pull",
    "structural_schema",
]
