"""Structural schemas: prune, default and validate objects; validate the schemas themselves.

A schema is a raw OpenAPI v3 dict in the dialect of a CustomResourceDefinition's ``openAPIV3Schema``; built-in types use the
same dialect with a root ``$defs`` and ``$ref``.
"""

from kcp.schema.compiled import CompiledSchema, compile_schema
from kcp.schema.structural import validate_structural

__all__ = ["CompiledSchema", "compile_schema", "validate_structural"]
