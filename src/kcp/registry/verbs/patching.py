"""PATCH: JSON patch, merge patch, strategic merge patch, and server-side apply.

Follows RFC 6902, RFC 7386, the API concepts page and KEP-555. A patch without a resource version is tried again over
the newest object when somebody else was faster, so that clients see no conflict they did not ask for.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kcp.api import documents, errors, field_errors, metadata
from kcp.api.field_errors import FieldError
from kcp.api.kinds import GroupKind
from kcp.api.patch import apply, json_patch, merge_patch, strategic_merge
from kcp.registry.contexts import IGNORE, STRICT, RequestContext
from kcp.registry.requests import Target, Written
from kcp.registry.verbs import pipeline
from kcp.registry.verbs.writing import Object, Writer
from kcp.store.contract import Record

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_YAML: Final = "application/apply-patch+yaml"
PATCH_TYPES: Final = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_YAML)

_OPERATION: Final = frozenset({"op", "path", "from", "value"})
"""The members of a JSON patch's operation."""
_OWN_RESET: Final = {"": (("status",),), "status": (("metadata",), ("spec",))}


async def patch(
    writer: Writer,
    context: RequestContext,
    target: Target,
    media_type: str,
    body: Any,
    *,
    force: bool = False,
    duplicates: list[str] | None = None,
) -> Written:
    """Apply a decoded patch. Raises StatusError 400, 404, 409 or 422."""
    if media_type == APPLY_YAML:
        return await _apply(writer, context, target, body, force=force, duplicates=duplicates or [])
    if force:
        problem = field_errors.forbidden("force", "may not be specified for non-apply patch")
        raise errors.invalid(GroupKind("meta.k8s.io", "PatchOptions"), "", [problem])
    faults = _faults(media_type, body, duplicates or [], context)
    type_ = target.type
    pinned = _pinned_version(media_type, body)
    made: Any = None

    async def transform(old: Object | None, _record: Record | None) -> Object:
        nonlocal made
        assert old is not None
        made = _patched(old, media_type, body, target)
        return await _reshaped(made, old, target, context, faults)

    if media_type == STRATEGIC_MERGE_PATCH and not isinstance(body, dict):
        raise errors.bad_request("error decoding patch: a strategic merge patch is a JSON object")
    assert type_.stored
    try:
        return await writer.change(context, target, transform, resource_version=pinned)
    except errors.UndecodableError as error:
        # the patch is what the client sent, and what is wrong: not the body, as it is where the whole object is sent
        raise _bad_patch(made, error.why) from error


def _bad_patch(made: Any, why: str) -> errors.StatusError:
    problem = field_errors.invalid("patch", documents.encode(made).decode().strip(), why)
    return errors.invalid(GroupKind("", ""), "", [problem])


def _faults(media_type: str, body: Any, duplicates: list[str], context: RequestContext) -> list[str]:
    """What strict field validation objects to in a patch itself; warns or is silent as asked."""
    faults = [f'duplicate field "{path}"' for path in duplicates]
    if media_type == JSON_PATCH and isinstance(body, list):
        for index, operation in enumerate(body):
            unknown = operation.keys() - _OPERATION if isinstance(operation, dict) else ()
            faults += [f'unknown field "[{index}].{name}"' for name in sorted(unknown)]
        faults = [f"json patch {fault}" for fault in faults]
    if context.field_validation == STRICT:
        return faults
    if context.field_validation != IGNORE:
        for fault in faults:
            context.warn(fault)
    return []


def _patched(old: Object, media_type: str, body: Any, target: Target) -> Any:
    if media_type == JSON_PATCH:
        return json_patch.apply(old, body)
    if media_type == MERGE_PATCH:
        return merge_patch.apply(old, body)
    return strategic_merge.apply(old, body, target.type.merge_type)


async def _reshaped(new: Any, old: Object, target: Target, context: RequestContext, faults: list[str]) -> Object:
    """Check and complete what a patch has made of the object. Changes are made on copies: patches share parts with ``old``."""
    type_ = target.type
    if not isinstance(new, dict):
        raise errors.UndecodableError("the patch makes something else than a JSON object of the object")
    if new.get("apiVersion") != old["apiVersion"] or new.get("kind") != old["kind"]:
        pipeline.check_kind(new, type_)
    new = orjson.loads(orjson.dumps(new))
    meta = pipeline.metadata_of(new, type_)
    _check_place(meta, target)
    problems = faults + await pipeline.shape_anywhere(new, type_, context, [])
    if problems:
        raise errors.UndecodableError("strict decoding error: " + ", ".join(problems))
    return new  # type: ignore[no-any-return]


def _check_place(meta: dict[str, Any], target: Target) -> None:
    if not meta.get("name"):
        raise errors.undeterminable_name(target.name)
    if meta["name"] != target.name:
        raise errors.bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({target.name})"
        )
    if target.type.namespaced:
        namespace = meta.get("namespace") or target.namespace
        if namespace != target.namespace:
            raise errors.bad_request(
                f"the namespace of the object ({namespace}) does not match the namespace on the request ({target.namespace})"
            )
        meta["namespace"] = namespace


def _pinned_version(media_type: str, body: Any) -> str:
    """The resource version that a patch demands: in its metadata, or by a JSON patch ``test`` (which checks itself)."""
    if media_type == JSON_PATCH or not isinstance(body, dict):
        return ""
    meta = body.get("metadata")
    version = meta.get("resourceVersion") if isinstance(meta, dict) else None
    if version is None or version == "":
        return ""
    if not isinstance(version, str):
        raise errors.bad_request("metadata.resourceVersion in the patch must be a string")
    return version


async def _apply(
    writer: Writer, context: RequestContext, target: Target, applied: Any, *, force: bool, duplicates: list[str]
) -> Written:
    type_ = target.type
    if not context.field_manager:
        missing: FieldError = field_errors.required("fieldManager", "is required for apply patch")
        raise errors.invalid(GroupKind("meta.k8s.io", "PatchOptions"), "", [missing])
    if not isinstance(applied, dict):
        raise errors.bad_request("error decoding YAML: an apply configuration is a mapping")
    if duplicates and context.field_validation == STRICT:
        listed = ", ".join(f'duplicate field "{path}"' for path in duplicates)
        raise errors.bad_request(f"error strict decoding YAML: {listed}")
    for path in duplicates:
        context.warn(f'duplicate field "{path}"')
    apply.check_version(applied, type_.api_version)
    pipeline.check_kind(applied, type_)
    meta = pipeline.metadata_of(applied, type_)
    if meta.get("managedFields"):
        raise errors.bad_request("metadata.managedFields must be nil")
    named = bool(meta.get("name"))
    pipeline.check_place(meta, target)
    _refuse_undeclared(applied, target)
    pinned = str(meta.pop("resourceVersion", "") or "")
    reset = _OWN_RESET.get(target.subresource, ()) if type_.has_status else ()

    async def transform(old: Object | None, _record: Record | None) -> Object:
        if old is None and not named:
            raise errors.undeterminable_name(target.name)
        if old is None and (uid := meta.get("uid")):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise errors.conflict(type_.resource, target.name, why)
        new = apply.server_side_apply(
            old,
            applied,
            type_.merge_type,
            manager=context.field_manager,
            force=force,
            api_version=type_.api_version,
            subresource=target.subresource,
            now=metadata.now(),
            reset_fields=reset,
            served_versions=type_.served_versions or None,
        )
        if new is old:
            return new
        new = dict(new, metadata=dict(new["metadata"]))
        quiet = RequestContext(context.user, context.cluster, field_validation="Ignore")
        copy: Object = orjson.loads(orjson.dumps(new))
        await pipeline.shape_anywhere(copy, type_, quiet, [])
        return copy

    return await writer.change(
        context, target, transform, resource_version=pinned, may_create=not target.subresource, owned=True
    )


def _refuse_undeclared(applied: Object, target: Target) -> None:
    """An apply configuration may name declared fields only, whatever field validation asks for (KEP-555: it is typed)."""
    type_ = target.type
    unknown: list[str] = []
    type_.schema.prune(applied, unknown)
    if unknown:
        place = f"{target.namespace}/{target.name}" if target.namespace else f"/{target.name}"
        listed = ", ".join(f".{path}: field not declared in schema" for path in unknown)
        raise errors.bad_request(
            f"failed to create typed patch object ({place}; {type_.api_version}, Kind={type_.kind}): {listed}"
        )
