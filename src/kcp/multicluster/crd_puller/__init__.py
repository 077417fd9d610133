"""CustomResourceDefinitions of what a Kubernetes cluster serves: its CRDs as they are, and its built-in types from their OpenAPI
schemas.
"""

from kcp.multicluster.crd_puller.definitions import ServedResource, definition_of, name_of
from kcp.multicluster.crd_puller.structural import RecursiveSchemaError, structural_schema

__all__ = ["RecursiveSchemaError", "ServedResource", "definition_of", "name_of", "structural_schema"]
