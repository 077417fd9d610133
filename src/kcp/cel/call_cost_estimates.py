"""Static cost estimates of single calls, by function and overload.

Follows cel-go's checker/cost.go and Kubernetes' library.CostEstimator. A rule takes the sizes known so far, the call and the
overload's id, and returns the estimated cost, without the cost of the arguments, and the size of the result (None: unknown).
"""

import math
from collections.abc import Callable
from typing import Final, Protocol

from kcp.cel.ranges import MAX_UINT64, ONE, Range, add, fixed, multiply, scale
from kcp.cel.syntax import Call, Literal, Node


class SizeEstimates(Protocol):
    """The estimated sizes of values, which the cost of a call depends on."""

    def size(self, node: Node) -> Range | None:
        """The size of a node's value; None when nothing is known."""

    def size_or_unknown(self, node: Node) -> Range:
        """The size of a node's value; 0 to the largest integer when nothing is known."""

    def element_size(self, node: Node) -> Range:
        """The size of the elements of a list."""


Estimate = tuple[Range, Range | None]
CostRule = Callable[[SizeEstimates, Call, str], Estimate]
_TRAVERSAL: Final = 0.1
_PATTERN: Final = 0.25


def cost_rule(function: str, overload: str) -> CostRule | None:
    """The rule that estimates an overload of a function; None if each call costs 1."""
    rule = _BY_OVERLOAD.get(overload)
    if rule is None and overload != "cidr_ip":
        rule = _BY_FUNCTION.get(function)
    return rule


def estimate_call(estimator: SizeEstimates, node: Call, overload: str) -> Estimate:
    """Estimate the cost of one overload of a call and the size of its result."""
    rule = cost_rule(node.function, overload)
    return rule(estimator, node, overload) if rule is not None else (ONE, None)


def _subject(node: Call) -> Node:
    return node.target if node.target is not None else node.args[0]


def _list_traversal(estimator: SizeEstimates, node: Call, overload: str) -> Estimate:
    """Traverse a list: isSorted, sum, max, min, indexOf, lastIndexOf, includes."""
    subject = _subject(node)
    size = estimator.size_or_unknown(subject)
    if not subject.type.parameters:
        return (size if overload == "list_includes_dyn_dyn" else scale(size, _TRAVERSAL)), None
    each = ONE
    if subject.type.parameters[0].kind in {"string", "bytes"}:
        each = add(each, scale(estimator.element_size(subject), _TRAVERSAL))
    return multiply(size, each), None


def _string_traversal(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    """Traverse a string once; the result is at most as long."""
    size = estimator.size_or_unknown(_subject(node))
    return scale(size, _TRAVERSAL), size


def _parsed(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    return scale(estimator.size_or_unknown(node.args[0]), _TRAVERSAL), None


def _parsed_twice(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    return scale(estimator.size_or_unknown(node.args[0]), 2 * _TRAVERSAL), None


def _replace(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(_subject(node))
    old, new = (estimator.size_or_unknown(argument) for argument in node.args[:2])
    most_kept = most_count = least_kept = least_count = 0
    if old[0] == 0:
        most_count, most_kept = min(size[1] + 1, MAX_UINT64), size[1]
    elif new[1] <= old[0]:
        most_kept = size[1]
    else:
        most_count = math.ceil(float(size[1]) / float(old[0]))
    if old[1] == 0:
        least_count, least_kept = min(size[0] + 1, MAX_UINT64), size[0]
    elif old[1] <= new[0]:
        least_kept = size[0]
    else:
        least_count = math.ceil(float(size[0]) / float(old[1]))
    result = add(multiply((least_count, min(most_count, MAX_UINT64)), new), (least_kept, most_kept))
    return scale(size, 2 * _TRAVERSAL), result


def _split(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(_subject(node))
    most = size[1]
    if len(node.args) > 1 and isinstance(node.args[1], Literal):
        most = node.args[1].value % (MAX_UINT64 + 1)
    return scale(size, 2 * _TRAVERSAL), (0, most)


def _join(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    subject = _subject(node)
    count = estimator.size_or_unknown(subject)
    size = multiply(count, estimator.element_size(subject)) if subject.type.parameters else (0, 0)
    if node.args:
        separators = (max(count[0] - 1, 0), max(count[1] - 1, 0))
        size = add(size, multiply(estimator.size_or_unknown(node.args[0]), separators))
    return scale(size, _TRAVERSAL), size


def _pattern(estimator: SizeEstimates, subject: Node, pattern: Node) -> tuple[Range, Range]:
    size = estimator.size_or_unknown(subject)
    text = scale(add(size, ONE), _TRAVERSAL)
    return multiply(text, scale(estimator.size_or_unknown(pattern), _PATTERN)), size


def _find(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    cost, size = _pattern(estimator, _subject(node), node.args[0])
    return cost, (0, size[1])


def _matches(estimator: SizeEstimates, node: Call, overload: str) -> Estimate:
    # The global form, matches(text, pattern), has no rule of its own in cel-go.
    if node.target is None or overload != "matches_string":
        return ONE, None
    return _pattern(estimator, node.target, node.args[0])[0], None


def _contains(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    text = scale(estimator.size_or_unknown(_subject(node)), _TRAVERSAL)
    return multiply(text, scale(estimator.size_or_unknown(node.args[0]), _TRAVERSAL)), None


def _prefix_or_suffix(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    """Traverse the argument of startsWith or endsWith."""
    return scale(estimator.size_or_unknown(node.args[0]), _TRAVERSAL), None


def _subject_only(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    return scale(estimator.size_or_unknown(_subject(node)), _TRAVERSAL), None


def _to_bytes(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(node.args[0])
    return scale(size, _TRAVERSAL), (size[0], min(size[1] * 4, MAX_UINT64))


def _to_string(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(node.args[0])
    return scale(size, _TRAVERSAL), (size[0] // 4, size[1])


def _quote(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(node.args[0])
    return scale(size, _TRAVERSAL), (size[0] + 2, min(size[1] * 2 + 2, MAX_UINT64))


def _in_list(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    return estimator.size_or_unknown(node.args[1]), None


def _concatenation(estimator: SizeEstimates, node: Call, overload: str) -> Estimate:
    size = add(*(estimator.size_or_unknown(argument) for argument in node.args))
    return (ONE if overload == "add_list" else scale(size, _TRAVERSAL)), size


_CONSTANT_EQUALITY: Final = frozenset(["net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver"])


def _comparison(estimator: SizeEstimates, node: Call, overload: str) -> Estimate:
    left, right = node.args
    if overload == "equals" and left.type == right.type:
        if left.type.name in _CONSTANT_EQUALITY:
            return ONE, None
        if left.type.name == "kubernetes.NamedFormat":
            return scale((1, 64), _TRAVERSAL), None
        if left.type.name == "kubernetes.URL":
            size = estimator.size(right)
            return scale((1, size[1] if size is not None else 1), _TRAVERSAL), None
    most = min(estimator.size_or_unknown(left)[1], estimator.size_or_unknown(right)[1])
    return scale((1 if most > 0 else 0, most), _TRAVERSAL), None


def _contains_ip(estimator: SizeEstimates, node: Call, overload: str) -> Estimate:
    cost = scale((8, 32), _TRAVERSAL)
    if overload == "cidr_contains_ip_string":
        cost = add(cost, scale(estimator.size_or_unknown(node.args[0]), _TRAVERSAL))
    return cost, None


def _contains_cidr(estimator: SizeEstimates, node: Call, overload: str) -> Estimate:
    cost = add(scale((8, 32), _TRAVERSAL), scale((4, 16), _TRAVERSAL), ONE)
    if overload == "cidr_contains_cidr_string":
        cost = add(cost, scale(estimator.size_or_unknown(node.args[0]), _TRAVERSAL))
    return cost, None


def _validate(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(node.args[0])
    return scale(scale(size, _TRAVERSAL), 128 * _PATTERN), None


def _authorization(_estimator: SizeEstimates, _node: Call, _overload: str) -> Estimate:
    return fixed(350_000), None


def _product(factor: float) -> CostRule:
    def rule(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
        sizes = multiply(estimator.size_or_unknown(node.args[0]), estimator.size_or_unknown(node.args[1]))
        return add(scale(sizes, factor), ONE), None

    return rule


def _literal(node: Node, otherwise: int) -> int:
    if isinstance(node, Literal) and type(node.value) is int and node.value >= 0:
        return node.value
    return otherwise


def _allocated(size: Range, factor: float = 1.0) -> Estimate:
    return add(scale(size, factor), fixed(11)), size


def _slice(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    size = estimator.size_or_unknown(_subject(node))
    start, end = _literal(node.args[0], 0), _literal(node.args[1], size[1])
    return _allocated(fixed((end - start) % (MAX_UINT64 + 1)))


def _range(_estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    return _allocated(fixed(_literal(node.args[0], MAX_UINT64)))


def _reverse(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    return _allocated(estimator.size_or_unknown(_subject(node)))


def _flatten(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
    depth = _literal(node.args[0], MAX_UINT64) if node.args else 1
    return _allocated(estimator.size_or_unknown(_subject(node)), float(depth))


def _square(factor: float) -> CostRule:
    def rule(estimator: SizeEstimates, node: Call, _overload: str) -> Estimate:
        size = estimator.size_or_unknown(_subject(node))
        return _allocated(multiply(size, size), factor)

    return rule


_BY_FUNCTION: Final[dict[str, CostRule]] = {
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf", "includes"), _list_traversal),
    **dict.fromkeys(("url", "lowerAscii", "upperAscii", "substring", "trim"), _string_traversal),
    "replace": _replace,
    "split": _split,
    "join": _join,
    **dict.fromkeys(("find", "findAll"), _find),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity", "semver", "isSemver"), _parsed),
    "ip.isCanonical": _parsed_twice,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validate,
    # An authorization check costs so much that an expression can afford two of them.
    "check": _authorization,
}
_RELATIONS: Final = ("less", "less_equals", "greater", "greater_equals")
_BY_OVERLOAD: Final[dict[str, CostRule]] = {
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
    "bytes_to_string": _to_string,
    "strings_quote": _quote,
    "starts_with_string": _prefix_or_suffix,
    "ends_with_string": _prefix_or_suffix,
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
