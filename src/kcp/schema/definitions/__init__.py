"""Defaulting, validation and conditions of CustomResourceDefinitions (apiextensions.k8s.io/v1)."""

from kcp.schema.definitions.conditions import compute_conditions, name_conflicts
from kcp.schema.definitions.defaults import default_definition, default_stored_versions
from kcp.schema.definitions.definition_validation import (
    validate_definition,
    validate_definition_status_update,
    validate_definition_update,
)
from kcp.schema.definitions.warnings import definition_warnings

__all__ = [
    "compute_conditions",
    "default_definition",
    "default_stored_versions",
    "definition_warnings",
    "name_conflicts",
    "validate_definition",
    "validate_definition_status_update",
    "validate_definition_update",
]
