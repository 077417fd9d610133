"""Validation: the rules that an object must keep, checked after mutating admission and before validating admission.

Follows ``rest.BeforeCreate`` and ``rest.BeforeUpdate`` of k8s.io/apiserver: metadata, schema, then the type's own rules.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from kcp.api import errors, field_errors, metadata
from kcp.api.field_errors import FieldError
from kcp.registry.requests import Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import confidential, scale
from kcp.registry.verbs.repeated_items import may_repeat

Object = dict[str, Any]

_JSON_TYPES: Final = {
    "integer": "number",
    "number": "number",
    "boolean": "bool",
    "string": "string",
    "array": "array",
    "object": "object",
    "null": "null",
}
"""Types as the schema's errors name them, and as Go's JSON decoder names them."""
_NOT_BASE64: Final = "must be of type byte"
_TOO_LARGE: Final = "Checked value must be of type integer with format"
"""The start of the error of an integer that does not fit its format."""


def validate(obj: Object, old: Object | None, target: Target, warnings: list[str]) -> None:
    """Check an object against all of its rules; violations that an update may keep are appended to ``warnings``.

    Raises UndecodableError where it would not decode in kube-apiserver, else StatusError 422 with all causes.
    """
    type_ = target.type
    strategy = type_.strategy
    meta = obj["metadata"]
    found: list[FieldError] = metadata.validate_object_meta(
        meta, namespaced=type_.namespaced, name_validator=strategy.name_errors
    )
    if strategy.finalizers_need_domain and (finalizers := meta.get("finalizers")):
        found += metadata.validate_finalizer_domains(finalizers, "metadata.finalizers")
    has_scale = "scale" in type_.subresources
    if old is None:
        found += _schema_errors(obj, None, type_, warnings)
        if has_scale:
            found += scale.validate(obj, type_)
        if not found or type_.builtin:
            found += strategy.validate(obj)
    else:
        found += metadata.validate_object_meta_update(meta, old["metadata"])
        found += _schema_errors(obj, old, type_, warnings)
        if has_scale:
            found += scale.validate(obj, type_)
        found += _update_errors(obj, old, target)
    for error in (*strategy.undecodable(obj), *found):
        if error.type == field_errors.UNDECODABLE:
            raise errors.UndecodableError(f"{error.field}: {error.detail}", type_.cannot_be_handled)
    if found:
        raise errors.invalid(type_.group_kind, meta.get("name") or meta.get("generateName") or "", _distinct(found))


def check_decodable(obj: Object, type_: ResourceType) -> None:
    """Raise UndecodableError where an object, or a part of one, would not decode in kube-apiserver. Nothing else is checked."""
    if type_.builtin:
        _schema_errors(obj, None, type_, [])
        for error in type_.strategy.undecodable(obj):
            raise errors.UndecodableError(f"{error.field}: {error.detail}", type_.cannot_be_handled)


def _schema_errors(obj: Object, old: Object | None, type_: ResourceType, warnings: list[str]) -> list[FieldError]:
    """The schema's errors.

    Raises UndecodableError for a built-in type's field of another JSON type: such a body does not decode in kube-apiserver.
    """
    found = type_.schema.validate(obj, old, warnings, partial(may_repeat, type_.kind) if type_.message else None)
    if found and type_.builtin:
        for error in found:
            if error.type == field_errors.TYPE_INVALID or error.detail.startswith(_TOO_LARGE):
                raise errors.UndecodableError(_decoder_message(error, type_.kind), type_.cannot_be_handled)
    return found


def _decoder_message(error: FieldError, kind: str) -> str:
    if _NOT_BASE64 in error.detail and (error.value == "string" or error.value not in _JSON_TYPES):
        return f"{error.field}: {confidential.base64_problem(str(error.value))}"
    sent = _JSON_TYPES.get(error.value) if isinstance(error.value, str) else None
    _, found, rest = error.detail.partition(" in body must be of type ")
    if sent is None or not found:
        return str(error)
    return f"json: cannot unmarshal {sent} into Go struct field {kind}.{error.field} of type {rest.partition(':')[0]}"


def _update_errors(obj: Object, old: Object, target: Target) -> list[FieldError]:
    strategy = target.type.strategy
    if target.subresource == "status":
        return strategy.validate_status(obj, old)
    own = strategy.subresource_validations.get(target.subresource)
    return own(obj, old) if own is not None else strategy.validate_update(obj, old)


def _distinct(found: list[FieldError]) -> list[FieldError]:
    seen: set[tuple[str, str]] = set()
    kept = []
    for error in found:
        identity = (error.field, error.body)
        if identity not in seen:
            seen.add(identity)
            kept.append(error)
    return kept
