"""Error reporting: the validation errors of a value that does not satisfy its schema.

Follows kube-openapi's pkg/validation/validate (which validators run on which value, how the errors of allOf, anyOf, oneOf and not
combine, and every message) and apiextensions-apiserver's conversion of its results to field errors, with validation ratcheting
(KEP-4008): an update does not report errors of unchanged values. Errors are in the order of the schema's properties.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.cel.patterns import compile_pattern
from kcp.schema.correlation import Correlation
from kcp.schema.error_limits import MAX_ERRORS, NO_PATH
from kcp.schema.fast_validation import check_of, holds
from kcp.schema.nodes import SchemaNode
from kcp.schema.value_predicates import (
    enum_identity,
    format_number,
    has_equal_items,
    in_range,
    is_integral,
    is_multiple,
    json_type,
)


@dataclass(slots=True)
class ValidationResult:
    """The errors of a value and its match count: anyOf and oneOf report the errors of the best match."""

    errors: list[FieldError] = field(default_factory=list)
    matches: int = 0
    _values: dict[tuple[str, str, str], list[Any]] = field(default_factory=dict)

    def merge(self, other: "ValidationResult") -> None:
        """Add the errors of another result, without duplicates."""
        for error in other.errors:
            self.add(error)
        self.matches += other.matches

    def add(self, error: FieldError) -> None:
        """Add an error, unless the result has it already or is full."""
        values = self._values.setdefault((error.type, error.field, error.detail), [])
        if not self.full and error.value not in values:
            values.append(error.value)
            self.errors.append(error)

    @property
    def full(self) -> bool:
        """Whether there are more errors than are reported, so that validation can stop."""
        return len(self.errors) > MAX_ERRORS


_VALID: Final = ValidationResult()


def collect_errors(
    node: SchemaNode, value: Any, path: str = "", correlation: Correlation | None = None, *, counting: bool = False
) -> ValidationResult:
    """Validate a value, with validation ratcheting: without the errors of unchanged values.

    ``counting`` says that the match count matters, so that valid parts are validated in full too.
    """
    if not counting and holds(check_of(node), value):
        return _VALID
    result = collect_errors_as_new(node, value, path, correlation, counting=counting)
    if result.errors and correlation is not None and correlation.unchanged:
        return ValidationResult([], result.matches)
    return result


def collect_errors_as_new(
    node: SchemaNode, value: Any, path: str, correlation: Correlation | None, *, counting: bool = False
) -> ValidationResult:
    """Validate a value as if it were new; validation ratcheting applies to its children only."""
    result = ValidationResult()
    if value is None:
        _check_null(node, path, result)
        return result
    if node.types or node.format:
        _check_type(node, value, path, result)
        result.matches += 1
    result.merge(_alternatives(node, value, path, correlation))
    result.matches += 1
    kind = type(value)
    if kind is str:
        _check_string(node, value, path, result)
    elif kind is int or kind is float:
        _check_number(node, value, path, result)
        result.matches += 2
    elif kind is list:
        _check_list(node, value, path, result, correlation, counting)
        result.matches += 2
    _check_enum(node, value, path, result)
    result.matches += 1
    if kind is dict:
        _check_map(node, value, path, result, correlation, counting)
        result.matches += 1
    result.matches += 1
    return result


def at(path: str) -> str:
    """The field path as field errors show it; the root has none."""
    return path.removeprefix(".") or NO_PATH


def _invalid(path: str, value: Any, text: str) -> FieldError:
    return field_errors.invalid(at(path), value, f"{path} in body {text}")


def _type_mismatch(path: str, expected: str, found: str) -> FieldError:
    return field_errors.type_invalid(at(path), found, f'{path} in body must be of type {expected}: "{found}"')


def _check_null(node: SchemaNode, path: str, result: ValidationResult) -> None:
    if not node.accepts_null and "null" not in node.types:
        result.add(_type_mismatch(path, ",".join(node.types), "null"))
    else:
        result.matches += 1
    _check_enum(node, None, path, result)


_GO_FORMATS: Final = {"integer": "int64", "number": "float64"}


def _check_type(node: SchemaNode, value: Any, path: str, result: ValidationResult) -> None:
    types = node.types
    found = json_type(value)
    passes_as_number = (found == "integer" and "number" in types) or (
        found == "number" and "integer" in types and is_integral(float(value))
    )
    if found in types or passes_as_number or (not types and found == "string"):
        result.matches += 1
    elif node.format and found not in ("string", "array") and not node.scope.of_go_type:
        result.add(_type_mismatch(path, node.format, _GO_FORMATS.get(found, "")))
    else:
        result.add(_type_mismatch(path, ",".join(types) or node.format, found))


def _check_enum(node: SchemaNode, value: Any, path: str, result: ValidationResult) -> None:
    if node.enum and enum_identity(value) not in node.enum_identities:
        result.add(FieldError(field_errors.NOT_SUPPORTED, at(path), value, node.supported_values))


def _check_string(node: SchemaNode, value: str, path: str, result: ValidationResult) -> None:
    longest, shortest, pattern = node.count("maxLength"), node.count("minLength"), node.pattern
    result.matches += 1
    if longest is not None and len(value) > longest:
        result.add(field_errors.too_long(at(path), longest))
    elif shortest and len(value) < shortest:
        result.add(_invalid(path, value, f"should be at least {shortest} chars long"))
    elif pattern:
        _check_pattern(pattern, value, path, result)
    if node.string_check is not None:
        result.matches += 1
        if not node.string_check(value):
            text = f"{path} in body must be of type {node.format}: {orjson.dumps(value).decode()}"
            result.add(field_errors.type_invalid(at(path), value, text))


def _check_pattern(pattern: str, value: str, path: str, result: ValidationResult) -> None:
    try:
        if compile_pattern(pattern).search(value) is None:
            result.add(_invalid(path, value, f"should match '{pattern}'"))
    except ValueError as problem:
        result.add(_invalid(path, value, f"should match '{pattern}, but pattern is invalid: {problem}'"))


def _check_number(node: SchemaNode, value: float, path: str, result: ValidationResult) -> None:
    kind = node.types[0] if len(node.types) == 1 else ""
    form = node.format if kind else ""

    def outside(number: float, what: str) -> None:
        if kind and not in_range(number, kind, form):
            how = f"of type {kind} with format {form}" if form else f"of type {kind} (default format)"
            result.add(field_errors.invalid(NO_PATH, "", f"{what} value must be {how} in {path}"))

    raw = node.raw
    outside(value, "Checked")
    factor, high, low = node.limit("multipleOf"), node.limit("maximum"), node.limit("minimum")
    if factor is not None:
        outside(factor, "MultipleOf")
        if factor <= 0:
            text = f"factor MultipleOf declared for {path} must be positive: {format_number(factor)}"
            result.add(field_errors.invalid(at(path), factor, text))
        elif not is_multiple(value, factor):
            result.add(_invalid(path, value, f"should be a multiple of {format_number(factor)}"))
    if low is not None:
        outside(low, "Minimum boundary")
        if raw.get("exclusiveMinimum"):
            if value <= low:
                result.add(_invalid(path, value, f"should be greater than {format_number(low)}"))
        elif value < low:
            result.add(_invalid(path, value, f"should be greater than or equal to {format_number(low)}"))
    if high is not None:
        outside(high, "Maximum boundary")
        if raw.get("exclusiveMaximum"):
            if value >= high:
                result.add(_invalid(path, value, f"should be less than {format_number(high)}"))
        elif value > high:
            result.add(_invalid(path, value, f"should be less than or equal to {format_number(high)}"))


def _check_list(
    node: SchemaNode,
    values: list[Any],
    path: str,
    result: ValidationResult,
    correlation: Correlation | None,
    counting: bool,
) -> None:
    if node.items is not None:
        check = check_of(node.items)
        for index, value in enumerate(values):
            if not counting and holds(check, value):
                continue
            if result.full:
                return
            child = correlation.index(index) if correlation is not None else None
            result.merge(collect_errors(node.items, value, f"{path}[{index}]", child, counting=counting))
    _check_size(node, len(values), "Items", path, result)
    if node.raw.get("uniqueItems") is True and has_equal_items(values):
        result.add(_invalid(path, "", "shouldn't contain duplicates"))


def _check_size(node: SchemaNode, size: int, counted: str, path: str, result: ValidationResult) -> None:
    fewest, most = node.count(f"min{counted}"), node.count(f"max{counted}")
    if fewest and size < fewest:
        result.add(_invalid(path, size, f"should have at least {fewest} {counted.lower()}"))
    if most is not None and size > most:
        result.add(field_errors.too_many(at(path), size, most))


def _check_map(
    node: SchemaNode,
    value: dict[str, Any],
    path: str,
    result: ValidationResult,
    correlation: Correlation | None,
    counting: bool,
) -> None:
    _check_size(node, len(value), "Properties", path, result)
    declared = node.property_schemas
    for key, child in value.items():
        if result.full:
            return
        if key in declared:
            continue
        if node.forbids_additional:
            result.add(field_errors.invalid(at(path), key, f"{path}.{key} in body is a forbidden property"))
        elif node.additional is not None:
            below = _child(correlation, key, path)
            result.merge(collect_errors(node.additional, child, f"{path}.{key}", below, counting=counting))
    for key in declared:
        if key in value:
            name, below = f"{path}.{key}" if path else key, _child(correlation, key, path)
            result.merge(collect_errors(node.property(key), value[key], name, below, counting=counting))
    for key in node.required:
        if key not in value and not result.full:
            result.add(field_errors.required(at(f"{path}.{key}")))


def _child(correlation: Correlation | None, key: str, path: str) -> Correlation | None:
    if correlation is None or (not path and key in ("apiVersion", "kind")):
        return None
    return correlation.key(key)


def _alternatives(node: SchemaNode, value: Any, path: str, correlation: Correlation | None) -> ValidationResult:
    result = ValidationResult(matches=1)

    def tried(alternative: SchemaNode) -> ValidationResult:
        return collect_errors_as_new(alternative, value, path, correlation, counting=True)

    def say(text: str) -> None:
        result.add(field_errors.invalid(NO_PATH, "", f'"{path}" {text}'))

    if node.any_of:
        results = [tried(alternative) for alternative in node.any_of]
        passed = [each for each in results if not each.errors]
        if passed:
            result.merge(passed[0])
        else:
            say("must validate at least one schema (anyOf)")
            result.merge(max(results, key=lambda each: each.matches))
    if node.one_of:
        results = [tried(alternative) for alternative in node.one_of]
        passed = [each for each in results if not each.errors]
        if len(passed) == 1:
            result.merge(passed[0])
        elif passed:
            say(f"must validate one and only one schema (oneOf). Found {len(passed)} valid alternatives")
        else:
            say("must validate one and only one schema (oneOf). Found none valid")
            result.merge(max(results, key=lambda each: each.matches))
    if node.all_of:
        results = [tried(alternative) for alternative in node.all_of]
        for each in results:
            result.merge(each)
        failures = sum(bool(each.errors) for each in results)
        if failures:
            say("must validate all the schemas (allOf)" + (". None validated" if failures == len(results) else ""))
    if node.negated is not None and not tried(node.negated).errors:
        say("must not validate the schema (not)")
    return result
