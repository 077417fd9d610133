"""What single calls can cost, and how large their results can be, by function and overload.

Arguments' own costs are not in it. A rule takes the estimator and the call and gives (cost, size of the result or None).
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kcp.cel.ranges import MOST, ONE, Range, add, exactly, scaled, times
from kcp.cel.syntax import Call, Literal, Node

if TYPE_CHECKING:
    from kcp.cel.costs import Estimator

Estimate = tuple[Range, Range | None]
Rule = Callable[["Estimator", Call, str], Estimate]
_TRAVERSAL: Final = 0.1
_PATTERN: Final = 0.25


def estimate_call(estimator: "Estimator", node: Call, overload: str) -> Estimate:
    """The cost of one overload of a call."""
    rule = _BY_OVERLOAD.get(overload)
    if rule is None:
        rule = _BY_FUNCTION.get(node.function) if overload != "cidr_ip" else None
    return rule(estimator, node, overload) if rule is not None else (ONE, None)


def _subject(node: Call) -> Node:
    return node.target if node.target is not None else node.args[0]


def _list_traversal(estimator: "Estimator", node: Call, overload: str) -> Estimate:
    """isSorted, sum, max, min, indexOf, lastIndexOf, includes."""
    subject = _subject(node)
    size = estimator.size_or_unknown(subject)
    if not subject.type.parameters:
        return (size if overload == "list_includes_dyn_dyn" else scaled(size, _TRAVERSAL)), None
    each = ONE
    if subject.type.parameters[0].kind in {"string", "bytes"}:
        each = add(each, scaled(estimator.element_size(subject), _TRAVERSAL))
    return times(size, each), None


def _text(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    """One pass over a text, that gives a text as long."""
    size = estimator.size_or_unknown(_subject(node))
    return scaled(size, _TRAVERSAL), size


def _parsed(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    return scaled(estimator.size_or_unknown(node.args[0]), _TRAVERSAL), None


def _parsed_twice(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    return scaled(estimator.size_or_unknown(node.args[0]), 2 * _TRAVERSAL), None


def _replace(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(_subject(node))
    old, new = (estimator.size_or_unknown(argument) for argument in node.args[:2])
    most_kept = most_count = least_kept = least_count = 0
    if old[0] == 0:
        most_count, most_kept = min(size[1] + 1, MOST), size[1]
    elif new[1] <= old[0]:
        most_kept = size[1]
    else:
        most_count = math.ceil(float(size[1]) / float(old[0]))
    if old[1] == 0:
        least_count, least_kept = min(size[0] + 1, MOST), size[0]
    elif old[1] <= new[0]:
        least_kept = size[0]
    else:
        least_count = math.ceil(float(size[0]) / float(old[1]))
    result = add(times((least_count, min(most_count, MOST)), new), (least_kept, most_kept))
    return scaled(size, 2 * _TRAVERSAL), result


def _split(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(_subject(node))
    most = size[1]
    if len(node.args) > 1 and isinstance(node.args[1], Literal):
        most = node.args[1].value % (MOST + 1)
    return scaled(size, 2 * _TRAVERSAL), (0, most)


def _join(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    subject = _subject(node)
    count = estimator.size_or_unknown(subject)
    size = times(count, estimator.element_size(subject)) if subject.type.parameters else (0, 0)
    if node.args:
        separators = (max(count[0] - 1, 0), max(count[1] - 1, 0))
        size = add(size, times(estimator.size_or_unknown(node.args[0]), separators))
    return scaled(size, _TRAVERSAL), size


def _pattern(estimator: "Estimator", subject: Node, pattern: Node) -> tuple[Range, Range]:
    size = estimator.size_or_unknown(subject)
    text = scaled(add(size, ONE), _TRAVERSAL)
    return times(text, scaled(estimator.size_or_unknown(pattern), _PATTERN)), size


def _find(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    cost, size = _pattern(estimator, _subject(node), node.args[0])
    return cost, (0, size[1])


def _matches(estimator: "Estimator", node: Call, overload: str) -> Estimate:
    # The global form, matches(text, pattern), has no rule of its own in cel-go.
    if node.target is None or overload != "matches_string":
        return ONE, None
    return _pattern(estimator, node.target, node.args[0])[0], None


def _contains(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    text = scaled(estimator.size_or_unknown(_subject(node)), _TRAVERSAL)
    return times(text, scaled(estimator.size_or_unknown(node.args[0]), _TRAVERSAL)), None


def _part(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    """startsWith and endsWith: by the length of the part."""
    return scaled(estimator.size_or_unknown(node.args[0]), _TRAVERSAL), None


def _subject_only(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    return scaled(estimator.size_or_unknown(_subject(node)), _TRAVERSAL), None


def _to_bytes(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(node.args[0])
    return scaled(size, _TRAVERSAL), (size[0], min(size[1] * 4, MOST))


def _to_text(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(node.args[0])
    return scaled(size, _TRAVERSAL), (size[0] // 4, size[1])


def _quote(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(node.args[0])
    return scaled(size, _TRAVERSAL), (size[0] + 2, min(size[1] * 2 + 2, MOST))


def _in_list(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    return estimator.size_or_unknown(node.args[1]), None


def _concatenation(estimator: "Estimator", node: Call, overload: str) -> Estimate:
    size = add(*(estimator.size_or_unknown(argument) for argument in node.args))
    return (ONE if overload == "add_list" else scaled(size, _TRAVERSAL)), size


_CONSTANT_EQUALITY: Final = frozenset(["net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver"])


def _comparison(estimator: "Estimator", node: Call, overload: str) -> Estimate:
    left, right = node.args
    if overload == "equals" and left.type == right.type:
        if left.type.name in _CONSTANT_EQUALITY:
            return ONE, None
        if left.type.name == "kubernetes.NamedFormat":
            return scaled((1, 64), _TRAVERSAL), None
        if left.type.name == "kubernetes.URL":
            size = estimator.size(right)
            return scaled((1, size[1] if size is not None else 1), _TRAVERSAL), None
    most = min(estimator.size_or_unknown(left)[1], estimator.size_or_unknown(right)[1])
    return scaled((1 if most > 0 else 0, most), _TRAVERSAL), None


def _contains_ip(estimator: "Estimator", node: Call, overload: str) -> Estimate:
    cost = scaled((8, 32), _TRAVERSAL)
    if overload == "cidr_contains_ip_string":
        cost = add(cost, scaled(estimator.size_or_unknown(node.args[0]), _TRAVERSAL))
    return cost, None


def _contains_cidr(estimator: "Estimator", node: Call, overload: str) -> Estimate:
    cost = add(scaled((8, 32), _TRAVERSAL), scaled((4, 16), _TRAVERSAL), ONE)
    if overload == "cidr_contains_cidr_string":
        cost = add(cost, scaled(estimator.size_or_unknown(node.args[0]), _TRAVERSAL))
    return cost, None


def _validate(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(node.args[0])
    return scaled(scaled(size, _TRAVERSAL), 128 * _PATTERN), None


def _authorization(_estimator: "Estimator", _node: Call, _overload: str) -> Estimate:
    return exactly(350_000), None


def _product(factor: float) -> Rule:
    def rule(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
        sizes = times(estimator.size_or_unknown(node.args[0]), estimator.size_or_unknown(node.args[1]))
        return add(scaled(sizes, factor), ONE), None

    return rule


def _literal(node: Node, otherwise: int) -> int:
    if isinstance(node, Literal) and type(node.value) is int and node.value >= 0:
        return node.value
    return otherwise


def _allocated(size: Range, factor: float = 1.0) -> Estimate:
    return add(scaled(size, factor), exactly(11)), size


def _slice(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(_subject(node))
    start, end = _literal(node.args[0], 0), _literal(node.args[1], size[1])
    return _allocated(exactly((end - start) % (MOST + 1)))


def _range(_estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    return _allocated(exactly(_literal(node.args[0], MOST)))


def _reverse(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    return _allocated(estimator.size_or_unknown(_subject(node)))


def _flatten(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
    depth = _literal(node.args[0], MOST) if node.args else 1
    return _allocated(estimator.size_or_unknown(_subject(node)), float(depth))


def _square(factor: float) -> Rule:
    def rule(estimator: "Estimator", node: Call, _overload: str) -> Estimate:
        size = estimator.size_or_unknown(_subject(node))
        return _allocated(times(size, size), factor)

    return rule


_BY_FUNCTION: Final[dict[str, Rule]] = {
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf", "includes"), _list_traversal),
    **dict.fromkeys(("url", "lowerAscii", "upperAscii", "substring", "trim"), _text),
    "replace": _replace,
    "split": _split,
    "join": _join,
    **dict.fromkeys(("find", "findAll"), _find),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity", "semver", "isSemver"), _parsed),
    "ip.isCanonical": _parsed_twice,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validate,
    # An authorizer's: as much as allows two of them in one expression.
    "check": _authorization,
}
_RELATIONS: Final = ("less", "less_equals", "greater", "greater_equals")
_BY_OVERLOAD: Final[dict[str, Rule]] = {
    "list_sets_contains_list": _product(1),
    "list_sets_intersects_list": _product(1),
    "list_sets_equivalent_list": _product(2),
    "list_slice": _slice,
    "list_flatten": _flatten,
    "list_flatten_int": _flatten,
    "lists_range": _range,
    "list_reverse": _reverse,
    "list_distinct": _square(2.0),
    **{f"list_{name}_sort": _square(2.0) for name in ("int", "uint", "double", "bool", "duration", "timestamp")},
    **{f"list_{name}_sort": _square(2.1) for name in ("string", "bytes")},
    "string_format": _subject_only,
    "string_to_bytes": _to_bytes,
    "bytes_to_string": _to_text,
    "strings_quote": _quote,
    "starts_with_string": _part,
    "ends_with_string": _part,
    "in_list": _in_list,
    "matches": _matches,
    "matches_string": _matches,
    "contains_string": _contains,
    "add_string": _concatenation,
    "add_bytes": _concatenation,
    "add_list": _concatenation,
    **{f"{name}_{kind}": _comparison for name in _RELATIONS for kind in ("string", "bytes")},
    "equals": _comparison,
    "not_equals": _comparison,
}
