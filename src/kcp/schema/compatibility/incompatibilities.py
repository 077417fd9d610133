"""Incompatibilities, and their collection while two schemas are compared.

There are three kinds of difference. A *narrowing* breaks clients of the old schema, and the lowest common schema resolves it. A
*conflict* is a difference without a common schema. An *obstacle* concerns the lowest common schema only. So a comparison reports
narrowings and conflicts, and the search for the common schema reports conflicts and obstacles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from kcp.api.field_errors import ABSENT, MAX_ERRORS, FieldError, shorten

_MAX_SHOWN: Final = 160


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """A difference that breaks clients or stored objects of the old schema.

    field   the path of the keyword or field, as in Kubernetes' field errors
    reason  what breaks, in words
    old     the value in the old schema; ABSENT if it has none
    new     the value in the new schema; ABSENT if it has none
    """

    field: str
    reason: str
    old: Any = ABSENT
    new: Any = ABSENT

    def __str__(self) -> str:
        shown = self.reason
        if self.old is not ABSENT or self.new is not ABSENT:
            shown += f" (was {_shown(self.old)}, is {_shown(self.new)})"
        return f"{self.field}: {shown}" if self.field else shown

    def as_json(self) -> dict[str, Any]:
        """The incompatibility as JSON data, without the values that are absent."""
        found: dict[str, Any] = {"field": self.field, "reason": self.reason}
        if self.old is not ABSENT:
            found["old"] = self.old
        if self.new is not ABSENT:
            found["new"] = self.new
        return found


def or_absent(value: Any) -> Any:
    """The value of a keyword or field as an incompatibility has it."""
    return ABSENT if value is None else value


def _shown(value: Any) -> str:
    return "not set" if value is ABSENT else shorten(orjson.dumps(value).decode(), _MAX_SHOWN)


class NoCommonSchemaError(ValueError):
    """Two schemas have no common schema; ``incompatibilities`` says why."""

    def __init__(self, incompatibilities: Sequence[Incompatibility]) -> None:
        super().__init__("; ".join(map(str, incompatibilities)))
        self.incompatibilities = list(incompatibilities)


class InvalidSchemaError(ValueError):
    """A schema or definition is invalid, so it cannot be compared; ``errors`` says why."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = list(errors)


class TooLargeError(Exception):
    """The comparison would take more than linear time."""


@dataclass(slots=True)
class Report:
    """What a comparison has found so far.

    for_common  whether the lowest common schema is wanted
    budget      the steps that remain; see `spend`
    """

    for_common: bool
    budget: int
    found: list[Incompatibility] = field(default_factory=list)

    def narrowing(self, path: str, reason: str, old: Any = ABSENT, new: Any = ABSENT) -> None:
        """Report a difference that the lowest common schema resolves."""
        if not self.for_common:
            self._add(path, reason, old, new)

    def conflict(self, path: str, reason: str, old: Any = ABSENT, new: Any = ABSENT) -> None:
        """Report a difference without a common schema."""
        self._add(path, reason, old, new)

    def obstacle(self, path: str, reason: str, old: Any = ABSENT, new: Any = ABSENT) -> None:
        """Report why there is no common schema, beside a narrowing of the same field."""
        if self.for_common:
            self._add(path, reason, old, new)

    def _add(self, path: str, reason: str, old: Any, new: Any) -> None:
        """Add an incompatibility. Paths below a schema without a path of its own begin with a dot, which is left out."""
        if len(self.found) < MAX_ERRORS:
            self.found.append(Incompatibility(path.removeprefix("."), reason, old, new))
        elif len(self.found) == MAX_ERRORS:
            self.found.append(Incompatibility("", "further differences are not listed"))

    def spend(self, steps: int) -> None:
        """Count steps. Raises TooLargeError when the budget, which is linear in the size of the schemas, is used up."""
        self.budget -= steps
        if self.budget < 0:
            raise TooLargeError
