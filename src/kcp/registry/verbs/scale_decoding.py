"""Decoding of a Scale (autoscaling/v1) that a client sends, as Go decodes it: types, unknown fields, name and namespace."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from kcp.api import errors, metadata
from kcp.api.metadata import go_json_type
from kcp.registry.contexts import IGNORE, RequestContext
from kcp.registry.requests import Target
from kcp.registry.verbs import decoding
from kcp.schema.compiled import CompiledSchema, compile_schema

Object = dict[str, Any]

API_VERSION: Final = "autoscaling/v1"
_DESCRIBED: Final = 'Scale in version "v1" cannot be handled as a Scale: '
_INT32: Final = 1 << 31
_REPLICAS: Final[Object] = {"type": "integer", "format": "int32"}
_FIELDS: Final = {
    "spec": {"replicas": ("int32", "ScaleSpec")},
    "status": {"replicas": ("int32", "ScaleStatus"), "selector": ("string", "ScaleStatus")},
}
"""The members of each part with their Go types and structs."""


@cache
def _schema() -> CompiledSchema:
    spec = {"type": "object", "properties": {"replicas": _REPLICAS}}
    status = {"type": "object", "properties": {"replicas": _REPLICAS, "selector": {"type": "string"}}}
    return compile_schema({"type": "object", "properties": {"spec": spec, "status": status}})


def decoded(scale: Any, target: Target, context: RequestContext) -> Object:
    """Check that a client's data is a Scale of the target, and remove nulls and unknown fields from it.

    Raises UndecodableError, and StatusError 400 for another name or namespace than the target's.
    """
    if not isinstance(scale, dict) or scale.get("kind", "Scale") != "Scale":
        raise errors.UndecodableError("the scale subresource takes a Scale of autoscaling/v1")
    check_version(scale)
    meta = scale.get("metadata")
    if meta is None:
        raise errors.undeterminable_name(target.name)
    metadata.check_meta_types(meta, _DESCRIBED)
    _prune(scale, target, context)
    for part, members in _FIELDS.items():
        _check_part(scale, part, members)
    decoding.require_name(meta, target)
    decoding.check_place(meta, target)
    return scale


def check_version(scale: Object) -> None:
    """Raise UndecodableError where a Scale is of another version."""
    sent = scale.get("apiVersion") or API_VERSION
    if sent != API_VERSION:
        raise errors.UndecodableError(
            f"the API version in the data ({sent}) does not match the expected API version ({API_VERSION})"
        )


def _prune(scale: Object, target: Target, context: RequestContext) -> None:
    unknown: list[str] | None = None if context.field_validation == IGNORE else []
    _schema().prune(scale, unknown)
    if unknown:
        problems = [f'unknown field "{path}"' for path in unknown]
        decoding.report_problems(problems, context.field_validation, target.type, context)


def _check_part(scale: Object, part: str, members: dict[str, tuple[str, str]]) -> None:
    value = scale.get(part)
    if value is None:
        scale.pop(part, None)
        return
    if type(value) is not dict:
        struct = f"Scale{part.capitalize()}"
        raise _mistyped(value, f"Scale.{part}", f"v1.{struct}")
    for name, (go_type, struct) in members.items():
        member = value.get(name)
        if member is None:
            value.pop(name, None)
        elif not _fits(member, go_type):
            raise _mistyped(member, f"{struct}.{part}.{name}", go_type)


def _fits(value: Any, go_type: str) -> bool:
    if go_type == "string":
        return type(value) is str
    return type(value) is int and -_INT32 <= value < _INT32


def _mistyped(value: Any, field: str, go_type: str) -> errors.UndecodableError:
    found = go_json_type(value)
    if found == "number" and go_type == "int32":
        found = f"number {value}"
    return errors.UndecodableError(
        f"json: cannot unmarshal {found} into Go struct field {field} of type {go_type}", _DESCRIBED
    )
