"""Events (events.k8s.io/v1): core/v1 Events under other field names; a new one must be complete (KEP-383)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.builtin.fields import canonical_times, mapping, text
from kcp.builtin.rules import events
from kcp.builtin.strategy import BuiltinStrategy
from kcp.builtin.types.core.events import EventStrategy as CoreEventStrategy
from kcp.registry.types.strategies import Object

_NEW_NAMES: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
"""From a field's name in core/v1 to that in events.k8s.io/v1."""
_OLD_NAMES: Final = {new: old for old, new in _NEW_NAMES.items()}
_FIXED: Final = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)
"""The fields that an update through events.k8s.io/v1 may not change: all but the series."""


def _renamed(obj: Object, new_names: Mapping[str, str]) -> Object:
    return {new_names.get(name, name): value for name, value in obj.items()}


class EventStrategy(CoreEventStrategy):
    """events.k8s.io/v1 Event. Errors name the fields as core/v1 does; so does kube-apiserver."""

    zero_value: ClassVar[Mapping[str, Any]] = {"regarding": {}, "deprecatedSource": {}}
    selectable: ClassVar[frozenset[str]] = frozenset(
        {f"regarding.{name}" for name in events.REFERENCE_FIELDS} | {"reason", "reportingController", "type"}
    )

    def default(self, obj: Object) -> None:
        BuiltinStrategy.default(self, obj)
        canonical_times(obj, ("deprecatedFirstTimestamp", "deprecatedLastTimestamp"))
        events.canonical_event_times(obj)

    def to_storage(self, obj: Object) -> Object:
        stored = _renamed(obj, _OLD_NAMES)
        stored["apiVersion"] = "v1"
        stored.setdefault("involvedObject", {})
        for name in ("reportingComponent", "reportingInstance"):
            stored.setdefault(name, "")
        stored.setdefault("source", {})
        return stored

    def from_storage(self, obj: Object) -> Object:
        shown = {name: value for name, value in _renamed(obj, _NEW_NAMES).items() if value != ""}
        shown["apiVersion"] = "events.k8s.io/v1"
        return shown

    def validate(self, obj: Object) -> list[FieldError]:
        event = self.to_storage(obj)
        return [*events.any_errors(event), *events.series_errors(event), *_new_errors(event)]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        event, before = self.to_storage(obj), self.to_storage(old)
        found = list(events.any_errors(event))
        if event.get("series") != before.get("series"):
            found += events.series_errors(event)
        for name in _FIXED:
            if event.get(name) != before.get(name):
                path = "reportingController" if name == "reportingComponent" else name
                found.append(field_errors.invalid(path, event.get(name), "field is immutable"))
        return found

    def cells(self, obj: Object) -> list[Any] | None:
        return events.cells(self.to_storage(obj))

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return {
            "reportingController": text(obj, "reportingController"),
            **{
                name.replace("involvedObject.", "regarding."): value
                for name, value in events.selectable_fields(self.to_storage(obj)).items()
            },
        }


def _new_errors(event: Object) -> Iterator[FieldError]:
    if not event.get("eventTime"):
        yield field_errors.required("eventTime")
    if text(event, "type") not in {"Normal", "Warning"}:
        yield field_errors.invalid("type", "", f"has invalid value: {text(event, 'type')}")
    for name in ("firstTimestamp", "lastTimestamp", "count"):
        if event.get(name):
            yield field_errors.invalid(name, "", "needs to be unset")
    if any(mapping(event, "source").values()):
        yield field_errors.invalid("source", "", "needs to be unset")
