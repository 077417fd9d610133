"""Conditions of a status, as Kubernetes' API conventions have them (KEP-1623)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from kcp.api.times import now
from kcp.schema.raw_schemas import objects, text

_STATUSES: Final = {True: "True", False: "False", None: "Unknown"}
_MAX_REASON: Final = 1024
_MAX_MESSAGE: Final = 32768
"""Characters of a reason and a message, as in the schema of ``metav1.Condition``."""


class Condition(NamedTuple):
    """The wanted state of a condition. A status of None is unknown."""

    type: str
    status: bool | None
    reason: str
    message: str = ""


def with_conditions(current: Any, wanted: Iterable[Condition], generation: int) -> list[dict[str, Any]] | None:
    """Return the conditions of a status with the wanted ones; None if nothing changes.

    ``generation`` is that of the object whose spec they are of. The time of transition changes with the status only. What is
    too long for a condition is cut: the server's reasons, which it may quote, have no limit.
    """
    found = {text(each, "type"): each for each in objects(current)}
    before = dict(found)
    for condition in wanted:
        known = found.get(condition.type, {})
        status = _STATUSES[condition.status]
        changed_at = known.get("lastTransitionTime") if known.get("status") == status else None
        found[condition.type] = {
            "type": condition.type,
            "status": status,
            "observedGeneration": generation,
            "lastTransitionTime": changed_at or now(),
            "reason": condition.reason[:_MAX_REASON],
            "message": condition.message[:_MAX_MESSAGE],
        }
    return list(found.values()) if found != before else None


def is_true(conditions: Any, kind: str, generation: int | None = None) -> bool:
    """Return whether a condition is true; with a generation, whether it is for that one."""
    found = condition_of(conditions, kind)
    return found.get("status") == "True" and generation in (None, found.get("observedGeneration"))


def condition_of(conditions: Any, kind: str) -> dict[str, Any]:
    """Return a condition; an empty mapping if there is none."""
    return next((each for each in objects(conditions) if each.get("type") == kind), {})
