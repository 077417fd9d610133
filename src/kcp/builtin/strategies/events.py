"""Events, in both of their API groups (core/v1, events.k8s.io/v1).

The log holds core/v1. events.k8s.io/v1 names the same fields differently, and its new events must be complete (KEP-383).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.api.tables import age
from kcp.api.times import micro_time, whole_time
from kcp.builtin.strategies.base import BuiltinStrategy, canonical_times, drop_nulls, integer, mapping, text
from kcp.registry.types.strategies import Object

LIFETIME: Final = 3600
"""How many seconds an event is kept, as kube-apiserver's --event-ttl has it."""

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
_SHORT: Final = (("reportingInstance", 128), ("action", 128), ("reason", 128))
_SELECTABLE: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
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
"""What an update through events.k8s.io/v1 may not change: everything but the series."""


def _renamed(obj: Object, new_names: Mapping[str, str]) -> Object:
    return {new_names.get(name, name): value for name, value in obj.items()}


class EventStrategy(BuiltinStrategy):
    """core/v1 Event."""

    allow_create_on_update: ClassVar[bool] = True
    lifetime: int | None = LIFETIME
    selectable: ClassVar[frozenset[str]] = frozenset(
        {f"involvedObject.{name}" for name in _SELECTABLE} | {"reason", "reportingComponent", "source", "type"}
    )

    def default(self, obj: Object) -> None:
        drop_nulls(obj)
        canonical_times(obj, ("firstTimestamp", "lastTimestamp"), whole_time)
        _canonical_micro_times(obj)
        obj.setdefault("involvedObject", {})
        obj.setdefault("source", {})

    def validate(self, obj: Object) -> list[FieldError]:
        return list(_any_errors(obj))

    def cells(self, obj: Object) -> list[Any] | None:
        return _cells(obj)

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return _selectable_fields(obj)


class NewEventStrategy(EventStrategy):
    """events.k8s.io/v1 Event. Errors name the fields as core/v1 does; so does kube-apiserver."""

    selectable: ClassVar[frozenset[str]] = frozenset(
        {f"regarding.{name}" for name in _SELECTABLE} | {"reason", "reportingController", "type"}
    )

    def default(self, obj: Object) -> None:
        drop_nulls(obj)
        canonical_times(obj, ("deprecatedFirstTimestamp", "deprecatedLastTimestamp"), whole_time)
        _canonical_micro_times(obj)

    def to_storage(self, obj: Object) -> Object:
        stored = _renamed(obj, _OLD_NAMES)
        stored["apiVersion"] = "v1"
        stored.setdefault("involvedObject", {})
        for name in ("reportingComponent", "reportingInstance"):
            stored.setdefault(name, "")
        stored.setdefault("source", {})
        return stored

    def from_storage(self, obj: Object) -> Object:
        shown = _renamed(obj, _NEW_NAMES)
        shown["apiVersion"] = "events.k8s.io/v1"
        return shown

    def validate(self, obj: Object) -> list[FieldError]:
        event = self.to_storage(obj)
        return [*_any_errors(event), *_series_errors(event), *_new_errors(event)]

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        event, before = self.to_storage(obj), self.to_storage(old)
        found = list(_any_errors(event))
        if event.get("series") != before.get("series"):
            found += _series_errors(event)
        for name in _FIXED:
            if event.get(name) != before.get(name):
                path = "reportingController" if name == "reportingComponent" else name
                found.append(field_errors.invalid(path, event.get(name), "field is immutable"))
        return found

    def cells(self, obj: Object) -> list[Any] | None:
        return _cells(self.to_storage(obj))

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return {
            "reportingController": text(obj, "reportingController"),
            **{
                name.replace("involvedObject.", "regarding."): value
                for name, value in _selectable_fields(self.to_storage(obj)).items()
            },
        }


def _canonical_micro_times(event: Object) -> None:
    canonical_times(event, ("eventTime",), micro_time)
    canonical_times(mapping(event, "series"), ("lastObservedTime",), micro_time)


def _any_errors(event: Object) -> Iterator[FieldError]:
    """What holds for events of either group. Only new ones have an event time."""
    namespace = text(event["metadata"], "namespace")
    about = text(mapping(event, "involvedObject"), "namespace")
    mismatch = field_errors.invalid("involvedObject.namespace", about, "does not match event.namespace")
    if not event.get("eventTime"):
        if namespace != about and (about or namespace != "default"):
            yield mismatch
    else:
        if not about and namespace not in {"default", "kube-system"}:
            yield mismatch
        yield from _reporter_errors(event)
    for why in names.is_dns1123_subdomain(namespace):
        yield field_errors.invalid("namespace", namespace, why)


def _reporter_errors(event: Object) -> Iterator[FieldError]:
    controller = text(event, "reportingComponent")
    if not controller:
        yield field_errors.required("reportingController")
    for why in names.is_qualified_name(controller):
        yield field_errors.invalid("reportingController", controller, why)
    for name, limit in _SHORT:
        value = text(event, name)
        if not value:
            yield field_errors.required(name)
        elif len(value.encode()) > limit:
            yield field_errors.invalid(name, "", f"can have at most {limit} characters")
    if len(text(event, "message").encode()) > 1024:
        yield field_errors.invalid("message", "", "can have at most 1024 characters")


def _series_errors(event: Object) -> Iterator[FieldError]:
    if "series" in event:
        series = mapping(event, "series")
        if (integer(series, "count") or 0) < 2:
            yield field_errors.invalid("series.count", "", "should be at least 2")
        if not series.get("lastObservedTime"):
            yield field_errors.required("series.lastObservedTime")


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


def _selectable_fields(event: Object) -> dict[str, str]:
    about = mapping(event, "involvedObject")
    values = {f"involvedObject.{name}": text(about, name) for name in _SELECTABLE}
    values["reason"] = text(event, "reason")
    values["reportingComponent"] = text(event, "reportingComponent")
    values["source"] = text(mapping(event, "source"), "component") or text(event, "reportingComponent")
    values["type"] = text(event, "type")
    return values


def _cells(event: Object) -> list[Any]:
    about, series = mapping(event, "involvedObject"), mapping(event, "series")
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = event.get("lastTimestamp") or first
    count = integer(event, "count") or 1
    if series:
        last, count = series.get("lastObservedTime") or last, integer(series, "count") or 0
    source = mapping(event, "source")
    component = text(source, "component") or text(event, "reportingComponent")
    host = text(source, "host") or ("" if text(source, "component") else text(event, "reportingInstance"))
    kind = text(about, "kind").lower()
    return [
        age(last),
        text(event, "type"),
        text(event, "reason"),
        f"{kind}/{text(about, 'name')}" if kind else text(about, "name"),
        text(about, "fieldPath"),
        f"{component}, {host}" if host else component,
        text(event, "message").strip(),
        age(first),
        str(count),
        text(event["metadata"], "name"),
    ]
