"""Closing of an API before its definition is deleted, so that no object is created between the last check and the deletion.

Deleting a definition deletes its objects. A closed definition refuses every object, so what is not there then will not be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kcp.schema.raw_schemas import Definition, Raw, objects, schema

_RULES: Final = "x-kubernetes-validations"
_CLOSED: Final = {
    "rule": "false",
    "message": "the API is being withdrawn: no cluster serves it, or it is not published",
}

_Change = Callable[[list[Raw]], list[Raw]]


def closed(definition: Definition) -> Definition:
    """Return a definition that refuses every object."""
    return _with_rules(definition, lambda rules: [*rules, _CLOSED])


def reopened(definition: Definition) -> Definition:
    """Return a definition that accepts objects as before it was closed."""
    return _with_rules(definition, lambda rules: [rule for rule in rules if rule != _CLOSED])


def _with_rules(definition: Definition, change: _Change) -> Definition:
    spec = schema(definition, "spec") or {}
    return {
        **definition,
        "spec": {**spec, "versions": [_version(each, change) for each in objects(spec.get("versions"))]},
    }


def _version(version: Raw, change: _Change) -> Raw:
    validation = schema(version, "schema") or {}
    raw = dict(schema(validation, "openAPIV3Schema") or {})
    rules = change(objects(raw.pop(_RULES, None)))
    if rules:
        raw[_RULES] = rules
    return {**version, "schema": {**validation, "openAPIV3Schema": raw}}
