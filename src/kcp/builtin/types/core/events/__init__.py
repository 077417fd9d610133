"""Events (core/v1): the form in which Events are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kcp.api.field_errors import FieldError
from kcp.builtin.context import BuiltinContext
from kcp.builtin.fields import canonical_times
from kcp.builtin.rules import events
from kcp.builtin.strategy import BuiltinStrategy
from kcp.registry.types.strategies import Object


class EventStrategy(BuiltinStrategy):
    """core/v1 Event."""

    allow_create_on_update: ClassVar[bool] = True
    zero_value: ClassVar[Mapping[str, Any]] = {
        "involvedObject": {},
        "source": {},
        "reportingComponent": "",
        "reportingInstance": "",
    }
    selectable: ClassVar[frozenset[str]] = frozenset(
        {f"involvedObject.{name}" for name in events.REFERENCE_FIELDS}
        | {"reason", "reportingComponent", "source", "type"}
    )

    def __init__(self, context: BuiltinContext) -> None:
        super().__init__(context)
        self.lifetime = context.event_lifetime

    def default(self, obj: Object) -> None:
        super().default(obj)
        canonical_times(obj, ("firstTimestamp", "lastTimestamp"))
        events.canonical_event_times(obj)

    def validate(self, obj: Object) -> list[FieldError]:
        return list(events.any_errors(obj))

    def cells(self, obj: Object) -> list[Any] | None:
        return events.cells(obj)

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return events.selectable_fields(obj)
