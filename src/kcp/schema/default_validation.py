"""Validation of the defaults in a structural schema.

Follows apiextensions-apiserver's schema/defaulting.ValidateDefaults: a default must have no unknown fields and must be valid by
the schema that it stands in, including its CEL rules.
"""

from typing import Any

from kcp.api import field_errors, json_values
from kcp.api.field_errors import FieldError
from kcp.schema.error_reporting import collect_errors
from kcp.schema.extension_validation import embedded_errors
from kcp.schema.nodes import SchemaNode, Scope
from kcp.schema.object_meta import validate_embedded_resource
from kcp.schema.pruning import prune_unknown, pruner
from kcp.schema.raw_schemas import Raw, flag, properties, schema
from kcp.schema.validation_rules import rule_errors

_META_FIELDS = ("metadata", "apiVersion", "kind")


def validate_defaults(raw: Raw, path: str, *, require_pruned: bool = True) -> list[FieldError]:
    """Validate all defaults of a structural schema."""
    return _validate(raw, path, inside_meta=False, is_resource=True, require_pruned=require_pruned)


def _validate(raw: Raw, path: str, *, inside_meta: bool, is_resource: bool, require_pruned: bool) -> list[FieldError]:
    is_resource = is_resource or flag(raw, "x-kubernetes-embedded-resource")
    inside_meta = inside_meta and not flag(raw, "x-kubernetes-embedded-resource")
    found: list[FieldError] = []
    if raw.get("default") is not None:
        found += _default_errors(raw, f"{path}.default", inside_meta=inside_meta, require_pruned=require_pruned)
    items = schema(raw, "items")
    if items is not None:
        below = f"{path}.items"
        found += _validate(items, below, inside_meta=inside_meta, is_resource=False, require_pruned=require_pruned)
    for name, each in properties(raw).items():
        below = f"{path}.properties[{name}]"
        meta = inside_meta or (is_resource and name in _META_FIELDS)
        found += _validate(each, below, inside_meta=meta, is_resource=False, require_pruned=require_pruned)
    return found


def _default_errors(raw: Raw, path: str, *, inside_meta: bool, require_pruned: bool) -> list[FieldError]:
    value = raw["default"]
    # Kubernetes validates defaults with the structural schema, in which int-or-string has no type.
    node = Scope({}, typed_int_or_string=False).node(raw)
    found: list[FieldError] = []
    if require_pruned and not inside_meta and _prunes(node, value):
        found.append(field_errors.invalid(path, value, "must not have unknown fields"))
    if flag(raw, "x-kubernetes-embedded-resource") and isinstance(value, dict):
        embedded = validate_embedded_resource(value, path)
    else:
        embedded = embedded_errors(node, value)
    if embedded:
        return found + [_invalid(error) for error in embedded]
    problems = collect_errors(node, value, "").errors
    if not problems:
        problems = rule_errors(node, value, None, None, ())
    return found + [_below(error, path) for error in problems]


def _prunes(node: SchemaNode, value: Any) -> bool:
    copied = json_values.copy_containers(value)
    if type(copied) is not dict and type(copied) is not list:
        return False
    return bool(pruner(node)(copied) if node.types or node.preserves_unknown else prune_unknown(copied))


def _invalid(error: FieldError) -> FieldError:
    """The error of a default, which is a part of a definition that does decode."""
    if error.type != field_errors.UNDECODABLE:
        return error
    return FieldError(field_errors.INVALID, error.field, error.value, error.detail)


def _below(error: FieldError, path: str) -> FieldError:
    """Prefix the field of an error with the path of the default."""
    if error.field == "<nil>":
        return FieldError(error.type, path, error.value, error.detail)
    return FieldError(error.type, f"{path}.{error.field}", error.value, error.detail)
