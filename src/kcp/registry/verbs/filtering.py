"""Filters: label and field selectors over records. A record is decoded only where a selector needs the object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from kcp.api import errors
from kcp.api.selectors import DOUBLE_EQUALS, EQUALS, IN, FieldSelector, LabelSelector
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import hints
from kcp.registry.verbs.records import served_object
from kcp.store.contract import Hint, Needle, Record

_NAME: Final = "metadata.name"
_NAMESPACE: Final = "metadata.namespace"


class Filter:
    """A compiled selection. ``exact_name`` and ``exact_namespace`` are the names that a selector pins, to narrow the range."""

    __slots__ = (
        "_fields",
        "_labels",
        "_needles",
        "_object_fields",
        "exact_name",
        "exact_namespace",
        "hint",
        "label",
        "needs_object",
    )

    def __init__(
        self,
        type_: ResourceType,
        labels: LabelSelector | None,
        fields: FieldSelector | None,
        name: str = "",
        *,
        of_many_types: bool = False,
    ) -> None:
        """``of_many_types``: the records are matched as objects of several types, each in its logical cluster."""
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
        self._needles: tuple[Needle, ...] = ()
        if self.needs_object:
            self._needles = hints.needles(self._labels, self._fields, type_)
        sought = tuple(each for each in self._needles if each.tag is None) if of_many_types else self._needles
        self.label = _required_label(self._labels) if not type_.strategy.default_sets_labels else None
        """A label that every match has, as it is stored; None if there is none."""
        self.hint = Hint(self.exact_name or "", sought) if self.exact_name or sought else None
        """What tells the store which records may match; None if nothing does."""

    @property
    def everything(self) -> bool:
        """Whether every object matches."""
        return self._labels is None and self._fields is None and self.exact_name is None

    def matches(self, record: Record, type_: ResourceType) -> bool:
        """Whether a record matches; decodes it if a selector needs the object, and its bytes do not exclude it."""
        for needle in self._needles:
            if (needle.tag is None or needle.tag == type_.schema_hash) and not needle.admits(record.value, record.tag):
                return False
        return self.matches_lazily(record, lambda: Selectable(record, type_))

    def matches_lazily(self, record: Record, load: Callable[[], Selectable]) -> bool:
        """As `matches`; ``load`` decodes the object, so that callers can share it."""
        if self.exact_name is not None and record.key.name != self.exact_name:
            return False
        if not self.needs_object:
            return self._fields is None or self._fields.matches(_key_fields(record))
        selectable = load()
        if self._fields is not None and not self._fields.matches(selectable.fields):
            return False
        return self._labels is None or self._labels.matches(selectable.labels)


class Selectable:
    """An object's labels and selectable fields in a type's version, each computed once."""

    __slots__ = ("_fields", "_obj", "_record", "_type", "labels")

    labels: Mapping[str, str]

    def __init__(self, record: Record, type_: ResourceType) -> None:
        self._record = record
        self._type = type_
        self._obj = served_object(record, type_)
        self._fields: dict[str, str] | None = None
        self.labels = self._obj["metadata"].get("labels") or {}

    @property
    def fields(self) -> Mapping[str, str]:
        """The selectable fields, ``metadata.name`` and ``metadata.namespace`` among them."""
        if self._fields is None:
            self._fields = {**_key_fields(self._record), **_field_values(self._obj, self._type)}
        return self._fields


def _required_label(selector: LabelSelector | None) -> tuple[str, str] | None:
    for key, operator, values in selector.requirements if selector is not None else ():
        if operator in (EQUALS, DOUBLE_EQUALS, IN) and len(values) == 1:
            return key, values[0]
    return None


def _key_fields(record: Record) -> dict[str, str]:
    return {_NAME: record.key.name, _NAMESPACE: record.key.namespace}


def _has_default_fields(type_: ResourceType) -> bool:
    """Whether kube-apiserver's default conversion of field labels applies, which allows the namespace of any type."""
    return type_.builtin and not type_.strategy.selectable


def _unsupported(field: str, type_: ResourceType) -> str:
    if _has_default_fields(type_):
        return f'{orjson.dumps(field).decode()} is not a known field selector: only "{_NAME}", "{_NAMESPACE}"'
    return f"field label not supported: {field}"


def _field_values(obj: dict[str, Any], type_: ResourceType) -> dict[str, str]:
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
