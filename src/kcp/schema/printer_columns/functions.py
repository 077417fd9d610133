"""CEL functions that format cells as Kubernetes' printers do.

Each takes a value of any type, and an optional: the absence of a field has a text of its own. Texts follow
k8s.io/apimachinery: ``duration.HumanDuration``, ``labels.FormatLabels``, ``LabelSelector`` and ``resource.Quantity``.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api.quantity import canonical, parse_quantity
from kcp.api.selectors import EXISTS, IN, NOT_EXISTS, NOT_IN, LabelSelector, Requirement
from kcp.api.tables import UNKNOWN_AGE, human_duration
from kcp.cel import EvaluationError, call_costs
from kcp.cel.declarations import Row
from kcp.cel.times import EARLIEST, SECOND, timestamp
from kcp.cel.values import Duration, Optional, Timestamp, no_such_overload

_CALL: Final = 30
"""The cost of a call of these functions beside that of what it reads; they take microseconds."""
VISIT: Final = 4
"""The cost of a value that is visited inside a list or map."""
_INVALID_AGE: Final = "<invalid>"
_OPERATORS: Final = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": NOT_EXISTS}


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


def _sorted_set(items: list[Any]) -> list[Any]:
    """Return the strings of a list, sorted, each once."""
    if not all(type(each) is str for each in items):
        raise no_such_overload()
    return sorted(set(items))


def elements(value: Any) -> int:
    """Return the number of values in a list or map, at all depths."""
    found, pending = 0, [value]
    while pending:
        each = pending.pop()
        if type(each) is dict:
            pending.extend(each.values())
        elif type(each) is list:
            pending.extend(each)
        found += 1
    return found


def text_cost(value: Any = None, *_rest: Any) -> int:
    """Return the cost of parsing the first argument of a call, if it is a text."""
    found = _present(value)
    return call_costs.tenth(len(found)) if type(found) is str else 1


def _of_content(result: Any, value: Any, *_rest: Any) -> int:
    """Return a cost that grows with a map or a list, and with the text that is made from it."""
    return _CALL + VISIT * elements(_present(value)) + call_costs.joined(result)


def _of_text(_result: Any, *arguments: Any) -> int:
    return _CALL + text_cost(*arguments)


ROWS: Final[list[Row]] = [
    ("human_duration", "humanDuration(duration): string", _human_duration, _of_text),
    ("age", "age(dyn, timestamp): string", _age, _of_text),
    ("format_labels", "formatLabels(dyn): string", _format_labels, _of_content),
    ("format_label_selector", "formatLabelSelector(dyn): string", _format_label_selector, _of_content),
    ("format_quantity", "formatQuantity(dyn): string", _format_quantity, _of_text),
    ("list_sorted_set", "list<string>.sortedSet(): list<string>", _sorted_set, _of_content),
    ("list_shorten", "list<string>.shorten(string, int): string", _shorten, _of_content),
]
