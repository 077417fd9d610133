"""OpenAPI documents of a set of resource types: version 3 by group version (KEP-2896), and version 2 (Swagger) in one piece."""

from kcp.registry.documents.openapi.documents import OpenAPIDocuments, url

__all__ = ["OpenAPIDocuments", "url"]
