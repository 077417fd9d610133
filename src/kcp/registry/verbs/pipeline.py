"""What every write goes through between decoding and the log.

The order is kube-apiserver's: prune and default, system fields, field ownership, mutating admission, then the schema,
the metadata and the type's own rules, then validating admission. Dry runs stop before the log and nowhere else.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from kcp.api import documents, errors, field_errors, metadata
from kcp.api.field_errors import FieldError
from kcp.api.patch import managed_fields
from kcp.registry.admission import chain as admission
from kcp.registry.contexts import IGNORE, STRICT, RequestContext
from kcp.registry.requests import Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import scale

Object = dict[str, Any]

MAX_OBJECT_BYTES: Final = 3 * 1024 * 1024
_JSON_TYPES: Final = {
    "integer": "number",
    "number": "number",
    "boolean": "bool",
    "string": "string",
    "array": "array",
    "object": "object",
    "null": "null",
}
"""Names of types in schemas' errors, and what decoders call them."""
_TOO_LARGE: Final = "Checked value must be of type integer with format"
"""What an integer's format says of a number that it cannot hold."""
_STATUS_ONLY: Final = (("status",),)
_NOT_STATUS: Final = (("metadata",), ("spec",))


def check_kind(obj: Object, type_: ResourceType) -> None:
    """The object says the kind and version of the URL it is sent to. Raises StatusError 400.

    What a built-in type's object does not say, its URL says; objects of other types must speak for themselves, as decoders of
    kube-apiserver have it.
    """
    sent, kind = obj.get("apiVersion"), obj.get("kind")
    if type_.builtin and not (sent and kind):
        obj["apiVersion"] = sent = sent or type_.api_version
        obj["kind"] = kind = kind or type_.kind
    if not kind:
        raise _unrecognized(obj, type_, "Kind")
    if not sent:
        raise _unrecognized(obj, type_, "apiVersion")
    if kind != type_.kind:
        raise errors.UndecodableError(
            f"the kind in the data ({kind}) does not match the expected kind ({type_.kind})",
            f'{kind} in version "{sent}" cannot be handled as a {type_.kind}: ',
        )
    if sent != type_.api_version:
        raise errors.UndecodableError(
            f"the API version in the data ({sent}) does not match the expected API version ({type_.api_version})"
        )


def _unrecognized(obj: Object, type_: ResourceType, missing: str) -> errors.StatusError:
    text = documents.encode(obj).decode().strip()
    return errors.UndecodableError(
        f"Object '{missing}' is missing in '{text}'",
        f"the object provided is unrecognized (must be of type {type_.kind}): ",
    )


def cannot_be_handled(type_: ResourceType) -> str:
    """What kube-apiserver says before it says why a body cannot be decoded."""
    return f'{type_.kind} in version "{type_.version}" cannot be handled as a {type_.kind}: '


def metadata_of(obj: Object, type_: ResourceType) -> dict[str, Any]:
    """The object's metadata, made if absent. Raises StatusError 400 where its members have other JSON types than ObjectMeta's."""
    meta: dict[str, Any] | None = obj.get("metadata")
    if meta is None:
        meta = obj["metadata"] = {}
    metadata.check_meta_types(meta, cannot_be_handled(type_))
    return meta


def check_place(meta: dict[str, Any], target: Target) -> None:
    """Name and namespace of the body agree with the URL's; what is not said is filled in. Raises StatusError 400."""
    namespace = meta.get("namespace") or ""
    if target.type.namespaced:
        if namespace and namespace != target.namespace:
            raise errors.bad_request(
                f"the namespace of the provided object does not match the namespace sent on the request "
                f"({namespace} is not {target.namespace})"
            )
        meta["namespace"] = target.namespace
    else:
        # clients may name one for an object that has none: kube-apiserver forgets it
        meta.pop("namespace", None)
    if target.name:
        name = meta.get("name")
        if not name:
            meta["name"] = target.name
        elif name != target.name:
            raise errors.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({target.name})"
            )


def shape(obj: Object, type_: ResourceType, context: RequestContext, duplicates: list[str]) -> list[str]:
    """Prune unknown fields and default. Returns what strict field validation objects to; warns or is silent as asked."""
    unknown: list[str] | None = None if context.field_validation == IGNORE else []
    type_.schema.prune(obj, unknown)
    type_.schema.default(obj)
    type_.strategy.default(obj)
    if unknown is None:
        return []
    problems = [f'duplicate field "{path}"' for path in duplicates]
    problems += [f'unknown field "{path}"' for path in unknown]
    if problems and context.field_validation != STRICT:
        for problem in problems:
            context.warn(problem)
        return []
    return problems


async def shape_anywhere(obj: Object, type_: ResourceType, context: RequestContext, duplicates: list[str]) -> list[str]:
    """Like ``shape``; for large objects in a thread."""
    if type_.strategy.is_large(obj):
        return await asyncio.to_thread(shape, obj, type_, context, duplicates)
    return shape(obj, type_, context, duplicates)


async def precompute(obj: Object, type_: ResourceType) -> None:
    """Let a thread do what would hold the event loop for too long."""
    if type_.strategy.is_large(obj):
        await asyncio.to_thread(type_.strategy.precompute, obj)


def refuse_unknown(problems: list[str], type_: ResourceType) -> None:
    """Raise StatusError 400 when strict field validation found anything."""
    if problems:
        raise errors.bad_request(f"{cannot_be_handled(type_)}strict decoding error: {', '.join(problems)}")


def own_fields(live: Object | None, obj: Object, target: Target, context: RequestContext) -> None:
    """Bring ``metadata.managedFields`` up to date for a writer that does not apply."""
    type_ = target.type
    reset = (_NOT_STATUS if target.subresource == "status" else _STATUS_ONLY) if type_.has_status else ()
    managed = managed_fields.update_managed_fields(
        live,
        obj,
        type_.merge_type,
        manager=context.field_manager or "unknown",
        api_version=type_.api_version,
        subresource=target.subresource,
        now=metadata.now(),
        reset_fields=reset,
        served_versions=type_.served_versions or None,
    )
    if managed:
        obj["metadata"]["managedFields"] = managed
    else:
        obj["metadata"].pop("managedFields", None)


def validate(obj: Object, old: Object | None, target: Target) -> None:
    """Every rule that the object itself must keep. Raises UndecodableError, and StatusError 422 with all of the causes."""
    type_ = target.type
    strategy = type_.strategy
    meta = obj["metadata"]
    found: list[FieldError] = metadata.validate_object_meta(
        meta, namespaced=type_.namespaced, name_validator=strategy.name_errors
    )
    if strategy.finalizers_need_domain and (finalizers := meta.get("finalizers")):
        found += metadata.validate_finalizer_domains(finalizers, "metadata.finalizers")
    if old is None:
        found += _schema_errors(obj, None, type_)
        found += scale.validate(obj, type_)
        if not found or type_.builtin:
            found += strategy.validate(obj)
    else:
        found += metadata.validate_object_meta_update(meta, old["metadata"])
        found += _schema_errors(obj, old, type_)
        found += scale.validate(obj, type_)
        found += _update_errors(obj, old, target)
    for error in found:
        if error.type == field_errors.UNDECODABLE:
            raise errors.UndecodableError(f"{error.field}: {error.detail}", cannot_be_handled(type_))
    if found:
        raise errors.invalid(type_.group_kind, meta.get("name") or meta.get("generateName") or "", _distinct(found))


def _schema_errors(obj: Object, old: Object | None, type_: ResourceType) -> list[FieldError]:
    """What the schema objects to.

    Raises UndecodableError for a built-in type's field of another JSON type: such a body does not decode in kube-apiserver.
    """
    found = type_.schema.validate(obj, old)
    if found and type_.builtin:
        # no text is no bytes to a decoder, but no base64 to the format; and list types tell merges of built-in types, no more
        found = [error for error in found if error.value != "" or "must be of type byte" not in error.detail]
        found = [error for error in found if error.type != field_errors.DUPLICATE]
        for error in found:
            if error.type == field_errors.TYPE_INVALID or error.detail.startswith(_TOO_LARGE):
                raise errors.UndecodableError(_mistyped(error, type_.kind), cannot_be_handled(type_))
    return found


def _mistyped(error: FieldError, kind: str) -> str:
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


async def admit_mutating(chain: admission.Chain, attributes: admission.Attributes) -> None:
    """Run the mutating plugins; what they wrote is pruned and defaulted like a client's fields."""
    if not chain:
        return
    await chain.mutate(attributes)
    if attributes.object is not None:
        type_ = attributes.target.type
        type_.schema.prune(attributes.object)
        type_.schema.default(attributes.object)
        type_.strategy.default(attributes.object)


def warn_about(obj: Object, old: Object | None, target: Target, context: RequestContext) -> None:
    """Collect the type's advice."""
    type_ = target.type
    for text in type_.strategy.warnings(obj, old):
        context.warn(text)
