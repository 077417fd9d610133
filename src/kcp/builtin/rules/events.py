"""Rules of Events in both of their API groups, by the field names of core/v1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.api.tables import age
from kcp.builtin import fields
from kcp.builtin.fields import integer, mapping, text
from kcp.registry.types.strategies import Object

_SHORT: Final = (("reportingInstance", 128), ("action", 128), ("reason", 128))
REFERENCE_FIELDS: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
"""The fields of the reference to the event's object, all of which are selectable."""


def canonical_event_times(event: Object) -> None:
    """Write the MicroTimes of an event in canonical form, in place."""
    fields.canonical_micro_times(event, ("eventTime",))
    fields.canonical_micro_times(mapping(event, "series"), ("lastObservedTime",))


def any_errors(event: Object) -> Iterator[FieldError]:
    """The errors of an event of either group. Only events of the newer form have an event time."""
    yield from fields.micro_time_errors(event, ("eventTime",))
    yield from fields.micro_time_errors(mapping(event, "series"), ("lastObservedTime",), "series.")
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


def series_errors(event: Object) -> Iterator[FieldError]:
    """The errors of an event's series."""
    if "series" in event:
        series = mapping(event, "series")
        if (integer(series, "count") or 0) < 2:
            yield field_errors.invalid("series.count", "", "should be at least 2")
        if not series.get("lastObservedTime"):
            yield field_errors.required("series.lastObservedTime")


def selectable_fields(event: Object) -> dict[str, str]:
    """The values of the fields that field selectors may use."""
    about = mapping(event, "involvedObject")
    values = {f"involvedObject.{name}": text(about, name) for name in REFERENCE_FIELDS}
    values["reason"] = text(event, "reason")
    values["reportingComponent"] = text(event, "reportingComponent")
    values["source"] = text(mapping(event, "source"), "component") or text(event, "reportingComponent")
    values["type"] = text(event, "type")
    return values


def cells(event: Object) -> list[Any]:
    """The cells of an event's row in a table."""
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
        count,
        text(event["metadata"], "name"),
    ]
