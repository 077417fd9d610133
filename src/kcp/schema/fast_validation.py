"""Fast validation: whether a value satisfies a schema, without error messages.

Almost every value is valid, so each schema node has a closure, made on first use, that returns a bool and builds no paths. Only
an invalid value is validated a second time, by kcp.schema.error_reporting, which has the same rules; a property test holds the
two together.
"""

import math
from collections.abc import Callable, Collection
from itertools import compress
from operator import is_not
from typing import Any, cast

from kcp.cel.patterns import compile_pattern
from kcp.schema.list_types import has_repetition
from kcp.schema.nodes import META_FIELDS, SchemaNode
from kcp.schema.object_meta import validate_embedded_resource
from kcp.schema.value_predicates import (
    INTEGER_RANGES,
    enum_identity,
    has_equal_items,
    in_range,
    is_integral,
    is_multiple,
)

Check = Callable[[Any], bool]


def accept(_: Any) -> bool:
    """Accept any value."""
    return True


def check_of(node: SchemaNode) -> Check:
    """The check of a node; for a plain string or boolean the Python type itself, which callers compare with."""
    function = node.functions.get("check")
    if function is None:
        function = node.functions["check"] = _make(node)
    return function


def holds(check: Check, value: Any) -> bool:
    """Apply a check made by ``check_of``."""
    return type(value) is check if type(check) is type else check(value)


def _make(node: SchemaNode) -> Check:
    common = _common_parts(node)
    by_type: dict[type, list[Check]] = {}
    types = node.types
    if not types or "string" in types:
        by_type[str] = _string_parts(node)
    if not types or "boolean" in types:
        by_type[bool] = []
    _add_number_parts(node, by_type)
    if not types or "array" in types:
        by_type[list] = _list_parts(node)
    if not types or "object" in types:
        by_type[dict] = _map_parts(node)
    if types == () and node.format:
        by_type = {str: by_type[str]}
    if len(by_type) == 1 and not node.nullable:
        ((_, parts),) = by_type.items()
        if len(parts + common) == 1 and ((by_type.keys() == {dict} and node.property_schemas) or node.enum):
            return (parts + common)[0]  # this check includes the type
    checks = {kind: _all(parts + common) for kind, parts in by_type.items()}
    if types == ("integer",) and not node.nullable and len(by_type[int] + common) == 1:
        return _plain_integer(*_integer_range(node), checks[float])
    if (node.accepts_null or "null" in types) and not node.enum:
        checks[type(None)] = accept
    return _dispatch(checks)


def _dispatch(checks: dict[type, Check]) -> Check:
    if len(checks) == 1:
        ((kind, check),) = checks.items()
        if check is accept:
            return cast("Check", kind) if kind in (str, bool) else _of_type(kind)

        def only(value: Any) -> bool:
            return type(value) is kind and check(value)

        return only

    def dispatch(value: Any) -> bool:
        check = checks.get(type(value))
        return check is not None and check(value)

    return dispatch


def _of_type(kind: type) -> Check:
    def check(value: Any) -> bool:
        return type(value) is kind

    return check


def _all(parts: list[Check]) -> Check:
    if not parts:
        return accept
    if len(parts) == 1:
        return parts[0]
    fixed = tuple(parts)

    def check(value: Any) -> bool:
        for part in fixed:  # noqa: SIM110 - faster than a generator expression
            if not part(value):
                return False
        return True

    return check


def _common_parts(node: SchemaNode) -> list[Check]:
    parts: list[Check] = []
    if node.enum:
        parts.append(_enum_check(node))
    parts += [_later(alternative) for alternative in node.all_of]
    if any_of := [_later(alternative) for alternative in node.any_of]:
        parts.append(lambda value: any(check(value) for check in any_of))
    if one_of := [_later(alternative) for alternative in node.one_of]:
        parts.append(lambda value: sum(check(value) for check in one_of) == 1)
    if node.negated is not None:
        negated = _later(node.negated)
        parts.append(lambda value: not negated(value))
    return parts


def _later(node: SchemaNode) -> Check:
    """A check that is made on first use, since schemas may be recursive."""

    def check(value: Any) -> bool:
        return holds(check_of(node), value)

    return check


def _enum_check(node: SchemaNode) -> Check:
    if all(type(choice) is str for choice in node.enum):
        known = frozenset(node.enum)
        return lambda value: type(value) is str and value in known
    identities = node.enum_identities
    return lambda value: enum_identity(value) in identities


def _string_parts(node: SchemaNode) -> list[Check]:
    parts: list[Check] = []
    longest, shortest = node.count("maxLength"), node.count("minLength")
    if longest is not None:
        parts.append(lambda value: len(value) <= longest)
    if shortest:
        parts.append(lambda value: len(value) >= shortest)
    if node.pattern:
        parts.append(_pattern_check(node.pattern))
    if node.string_check is not None:
        parts.append(node.string_check)
    return parts


def _pattern_check(text: str) -> Check:
    try:
        search = compile_pattern(text).search
    except ValueError:
        return lambda _: False
    return lambda value: search(value) is not None


def _add_number_parts(node: SchemaNode, by_type: dict[type, list[Check]]) -> None:
    types = node.types
    if types and not {"integer", "number"} & set(types):
        return
    bounds = _bound_parts(node)
    kind = types[0] if len(types) == 1 else ""
    form = node.format if kind else ""
    if types and "number" not in types:
        by_type[int] = [_range_check(*_integer_range(node)), *_bound_parts(node, ranges=False)]
        by_type[float] = [is_integral, lambda value: in_range(value, kind, form), *bounds]
    else:
        limits: list[Check] = [lambda value: in_range(value, kind, form)] if form == "float" else []
        by_type[int] = limits + bounds
        by_type[float] = limits + bounds


def _integer_range(node: SchemaNode) -> tuple[int, int]:
    """The range of an integer: its format combined with minimum and maximum."""
    raw = node.raw
    low, high = INTEGER_RANGES[node.format if len(node.types) == 1 else ""]
    if (least := node.limit("minimum")) is not None:
        low = max(low, math.floor(least) + 1 if raw.get("exclusiveMinimum") else math.ceil(least))
    if (most := node.limit("maximum")) is not None:
        high = min(high, math.ceil(most) - 1 if raw.get("exclusiveMaximum") else math.floor(most))
    return low, high


def _range_check(low: int, high: int) -> Check:
    return lambda value: low <= value <= high


def _plain_integer(low: int, high: int, floating: Check) -> Check:
    def check(value: Any) -> bool:
        if type(value) is int:
            return low <= value <= high
        return type(value) is float and floating(value)

    return check


def _bound_parts(node: SchemaNode, *, ranges: bool = True) -> list[Check]:
    raw = node.raw
    kind = node.types[0] if len(node.types) == 1 else ""
    form = node.format if kind else ""
    constraints = [limit for name in ("minimum", "maximum", "multipleOf") if (limit := node.limit(name)) is not None]
    if not all(in_range(constraint, kind, form) for constraint in constraints):
        return [lambda _: False]
    parts: list[Check] = []
    low, high, factor = node.limit("minimum"), node.limit("maximum"), node.limit("multipleOf")
    if low is not None and ranges:
        parts.append((lambda value: value > low) if raw.get("exclusiveMinimum") else (lambda value: value >= low))
    if high is not None and ranges:
        parts.append((lambda value: value < high) if raw.get("exclusiveMaximum") else (lambda value: value <= high))
    if factor is not None:
        parts.append((lambda value: is_multiple(value, factor)) if factor > 0 else (lambda _: False))
    return parts


def _list_parts(node: SchemaNode) -> list[Check]:
    raw = node.raw
    parts: list[Check] = []
    fewest, most = node.count("minItems"), node.count("maxItems")
    if fewest:
        parts.append(lambda values: len(values) >= fewest)
    if most is not None:
        parts.append(lambda values: len(values) <= most)
    if node.items is not None:
        parts.append(_each_valid(node.items))
    if raw.get("uniqueItems") is True:
        parts.append(lambda values: not has_equal_items(values))
    if node.list_type in ("set", "map") and not node.scope.of_go_type:
        parts.append(lambda values: not has_repetition(node, values))
    return parts


def _each_valid(node: SchemaNode) -> Callable[[Collection[Any]], bool]:
    """The check of all items of a list, or all values of a map."""

    def check_each(values: Collection[Any]) -> bool:
        check = check_of(node)
        if type(check) is type:
            return not values or {*map(type, values)} == {check}
        for value in values:  # noqa: SIM110 - faster than a generator expression
            if not check(value):
                return False
        return True

    return check_each


def _map_parts(node: SchemaNode) -> list[Check]:
    parts: list[Check] = []
    fewest, most = node.count("minProperties"), node.count("maxProperties")
    if fewest:
        parts.append(lambda value: len(value) >= fewest)
    if most is not None:
        parts.append(lambda value: len(value) <= most)
    if node.property_schemas:
        parts.append(_properties_check(node))
    else:
        parts += _undeclared_parts(node)
    if node.embedded:
        parts.append(lambda value: not validate_embedded_resource(value, ""))
    return parts


def _undeclared_parts(node: SchemaNode) -> list[Check]:
    parts: list[Check] = []
    if node.required:
        parts.append(_required_check(node.required))
    if node.additional is not None:
        each_valid = _each_valid(node.additional)
        parts.append(lambda value: each_valid(value.values()))
    elif node.forbids_additional:
        parts.append(lambda value: not value)
    return parts


def _required_check(names: tuple[str, ...]) -> Check:
    if len(names) == 1:
        name = names[0]
        return lambda value: name in value
    known = frozenset(names)
    return lambda value: known <= value.keys()


def _properties_check(node: SchemaNode) -> Check:
    declared = node.property_schemas
    checks: dict[str, Any] = dict.fromkeys(META_FIELDS, accept) if node.is_root else {}
    for name in META_FIELDS:
        if name in declared:
            checks.pop(name, None)
    additional = node.additional
    otherwise: Check = _later(additional) if additional is not None else accept
    if node.forbids_additional:
        otherwise = _of_type(_Nothing)

    required = frozenset(node.required)
    get = checks.get

    def check_properties(value: Any) -> bool:
        if type(value) is not dict or not required <= value.keys():
            return False
        # a plain string or boolean is found by its type alone
        for key in compress(value, map(is_not, map(get, value), map(type, value.values()))):
            check: Any = get(key)
            child = value[key]
            if check is accept:
                continue
            if check is None:
                if key in declared:
                    check = checks[key] = check_of(node.property(key))
                    if check is type(child):
                        continue
                else:
                    check = otherwise
            if type(check) is type or not check(child):
                return False
        return True

    return check_properties


class _Nothing:
    """A type that no JSON value has."""
