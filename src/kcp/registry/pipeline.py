"""What every write goes through between decoding and the log.

The order is kube-apiserver's: prune and default, system fields, field ownership, mutating admission, then the schema,
the metadata and the type's own rules, then validating admission. Dry runs stop before the log and nowhere else.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api import errors, field_errors, metadata
from kcp.api.field_errors import FieldError
from kcp.api.patch import managed_fields
from kcp.registry import admission
from kcp.registry.requests import IGNORE, STRICT, RequestContext, Target
from kcp.registry.resource_types import ResourceType

Object = dict[str, Any]

MAX_OBJECT_BYTES: Final = 3 * 1024 * 1024
_STATUS_ONLY: Final = (("status",),)
_NOT_STATUS: Final = (("metadata",), ("spec",))


def check_kind(obj: Object, type_: ResourceType) -> None:
    """The object says the kind and version of the URL it is sent to. Raises StatusError 400."""
    sent, kind = obj.get("apiVersion"), obj.get("kind")
    if not sent and not kind:
        obj["apiVersion"], obj["kind"] = type_.api_version, type_.kind
        return
    if not kind:
        raise errors.bad_request("Object 'Kind' is missing in the request body")
    if not sent:
        raise errors.bad_request("Object 'apiVersion' is missing in the request body")
    if kind != type_.kind:
        raise errors.bad_request(
            f'{kind} in version "{sent}" cannot be handled as a {type_.kind}: the kind in the data ({kind}) does not match '
            f"the expected kind ({type_.kind})"
        )
    if sent != type_.api_version:
        raise errors.bad_request(
            f"the API version in the data ({sent}) does not match the expected API version ({type_.api_version})"
        )


def metadata_of(obj: Object) -> dict[str, Any]:
    """The object's metadata, made if absent. Raises StatusError 400 where its members have other JSON types than ObjectMeta's."""
    meta: dict[str, Any] | None = obj.get("metadata")
    if meta is None:
        meta = obj["metadata"] = {}
    metadata.check_meta_types(meta)
    return meta


def check_place(meta: dict[str, Any], target: Target) -> None:
    """Name and namespace of the body agree with the URL's; the namespace is filled in. Raises StatusError 400."""
    namespace = meta.get("namespace") or ""
    if target.type.namespaced:
        if namespace and namespace != target.namespace:
            raise errors.bad_request(
                f"the namespace of the provided object does not match the namespace sent on the request "
                f"({namespace} is not {target.namespace})"
            )
        meta["namespace"] = target.namespace
    elif namespace:
        # kube-apiserver refuses it in validation; clients that always send one get the same message from here
        raise errors.invalid(
            target.type.group_kind,
            meta.get("name") or "",
            [field_errors.forbidden("metadata.namespace", "not allowed on this type")],
        )
    else:
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
    problems = [f'unknown field "{path}"' for path in unknown]
    problems += [f'duplicate field "{path}"' for path in duplicates]
    if problems and context.field_validation != STRICT:
        for problem in problems:
            context.warn(problem)
        return []
    return problems


def refuse_unknown(problems: list[str], type_: ResourceType) -> None:
    """Raise StatusError 400 when strict field validation found anything."""
    if problems:
        raise errors.bad_request(
            f'{type_.kind} in version "{type_.version}" cannot be handled as a {type_.kind}: '
            f"strict decoding error: {', '.join(problems)}"
        )


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
    """Every rule that the object itself must keep. Raises StatusError 422 with all of the causes."""
    type_ = target.type
    strategy = type_.strategy
    meta = obj["metadata"]
    found: list[FieldError] = metadata.validate_object_meta(
        meta, namespaced=type_.namespaced, name_validator=strategy.name_errors
    )
    if old is None:
        found += type_.schema.validate(obj)
        if not found or type_.builtin:
            found += strategy.validate(obj)
    else:
        found += metadata.validate_object_meta_update(meta, old["metadata"])
        found += type_.schema.validate(obj, old)
        found += _update_errors(obj, old, target)
    if found:
        raise errors.invalid(type_.group_kind, meta.get("name") or meta.get("generateName") or "", _distinct(found))


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
