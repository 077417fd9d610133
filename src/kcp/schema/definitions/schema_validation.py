"""Validation of the schema of a definition's version.

Follows apiextensions-apiserver's ValidateCustomResourceDefinitionOpenAPISchema and its callers: unsupported keywords, list and
map types, CEL rules (KEP-2876) with their estimated cost, beside the rules of structural schemas.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from kcp import cel
from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.schema import field_paths
from kcp.schema.compiled import compile_schema
from kcp.schema.default_validation import validate_defaults
from kcp.schema.definitions.list_validation import list_and_map_type_errors
from kcp.schema.definitions.validation_cache import cached_by_content
from kcp.schema.error_limits import Shortened, limited
from kcp.schema.nodes import SchemaNode
from kcp.schema.raw_schemas import (
    Raw,
    flag,
    is_well_formed,
    number,
    objects,
    properties,
    schema,
    schemas,
    subschemas,
    text,
)
from kcp.schema.structural import validate_structural
from kcp.schema.validation_rules import KEYWORD, ValidationRule, rules_of, schemas_with_rules

_META_FIELDS: Final = frozenset({"metadata", "kind", "apiVersion"})
_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_ALLOWED_AT_ROOT: Final = {
    "description": "Description",
    "type": "Type",
    "format": "Format",
    "title": "Title",
    "maximum": "Maximum",
    "exclusiveMaximum": "ExclusiveMaximum",
    "minimum": "Minimum",
    "exclusiveMinimum": "ExclusiveMinimum",
    "maxLength": "MaxLength",
    "minLength": "MinLength",
    "pattern": "Pattern",
    "maxItems": "MaxItems",
    "minItems": "MinItems",
    "uniqueItems": "UniqueItems",
    "multipleOf": "MultipleOf",
    "required": "Required",
    "items": "Items",
    "properties": "Properties",
    "externalDocs": "ExternalDocs",
    "example": "Example",
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields",
    "x-kubernetes-validations": "XValidations",
}
_UNSUPPORTED: Final = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_UNSUPPORTED_UNLESS_EMPTY: Final = frozenset({"id", "$schema", "patternProperties", "definitions"})
_UNSUPPORTED_OR_SCHEMA: Final = frozenset({*_UNSUPPORTED, "$schema"})
_CRD_TOTAL: Final = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
_RULES_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class ValidationOptions:
    """Violations that an update may keep, because the old definition has them (apiextensions' validationOptions)."""

    unpruned_defaults: bool = False
    non_atomic_sets: bool = False
    loose_map_keys: bool = False
    unknown_types: bool = False
    expensive_rules: bool = False


@dataclass(slots=True)
class _Costs:
    """The total estimated cost of the rules of a schema, and the most expensive rules."""

    total: int = 0
    largest: list[tuple[int, str]] = field(default_factory=list)

    def observe(self, path: str, cost: int) -> None:
        self.total += cost
        if cost >= cel.DEFINITION_COST_LIMIT // 100:
            self.largest = sorted([*self.largest, (cost, path)], key=lambda each: -each[0])[:_RULES_SHOWN]


@dataclass(frozen=True, slots=True)
class _SchemaContext:
    """What a schema node inherits from its ancestors (Kubernetes' CELSchemaContext)."""

    costs: _Costs
    options: ValidationOptions
    with_rules: dict[int, bool]  # see schemas_with_rules
    cardinality: int | None = 1  # how many values an object can have here; None: no limit
    defaults_forbidden: str | None = None
    inside_meta: bool = False
    uncorrelatable: str | None = None

    def below(self, raw: Raw) -> "_SchemaContext":
        """The context of the children of ``raw``."""
        factor = _occurrences(raw)
        if factor == 1:
            return self
        known = self.cardinality is not None and factor is not None
        return replace(self, cardinality=(self.cardinality or 0) * (factor or 0) if known else None)


def _occurrences(raw: Raw) -> int | None:
    kind = text(raw, "type")
    if kind == "object" and raw.get("additionalProperties") is not None:
        most = number(raw, "maxProperties")
    elif kind == "array":
        most = number(raw, "maxItems")
    else:
        return 1
    return None if most is None else max(most, 0)


@cached_by_content
def schema_errors(raw: Raw, path: str, *, status: bool, options: ValidationOptions) -> list[FieldError]:
    """Validate a version's ``openAPIV3Schema``; ``status`` is true if the status subresource is enabled."""
    found = _root_errors(raw, path) if status else []
    if flag(raw, "nullable"):
        found.append(field_errors.forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    with_rules = schemas_with_rules(raw)
    node = None
    if not has_unsupported_keywords(raw):
        problems = validate_structural(raw, path)
        if not problems and is_well_formed(raw):
            problems = validate_defaults(raw, path, require_pruned=not options.unpruned_defaults)
        if problems:
            found += problems
        elif with_rules[id(raw)] and is_well_formed(raw):
            node = compile_schema(raw).root
    context = _SchemaContext(_Costs(), options, with_rules)
    problems, rule_problems = _walk(raw, path, context, node, is_root=True)
    found += problems + rule_problems
    if context.costs.total > cel.DEFINITION_COST_LIMIT:
        why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        found += [field_errors.forbidden(where, why) for _, where in context.costs.largest]
        why = _over_budget(_CRD_TOTAL, context.costs.total, cel.DEFINITION_COST_LIMIT)
        found.append(field_errors.forbidden(path, why))
    if not found and any(text(each, "$schema") for each in subschemas(raw)):
        found.append(field_errors.invalid(path, "", "OpenAPIV3Schema 'schema' is not supported"))
    return limited(found)


def has_unsupported_keywords(raw: Raw) -> bool:
    """Whether a schema or a subschema has a keyword that structural schemas do not support."""
    return any(
        _is_unsupported(each, keyword)
        for each in subschemas(raw)
        if not _UNSUPPORTED_OR_SCHEMA.isdisjoint(each)
        for keyword in _UNSUPPORTED_OR_SCHEMA.intersection(each)
    )


def _is_unsupported(raw: Raw, keyword: str) -> bool:
    value = raw.get(keyword)
    return bool(value) if keyword in _UNSUPPORTED_UNLESS_EMPTY else value is not None


def _root_errors(raw: Raw, path: str) -> list[FieldError]:
    kind = raw.get("type")
    if kind != "object":
        why = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        return [field_errors.invalid(f"{path}.type", kind or "", why)]
    if any(value not in (None, False, "", [], {}) for keyword, value in raw.items() if keyword not in _ALLOWED_AT_ROOT):
        listed = " ".join(_ALLOWED_AT_ROOT.values())
        why = f"only [{listed}] fields are allowed at the root of the schema if the status subresource is enabled"
        return [field_errors.invalid(path, Shortened(raw), why)]
    return []


_Found = tuple[list[FieldError], list[FieldError]]


def _walk(raw: Raw, path: str, context: _SchemaContext, node: SchemaNode | None, *, is_root: bool = False) -> _Found:
    """Validate a schema recursively; returns its errors and those of its rules. Without a node, rules are not compiled."""
    found = _keyword_errors(raw, path, context)
    rule_problems: list[FieldError] = []
    for child, below, child_context, child_node in _children(raw, path, context, node, is_root=is_root):
        deeper, deeper_rules = _walk(child, below, child_context, child_node)
        found += deeper
        rule_problems += deeper_rules
    if raw.get("x-kubernetes-preserve-unknown-fields") is False:
        below = f"{path}.x-kubernetes-preserve-unknown-fields"
        found.append(field_errors.invalid(below, False, "must be true or undefined"))
    found += list_and_map_type_errors(
        raw,
        path,
        non_atomic_sets=context.options.non_atomic_sets,
        loose_map_keys=context.options.loose_map_keys,
    )
    for index, rule in enumerate(objects(raw.get(KEYWORD))):
        found += _rule_form_errors(rule, raw, f"{path}.{KEYWORD}[{index}]")
    if not found and node is not None:
        for index, compiled in enumerate(rules_of(node)):
            rule_problems += _rule_errors(compiled, f"{path}.{KEYWORD}[{index}]", context)
    return found, rule_problems


_Child = tuple[Raw, str, _SchemaContext, SchemaNode | None]


def _children(
    raw: Raw, path: str, context: _SchemaContext, node: SchemaNode | None, *, is_root: bool
) -> Iterator[_Child]:
    yield from _property_children(raw, path, context, node, is_root=is_root)
    additional = schema(raw, "additionalProperties")
    if additional is not None:
        below = context.below(raw)
        if context.inside_meta:
            reason = "inside additionalProperties applying to object metadata"
            below = replace(below, defaults_forbidden=reason)
        yield additional, f"{path}.additionalProperties", below, node.additional if node is not None else None
    negated = schema(raw, "not")
    if negated is not None:
        yield negated, f"{path}.not", context, None
    for keyword in ("allOf", "oneOf", "anyOf"):
        for index, each in enumerate(schemas(raw, keyword)):
            yield each, f"{path}.{keyword}[{index}]", context, None
    for name, each in properties(raw, "definitions").items():
        yield each, f"{path}.definitions[{name}]", context, None
    items = schema(raw, "items")
    if items is not None:
        below = context.below(raw)
        if text(raw, "x-kubernetes-list-type") != "map" and below.uncorrelatable is None:
            below = replace(below, uncorrelatable=path)
        yield items, f"{path}.items", below, node.items if node is not None else None


def _property_children(
    raw: Raw, path: str, context: _SchemaContext, node: SchemaNode | None, *, is_root: bool
) -> Iterator[_Child]:
    declared = properties(raw)
    if not declared:
        return
    below = context.below(raw)
    if text(raw, "x-kubernetes-map-type") not in ("", "granular", "atomic") and below.uncorrelatable is None:
        below = replace(below, uncorrelatable=path)
    is_resource = is_root or flag(raw, "x-kubernetes-embedded-resource")
    for name, each in declared.items():
        own = below
        if is_resource and name in _META_FIELDS:
            own = replace(below, inside_meta=True)
            if is_root:
                own = replace(own, defaults_forbidden=f"in top-level {name}")
        child = node.property(name) if node is not None and context.with_rules[id(each)] else None
        yield each, f"{path}.properties[{name}]", own, child


def _keyword_errors(raw: Raw, path: str, context: _SchemaContext) -> list[FieldError]:
    found = []
    kind = text(raw, "type")
    if kind and kind not in _TYPES and not context.options.unknown_types:
        found.append(field_errors.not_supported(f"{path}.type", kind, _TYPES))
    if raw.get("default") is not None and context.defaults_forbidden is not None:
        why = f"must not be set {context.defaults_forbidden}"
        found.append(field_errors.forbidden(f"{path}.default", why))
    found += [
        field_errors.forbidden(f"{path}.{keyword}", f"{keyword} is not supported")
        for keyword in _UNSUPPORTED
        if _is_unsupported(raw, keyword)
    ]
    if kind == "null":
        why = "type cannot be set to null, use nullable as an alternative"
        found.append(field_errors.forbidden(f"{path}.type", why))
    if isinstance(raw.get("items"), list):
        found.append(field_errors.forbidden(f"{path}.items", "items must be a schema object and not an array"))
    if context.inside_meta and flag(raw, "x-kubernetes-embedded-resource"):
        below = f"{path}.x-kubernetes-embedded-resource"
        found.append(field_errors.forbidden(below, "must not be used inside of resource meta"))
    if flag(raw, "uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.append(field_errors.forbidden(f"{path}.uniqueItems", why))
    additional = raw.get("additionalProperties")
    if additional is not None and not isinstance(additional, (dict, bool)):
        why = "boolean or JSON schema expected"
        found.append(field_errors.undecodable(f"{path}.additionalProperties", additional, why))
    if properties(raw) and (isinstance(additional, dict) or additional is False):
        why = "additionalProperties and properties are mutual exclusive"
        found.append(field_errors.forbidden(f"{path}.additionalProperties", why))
    return found


def _rule_form_errors(rule: Raw, raw: Raw, path: str) -> list[FieldError]:
    found = []
    expression, message = text(rule, "rule").strip(), text(rule, "message")
    if not expression:
        found.append(field_errors.required(f"{path}.rule", "rule is not specified"))
    elif message and not message.strip():
        found.append(field_errors.invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif _has_newline(message.strip()):
        found.append(field_errors.invalid(f"{path}.message", message, "must not contain line breaks"))
    elif _has_newline(expression) and not message.strip():
        why = "message must be specified if rule contains line breaks"
        found.append(field_errors.required(f"{path}.message", why))
    if text(rule, "messageExpression") and not text(rule, "messageExpression").strip():
        why = "messageExpression must be non-empty if specified"
        found.append(field_errors.required(f"{path}.messageExpression", why))
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        found.append(field_errors.not_supported(f"{path}.reason", reason, _REASONS))
    return found + _field_path_errors(text(rule, "fieldPath"), raw, f"{path}.fieldPath")


def _field_path_errors(value: str, raw: Raw, path: str) -> list[FieldError]:
    if not value:
        return []
    found = []
    if not value.strip():
        found.append(field_errors.invalid(path, value, "must be non-empty if specified"))
    if _has_newline(value):
        found.append(field_errors.invalid(path, value, "must not contain line breaks"))
    try:
        field_paths.resolve(value, raw)
    except ValueError:
        found.append(field_errors.invalid(path, value, "must be a valid path"))
    return found


def _has_newline(value: str) -> bool:
    return "\n" in value or "\r" in value


def _rule_errors(rule: ValidationRule, path: str, context: _SchemaContext) -> list[FieldError]:
    found = []
    raw = rule.raw
    if rule.program is not None:
        times = context.cardinality if context.cardinality is not None else rule.cardinality
        found += _cost_errors(rule.program.estimated_cost.maximum * times, "rule", path, context)
    if rule.problem:
        found.append(field_errors.invalid(f"{path}.rule", raw, rule.problem))
    if rule.message_problem:
        found.append(field_errors.invalid(f"{path}.messageExpression", raw, rule.message_problem))
    elif rule.message_program is not None:
        cost = rule.message_program.estimated_cost.maximum
        found += _cost_errors(cost, "messageExpression", path, context)
    if rule.program is not None and rule.program.uses_old_self:
        if context.uncorrelatable is not None:
            why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {context.uncorrelatable}"
            found.append(field_errors.invalid(f"{path}.rule", raw.get("rule"), why))
    elif raw.get("optionalOldSelf") is not None:
        why = "may not be set if oldSelf is not used in rule"
        found.append(field_errors.invalid(f"{path}.optionalOldSelf", raw["optionalOldSelf"], why))
    return found


def _cost_errors(cost: int, what: str, path: str, context: _SchemaContext) -> list[FieldError]:
    context.costs.observe(f"{path}.{what}", cost)
    if cost <= cel.EXPRESSION_COST_LIMIT or context.options.expensive_rules:
        return []
    why = _over_budget(f"estimated {what} cost", cost, cel.EXPRESSION_COST_LIMIT)
    return [field_errors.forbidden(f"{path}.{what}", why)]


def _over_budget(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{what} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, "
        "and maxLength where arrays, maps, and strings are declared)"
    )
