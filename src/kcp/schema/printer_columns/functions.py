"""CEL functions that format cells as Kubernetes' printers do, beside the standard libraries.

Each takes a value of any type, and an optional: the absence of a field has a text of its own. Texts follow
k8s.io/apimachinery: ``duration.HumanDuration``, ``labels.FormatLabels``, ``LabelSelector`` and ``resource.Quantity``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from kcp.api.quantity import canonical, parse_quantity
from kcp.api.selectors import EXISTS, IN, NOT_EXISTS, NOT_IN, LabelSelector, Requirement
from kcp.api.tables import UNKNOWN_AGE, human_duration
from kcp.cel import EvaluationError, call_costs
from kcp.cel.declarations import Functions, Row
from kcp.cel.libraries import functions
from kcp.cel.times import EARLIEST, SECOND, timestamp
from kcp.cel.values import Duration, Optional, Timestamp, no_such_overload

_INVALID_AGE: Final = "<invalid>"
_OPERATORS: Final = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": NOT_EXISTS}


@cache
def column_functions() -> Functions:
    """Return the functions of expressions of columns."""
    return functions().extended(_ROWS, {})


def _present(value: Any) -> Any:
    """Return a value, or the value in an optional; None without one."""
    if type(value) is Optional:
        return value.value if value.present else None
    return value


def _mapping(value: Any) -> dict[str, Any]:
    found = _present(value)
    if found is None:
        return {}
    if type(found) is not dict:
        raise no_such_overload()
    return found


def _texts(value: Any) -> dict[str, str]:
    found = _mapping(value)
    if not all(type(each) is str for each in found.values()):
        raise no_such_overload()
    return found


def _human_duration(value: Duration) -> str:
    return human_duration(int(value) / SECOND)


def _age(value: Any, now: Timestamp) -> str:
    """Return how long ago a time was; ``<unknown>`` without one."""
    then = _present(value)
    if then is None or then in ("", EARLIEST):
        return UNKNOWN_AGE
    if type(then) is str:
        try:
            then = timestamp(then)
        except EvaluationError:
            return _INVALID_AGE
    if type(then) is not Timestamp:
        raise no_such_overload()
    return UNKNOWN_AGE if then == EARLIEST else human_duration((int(now) - int(then)) / SECOND)


def _format_labels(value: Any) -> str:
    """Return ``a=b,c=d``, sorted by key."""
    return ",".join([f"{key}={label}" for key, label in sorted(_texts(value).items())])


def _format_label_selector(value: Any) -> str:
    """Return a LabelSelector as text; empty for one that selects everything, and without one."""
    found = _mapping(value)
    labels = _texts(found.get("matchLabels"))
    if not found.get("matchExpressions"):
        return _format_labels(labels)
    requirements = [Requirement(key, "=", (label,)) for key, label in sorted(labels.items())]
    expressions = found["matchExpressions"]
    if type(expressions) is not list:
        raise no_such_overload()
    return str(LabelSelector([*requirements, *map(_requirement, expressions)]))


def _requirement(expression: Any) -> Requirement:
    found = _mapping(expression)
    key, values = found.get("key"), found.get("values") or []
    operator = _OPERATORS.get(str(found.get("operator")))
    if operator is None or type(key) is not str or type(values) is not list:
        raise no_such_overload()
    if not all(type(each) is str for each in values):
        raise no_such_overload()
    return Requirement(key, operator, tuple(sorted(set(values))))


def _format_quantity(value: Any) -> str:
    """Return a quantity in its canonical form; ``0`` without one."""
    found = _present(value)
    if found is None:
        return "0"
    if type(found) not in (str, int, float):
        raise no_such_overload()
    try:
        return canonical(parse_quantity(str(found)))
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _shorten(items: list[Any], separator: str, most: int) -> str:
    """Return the first items, joined, and how many more there are."""
    shown = items[: max(most, 0)]
    if not all(type(each) is str for each in shown):
        raise no_such_overload()
    rest = len(items) - len(shown)
    return separator.join(shown) + (f" + {rest} more..." if rest else "")


def _of_result(result: Any, *_arguments: Any) -> int:
    """Return a cost that grows with a text that is made from a map or a list."""
    return call_costs.joined(result) + 1


_ROWS: Final[list[Row]] = [
    ("human_duration", "humanDuration(duration): string", _human_duration),
    ("age", "age(dyn, timestamp): string", _age),
    ("format_labels", "formatLabels(dyn): string", _format_labels, _of_result),
    ("format_label_selector", "formatLabelSelector(dyn): string", _format_label_selector, _of_result),
    ("format_quantity", "formatQuantity(dyn): string", _format_quantity, call_costs.text),
    ("list_shorten", "list<string>.shorten(string, int): string", _shorten, call_costs.joined),
]
