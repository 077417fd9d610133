"""Compatibility of schemas and definitions: what breaks clients, and what two of them have in common.

`compare` answers for the writers and the stored objects of the old schema: the new one must accept each object that the old one
accepts and prunes nothing from, keep its fields, default them alike, and merge its maps and lists alike. New properties, values
and formats are no break; clients of the old schema ignore fields that they do not know. `lowest_common_schema` answers for
readers as well: by its objects, no client of either schema sees a value that its schema excludes. Both fail closed: a difference
that is not understood is a break. The rules are those of kcp's API negotiation.
"""

from kcp.schema.compatibility.definitions import compare_definitions, lowest_common_definition
from kcp.schema.compatibility.incompatibilities import Incompatibility, InvalidSchemaError, NoCommonSchemaError
from kcp.schema.compatibility.schemas import compare, lowest_common_schema

__all__ = [
    "Incompatibility",
    "InvalidSchemaError",
    "NoCommonSchemaError",
    "compare",
    "compare_definitions",
    "lowest_common_definition",
    "lowest_common_schema",
]
