"""Validation that a schema is structural.

Follows apiextensions-apiserver's schema.ValidateStructural (KEP-1693, "Vanilla OpenAPI Subset"): every value has one type;
``allOf``, ``anyOf``, ``oneOf`` and ``not`` contain value validations only, and only for fields that are also declared outside of
them; metadata is implied. Errors are sorted by their text, as in Kubernetes.
"""

from typing import Final

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.cel.patterns import compile_pattern
from kcp.schema.raw_schemas import Raw, flag, properties, property_schema, schema, schemas, text

_ROOT: Final = "root"
_ITEM: Final = "item"
_FIELD: Final = "field"
_TYPE_MISSING: Final = {
    _ROOT: "must not be empty at the root",
    _ITEM: "must not be empty for specified array items",
    _FIELD: "must not be empty for specified object fields",
}
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
# The keywords that are forbidden in a value validation, with the error message.
_FORBIDDEN_WHEN_NESTED: Final = (
    ("type", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)
_MATTERS_EVEN_IF_EMPTY: Final = frozenset({"default", "x-kubernetes-list-type", "x-kubernetes-map-type"})
_DESCRIBES_NOTHING: Final = frozenset({"type", "default", "properties"})


def validate_structural(raw: Raw, path: str) -> list[FieldError]:
    """The reasons why a schema is not structural; ``path`` is the field path of the schema."""
    found = _invariants(raw, _ROOT, path) + _completeness(raw, raw, path, path)
    return sorted(found, key=str)


def _invariants(raw: Raw, level: str, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    kind = text(raw, "type")
    items = schema(raw, "items")
    if kind == "array" and items is None:
        found.append(field_errors.required(f"{path}.items", "must be specified"))
    if items is not None:
        found += _invariants(items, _ITEM, f"{path}.items")
    declared = properties(raw)
    for name, each in declared.items():
        found += _invariants(each, _FIELD, f"{path}.properties[{name}]")
    found += _additional_invariants(raw, level, path)
    if flag(raw, "x-kubernetes-int-or-string"):
        for keyword in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if flag(raw, keyword):
                text_ = "must be false if x-kubernetes-int-or-string is true"
                found.append(field_errors.invalid(f"{path}.{keyword}", True, text_))
    all_of = schemas(raw, "allOf")
    skip_any_of = raw.get("anyOf") == _INT_OR_STRING
    skip_first = bool(all_of) and all_of[0].get("anyOf") == _INT_OR_STRING
    found += _value_validations(raw, path, skip_any_of=skip_any_of, skip_first_all_of=skip_first)
    found += _type_invariants(raw, level, path)
    found += _metadata_invariants(raw, level, path)
    keeps = flag(raw, "x-kubernetes-preserve-unknown-fields")
    if flag(raw, "x-kubernetes-embedded-resource") and not keeps and not declared:
        why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        found.append(field_errors.required(f"{path}.properties", why))
    return found


def _additional_invariants(raw: Raw, level: str, path: str) -> list[FieldError]:
    if raw.get("additionalProperties") is None:
        return []
    found = []
    below = f"{path}.additionalProperties"
    if level == _ROOT:
        found.append(field_errors.forbidden(below, "must not be used at the root"))
    additional = schema(raw, "additionalProperties")
    if additional is not None:
        found += _invariants(additional, _FIELD, below)
    if flag(raw, "x-kubernetes-embedded-resource"):
        found.append(field_errors.forbidden(below, "must not be used if x-kubernetes-embedded-resource is set"))
    return found


def _type_invariants(raw: Raw, level: str, path: str) -> list[FieldError]:
    kind = text(raw, "type")
    keeps = flag(raw, "x-kubernetes-preserve-unknown-fields")
    found = []
    if flag(raw, "x-kubernetes-embedded-resource") and kind != "object":
        why = "must be object if x-kubernetes-embedded-resource is true"
        below = f"{path}.type"
        found.append(field_errors.invalid(below, kind, why) if kind else field_errors.required(below, why))
    elif not kind and not flag(raw, "x-kubernetes-int-or-string") and not keeps:
        found.append(field_errors.required(f"{path}.type", _TYPE_MISSING[level]))
    if level == _ROOT and kind and kind != "object":
        found.append(field_errors.invalid(f"{path}.type", kind, "must be object at the root"))
    return found


def _metadata_invariants(raw: Raw, level: str, path: str) -> list[FieldError]:
    declared = properties(raw)
    is_object = level == _ROOT or flag(raw, "x-kubernetes-embedded-resource")
    found = []
    for name in ("kind", "apiVersion"):
        if is_object and name in declared and text(declared[name], "type") != "string":
            below = f"{path}.properties[{name}].type"
            found.append(field_errors.invalid(below, text(declared[name], "type"), "must be string"))
    metadata = declared.get("metadata")
    if metadata is None:
        return found
    below = f"{path}.properties[metadata]"
    if is_object and text(metadata, "type") != "object":
        found.append(field_errors.invalid(f"{below}.type", text(metadata, "type"), "must be object"))
    if level == _ROOT:
        restricted = properties(metadata)
        says_more = any(value for keyword, value in metadata.items() if keyword not in _DESCRIBES_NOTHING)
        if says_more or not restricted.keys() <= {"name", "generateName"}:
            why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            found.append(field_errors.forbidden(below, why))
    return found


def _value_validations(raw: Raw, path: str, *, skip_any_of: bool, skip_first_all_of: bool) -> list[FieldError]:
    found = []
    if not skip_any_of:
        for index, each in enumerate(schemas(raw, "anyOf")):
            found += _nested(each, f"{path}.anyOf[{index}]")
    for index, each in enumerate(schemas(raw, "allOf")):
        found += _nested(each, f"{path}.allOf[{index}]", skip_any_of=skip_first_all_of and index == 0)
    for index, each in enumerate(schemas(raw, "oneOf")):
        found += _nested(each, f"{path}.oneOf[{index}]")
    negated = schema(raw, "not")
    if negated is not None:
        found += _nested(negated, f"{path}.not")
    pattern = text(raw, "pattern")
    if pattern:
        try:
            compile_pattern(pattern)
        except ValueError as problem:
            why = f"must be a valid regular expression, but isn't: {problem}"
            found.append(field_errors.invalid(f"{path}.pattern", pattern, why))
    return found


def _nested(raw: Raw, path: str, *, skip_any_of: bool = False) -> list[FieldError]:
    found = _value_validations(raw, path, skip_any_of=skip_any_of, skip_first_all_of=False)
    items = schema(raw, "items")
    if items is not None:
        found += _nested(items, f"{path}.items")
    declared = properties(raw)
    for name, each in declared.items():
        found += _nested(each, f"{path}.properties[{name}]")
    for keyword, why in _FORBIDDEN_WHEN_NESTED:
        value = raw.get(keyword)
        if value or (keyword in _MATTERS_EVEN_IF_EMPTY and value is not None):
            found.append(field_errors.forbidden(f"{path}.{keyword}", why))
    if raw.get("additionalProperties") is not None:
        found.append(field_errors.forbidden(f"{path}.additionalProperties", "must be undefined to be structural"))
    if "metadata" in declared:
        why = "must not be specified in a nested context"
        found.append(field_errors.forbidden(f"{path}.properties[metadata]", why))
    return found


def _completeness(validation: Raw, structure: Raw | None, path: str, origin: str) -> list[FieldError]:
    """Validate that each value validation (at ``origin``) has a structural counterpart (at ``path``)."""
    found = []
    nested = [(negated, "not") for negated in [schema(validation, "not")] if negated is not None]
    for keyword in ("allOf", "anyOf", "oneOf"):
        nested += [(each, f"{keyword}[{index}]") for index, each in enumerate(schemas(validation, keyword))]
    for each, where in nested:
        found += _nested_completeness(each, structure, path, f"{origin}.{where}")
    return found


def _nested_completeness(validation: Raw, structure: Raw | None, path: str, origin: str) -> list[FieldError]:
    if structure is None:
        return [field_errors.required(path, f"because it is defined in {origin}")]
    found = _completeness(validation, structure, path, origin)
    items = schema(validation, "items")
    if items is not None:
        found += _nested_completeness(items, schema(structure, "items"), f"{path}.items", f"{origin}.items")
    for name, each in properties(validation).items():
        where = f"properties[{name}]"
        found += _nested_completeness(each, property_schema(structure, name), f"{path}.{where}", f"{origin}.{where}")
    return found
