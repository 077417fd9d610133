"""CustomResourceDefinitions of what a Kubernetes cluster serves: its CRDs as they are, and its built-in types from their OpenAPI
schemas.
"""

from kcp.multicluster.crd_puller.definitions import definition_of, name_of
from kcp.multicluster.crd_puller.pulling import Pulled, UnknownResourceError, pull
from kcp.multicluster.crd_puller.structural import RecursiveSchemaError, structural_schema

__all__ = [
    "Pulled",
    "RecursiveSchemaError",
    "UnknownResourceError",
    "definition_of",
    "name_of",
    "pull",
    "structural_schema",
]
