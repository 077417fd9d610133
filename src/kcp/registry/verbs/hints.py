"""Hints: what a selection says about the stored bytes of the objects that it matches.

The server stores JSON without white space and escapes nothing that it need not (`documents.encode_stored`), so an object with the
label ``app=web`` has the bytes ``"app":"web"``. A search for them finds every match, and some objects that have them elsewhere:
each record that a search finds is decoded and matched. Selectors that match objects without a label or field (``!key``,
``!=``, ``notin``) give no hint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import orjson

from kcp.api.selectors import (
    DOUBLE_EQUALS,
    EQUALS,
    EXISTS,
    GREATER,
    IN,
    LESS,
    FieldSelector,
    LabelSelector,
    Requirement,
)
from kcp.registry.types.resource_types import ResourceType, SelectableField
from kcp.store.contract import Needle

_MAX_NEEDLES: Final = 4
_MAX_STRINGS: Final = 8
"""Strings of one needle. To search for more costs as much as to decode the object."""
_MAY_BE_NO_STRING: Final = re.compile("[-0-9]|true|false")
"""The first characters of numbers and booleans, whose text in field selectors is their JSON."""


def needles(labels: LabelSelector | None, fields: FieldSelector | None, type_: ResourceType) -> tuple[Needle, ...]:
    """The needles of selectors: a few, those with few and long strings first, which exclude most at the least cost."""
    found = [*_label_needles(labels, type_), *_field_needles(fields, type_)]
    found.sort(key=lambda needle: (len(needle.strings), -min(map(len, needle.strings))))
    return tuple(found[:_MAX_NEEDLES])


def _label_needles(selector: LabelSelector | None, type_: ResourceType) -> Iterator[Needle]:
    if selector is None:
        return
    tag = type_.schema_hash if type_.strategy.default_sets_labels else None
    for requirement in selector.requirements:
        if strings := _label_strings(requirement):
            yield Needle(strings, tag)


def _label_strings(requirement: Requirement) -> tuple[bytes, ...]:
    key, operator, values = requirement
    if operator in (EQUALS, DOUBLE_EQUALS, IN) and len(values) <= _MAX_STRINGS:
        return tuple(_member(key, value) for value in values)
    if operator in (EQUALS, DOUBLE_EQUALS, IN, EXISTS, GREATER, LESS):
        return (b"%b:" % orjson.dumps(key),)
    return ()


def _field_needles(selector: FieldSelector | None, type_: ResourceType) -> Iterator[Needle]:
    """The needles of a field selector, for values that are served as they are stored: others may get defaults."""
    own = {field.name: field for field in type_.selectable_fields}
    for field, operator, value in selector.requirements if selector is not None else ():
        if operator != EQUALS or not value:
            continue  # an absent field is empty
        if field in own:
            yield Needle(_field_strings(own[field], value), type_.schema_hash)
        elif field in type_.strategy.selectable:
            yield Needle((b":%b" % orjson.dumps(value),), type_.schema_hash)


def _field_strings(field: SelectableField, value: str) -> tuple[bytes, ...]:
    name = field.path.names[-1]
    if _MAY_BE_NO_STRING.match(value):
        return _member(name, value), b"%b:%b" % (orjson.dumps(name), value.encode())
    return (_member(name, value),)


def _member(name: str, value: str) -> bytes:
    return b"%b:%b" % (orjson.dumps(name), orjson.dumps(value))
