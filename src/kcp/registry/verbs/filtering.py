"""Filters: label and field selectors over records. A record is decoded only where a selector needs the object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from kcp.api import errors
from kcp.api.selectors import FieldSelector, LabelSelector
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.records import served_object
from kcp.store.contract import Record

_NAME: Final = "metadata.name"
_NAMESPACE: Final = "metadata.namespace"


class Filter:
    """A compiled selection. ``exact_name`` and ``exact_namespace`` are the names that a selector pins, to narrow the range."""

    __slots__ = ("_fields", "_labels", "_object_fields", "exact_name", "exact_namespace", "needs_object")

    def __init__(
        self, type_: ResourceType, labels: LabelSelector | None, fields: FieldSelector | None, name: str = ""
    ) -> None:
        self._labels = None if labels is None or labels.empty else labels
        self._fields = fields if fields is not None and fields.requirements else None
        self.exact_name: str | None = name or None
        self.exact_namespace: str | None = None
        self._object_fields = False
        for field, operator, value in self._fields.requirements if self._fields else ():
            if field == _NAME:
                self.exact_name = value if operator == "=" and not name else self.exact_name
            elif field == _NAMESPACE and (type_.namespaced or _has_default_fields(type_)):
                self.exact_namespace = value if operator == "=" and type_.namespaced else self.exact_namespace
            elif field in type_.strategy.selectable or any(field == known.name for known in type_.selectable_fields):
                self._object_fields = True
            else:
                raise errors.bad_request(_unsupported(field, type_))
        self.needs_object = self._labels is not None or self._object_fields

    @property
    def everything(self) -> bool:
        """Whether every object matches."""
        return self._labels is None and self._fields is None and self.exact_name is None

    def matches(self, record: Record, type_: ResourceType) -> bool:
        """Whether a record matches; decodes it if a selector needs the object."""
        return self.matches_lazily(record, lambda: served_object(record, type_), type_)

    def matches_lazily(self, record: Record, load: Callable[[], dict[str, Any]], type_: ResourceType) -> bool:
        """As `matches`; ``load`` decodes the object, so that callers can share it."""
        if self.exact_name is not None and record.key.name != self.exact_name:
            return False
        if self._fields is None and self._labels is None:
            return True
        obj: dict[str, Any] | None = load() if self.needs_object else None
        if self._fields is not None:
            fields: dict[str, str] = {_NAME: record.key.name, _NAMESPACE: record.key.namespace}
            if self._object_fields and obj is not None:
                fields.update(field_values(obj, type_))
            if not self._fields.matches(fields):
                return False
        if self._labels is not None and obj is not None:
            labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
            return self._labels.matches(labels)
        return True


def _has_default_fields(type_: ResourceType) -> bool:
    """Whether kube-apiserver's default conversion of field labels applies, which allows the namespace of any type."""
    return type_.builtin and not type_.strategy.selectable


def _unsupported(field: str, type_: ResourceType) -> str:
    if _has_default_fields(type_):
        return f'{orjson.dumps(field).decode()} is not a known field selector: only "{_NAME}", "{_NAMESPACE}"'
    return f"field label not supported: {field}"


def field_values(obj: dict[str, Any], type_: ResourceType) -> dict[str, str]:
    """The values of a type's own selectable fields, as text; a missing field is empty."""
    values = dict(type_.strategy.selectable_fields(obj))
    for field in type_.selectable_fields:
        value = field.path.get(obj)
        if value is None:
            text = ""
        elif isinstance(value, bool):
            text = "true" if value else "false"
        else:
            text = str(value)
        values[field.name] = text
    return values
