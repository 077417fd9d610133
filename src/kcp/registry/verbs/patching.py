"""PATCH: JSON patch, merge patch, strategic merge patch, and server-side apply.

Follows RFC 6902, RFC 7386, the API concepts page and KEP-555. A patch without a resource version is applied again to the newest
object after a conflict, so that clients see no conflict that they did not ask for.

Example of server-side apply: ``helm`` and ``me`` apply to a Widget that does not exist yet, and then ``me`` applies less.

==========  =================================  ========================  =========================================
manager     configuration (``spec``)           result                    ``metadata.managedFields``
==========  =================================  ========================  =========================================
``helm``    ``{size: 1}``                      CREATE: ``{size: 1,       ``helm``: ``f:size``. Defaults are set by
                                               color: red}``             the shape step and owned by nobody
``me``      ``{size: 2, color: blue}``         409: ``helm`` owns        unchanged
                                               ``.spec.size``
``me``      ``{size: 1, color: blue}``         UPDATE: ``{size: 1,       ``helm``: ``f:size``; ``me``: ``f:size``,
                                               color: blue}``            ``f:color``
``me``      ``{size: 1}``                      UPDATE: ``color`` goes,   ``helm``: ``f:size``; ``me``: ``f:size``
                                               and the default returns
==========  =================================  ========================  =========================================
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api import documents, errors, field_errors, json_values, metadata
from kcp.api.field_errors import FieldError
from kcp.api.kinds import GroupKind
from kcp.api.patch import merge_patch, merge_types
from kcp.api.patch.merge_types import MergeType
from kcp.registry.contexts import IGNORE, STRICT, RequestContext
from kcp.registry.requests import Target, Written
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import confidential, decoding, preparing, scale
from kcp.registry.verbs.attempts import Write
from kcp.registry.verbs.large_work import LARGE, run_large
from kcp.registry.verbs.records import copy_of_patched
from kcp.registry.verbs.writing import Writer
from kcp.schema.null_validation import null_errors
from kcp.schema.pruning import is_below_preserved

Object = dict[str, Any]

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_YAML: Final = "application/apply-patch+yaml"
_PATCH_TYPES: Final = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_YAML)
_WITHOUT_STRATEGIC: Final = (JSON_PATCH, MERGE_PATCH, APPLY_YAML)

_OPERATION: Final = frozenset({"op", "path", "from", "value"})
"""The members of a JSON patch's operation."""


def patch_types(type_: ResourceType) -> tuple[str, ...]:
    """The media types of patches that a type takes."""
    return _PATCH_TYPES if type_.takes_strategic_merge else _WITHOUT_STRATEGIC


def check_options(media_type: str, force: bool | None) -> None:
    """Raise StatusError 422 where another patch than an apply says whether it forces."""
    if media_type != APPLY_YAML and force is not None:
        problem = field_errors.forbidden("force", "may not be specified for non-apply patch")
        raise errors.invalid(GroupKind("meta.k8s.io", "PatchOptions"), "", [problem])


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
        size = context.body_size
        write = await run_large(size, apply_of, context, target, body, force=force, duplicates=duplicates or [])
        del body  # the write drops it when it can
        return await writer.write(write)
    if media_type == STRATEGIC_MERGE_PATCH and not isinstance(body, dict):
        raise errors.bad_request("error decoding patch: a strategic merge patch is a JSON object")

    def change(write: Write) -> Object:
        made = patched(write.old, media_type, body, target.type.merge_type)
        if not isinstance(made, dict):
            raise errors.UndecodableError("the patch makes something else than a JSON object of the object")
        return copy_of_patched(made, write.old, write.size)  # the result of a patch shares parts with the old object

    problems = await run_large(context.body_size, _problems, media_type, body, duplicates or [])
    write = Write(context, target, "update", change=change, problems=problems)
    try:
        return await writer.write(write)
    except errors.UndecodableError as error:
        raise await run_large(write.size, _unpatchable, write, media_type, body, error.why) from error


async def patch_scale(writer: Writer, context: RequestContext, target: Target, media_type: str, body: Any) -> Written:
    """Apply a decoded patch to the Scale of an object. Raises StatusError 400, 404, 409 or 422."""
    made: Any = None

    def wanted(old: Object) -> Any:
        nonlocal made
        made = patched(old, media_type, body, merge_types.UNTYPED)
        return json_values.copy(made)

    write = scale.rescale(context, target, wanted)
    try:
        return scale.as_scale(await writer.write(write))
    except errors.UndecodableError as error:
        raise await run_large(write.size, _not_an_object, made, error.why, target.type) from error


def _unpatchable(write: Write, media_type: str, body: Any, why: str) -> errors.StatusError:
    """422: the result of a patch, which is made again, does not decode as an object of the type."""
    type_ = write.target.type
    return _not_an_object(patched(write.old, media_type, body, type_.merge_type), why, type_)


def _not_an_object(made: Any, why: str, type_: ResourceType) -> errors.StatusError:
    """422: what a patch has made does not decode as an object of the type."""
    shown = confidential.REDACTED if type_.strategy.confidential else documents.encode(made).decode().strip()
    return errors.invalid(GroupKind("", ""), "", [field_errors.invalid("patch", shown, why)])


def patched(old: Any, media_type: str, body: Any, merge_type: MergeType) -> Any:
    """Apply a patch to an object. The result may share parts with ``old``. Raises StatusError 400 or 422."""
    if media_type == MERGE_PATCH:
        return merge_patch.apply(old, body)
    # imported with the first of these patches: an idle server needs neither
    from kcp.api.patch import json_patch, strategic_merge

    if media_type == JSON_PATCH:
        return json_patch.apply(old, body)
    return strategic_merge.apply(old, body, merge_type)


def _problems(media_type: str, body: Any, duplicates: list[str]) -> list[str]:
    """The violations of strict field validation in the patch itself."""
    problems = [f'duplicate field "{path}"' for path in duplicates]
    if media_type != JSON_PATCH or not isinstance(body, list):
        return problems
    from kcp.api.patch import json_patch

    json_patch.check_operations(body)
    for index, operation in enumerate(body):
        unknown = operation.keys() - _OPERATION if isinstance(operation, dict) else ()
        problems += [f'unknown field "[{index}].{name}"' for name in sorted(unknown)]
    return [f"json patch {problem}" for problem in problems]


def apply_of(context: RequestContext, target: Target, applied: Any, *, force: bool, duplicates: list[str]) -> Write:
    """The write of a server-side apply. Raises StatusError 400 or 422 for an unusable configuration."""
    from kcp.api.patch.apply import server_side_apply  # with the first apply: an idle server does not need it

    _check_configuration(context, target, applied, duplicates)
    meta = applied["metadata"]
    named = bool(meta.get("name"))
    decoding.check_place(meta, target)
    _refuse_undeclared(applied, target)
    pinned = str(meta.pop("resourceVersion", "") or "")
    uid = meta.get("uid")
    type_ = target.type
    kept = b""

    def change(write: Write) -> Object:
        nonlocal applied, kept
        old = write.old
        if applied is None:
            applied = documents.decode_stored(kept)
        if old is None and not named:
            raise errors.undeterminable_name(target.name)
        if old is None and uid:
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise errors.conflict(type_.resource, target.name, why)
        new = server_side_apply(
            old,
            applied,
            type_.merge_type,
            manager=context.field_manager,
            force=force,
            api_version=type_.api_version,
            subresource=target.subresource,
            now=metadata.now(),
            reset_fields=preparing.reset_fields(target),
            served_versions=type_.served_versions or None,
            zero_value=type_.strategy.zero_value,
        )
        if old is not None and new is old:
            return old
        _refuse_nulls(applied, new, target)
        if old is None and write.size >= LARGE:  # all of the new object comes from the configuration, which becomes it
            kept, applied = documents.encode(applied), None
            return new
        return copy_of_patched(new, old, write.size)

    return Write(
        context,
        target,
        "update",
        change=change,
        field_validation=IGNORE,
        resource_version=pinned,
        may_create=not target.subresource,
        checked=True,
        owned=True,
    )


def _check_configuration(context: RequestContext, target: Target, applied: Any, duplicates: list[str]) -> None:
    type_ = target.type
    if not context.field_manager:
        missing: FieldError = field_errors.required("fieldManager", "is required for apply patch")
        raise errors.invalid(GroupKind("meta.k8s.io", "PatchOptions"), "", [missing])
    if not isinstance(applied, dict):
        raise errors.bad_request("error decoding YAML: an apply configuration is a mapping")
    problems = [f'duplicate field "{path}"' for path in duplicates]
    if problems and context.field_validation == STRICT:
        raise errors.bad_request(f"error strict decoding YAML: {', '.join(problems)}")
    for problem in problems:
        context.warn(problem)
    from kcp.api.patch.apply import check_version

    check_version(applied, type_.api_version)
    if not applied.get("kind"):
        place = f"{target.namespace}/{target.name}; {type_.api_version}, Kind="
        raise errors.bad_request(
            f"failed to create typed patch object ({place}): no corresponding type for {type_.api_version}, Kind="
        )
    decoding.check_kind(applied, type_)
    if decoding.metadata_of(applied, type_).get("managedFields"):
        raise errors.bad_request("metadata.managedFields must be nil")


def _refuse_nulls(applied: Object, new: Object, target: Target) -> None:
    """Raise StatusError 422 if a configuration has set a null that the schema of a custom type does not allow.

    To Kubernetes' own kinds null is the same as absent.
    """
    type_ = target.type
    if type_.builtin or type_.message or documents.encode(applied).find(b":null") < 0:
        return
    reset = {path[0] for path in preparing.reset_fields(target)}
    if found := null_errors(type_.schema.root, {name: value for name, value in new.items() if name not in reset}):
        raise errors.invalid(type_.group_kind, target.name, found)


def _refuse_undeclared(applied: Object, target: Target) -> None:
    """An apply configuration may name declared fields only, whatever field validation asks for (KEP-555: it is typed).

    Below a field that preserves unknown ones it may name any: those that are not declared are pruned.
    """
    type_ = target.type
    unknown: list[str] = []
    type_.schema.prune(applied, unknown)
    unknown = [path for path in unknown if not is_below_preserved(type_.schema.root, path)]
    if unknown:
        subject = f"{target.namespace}/{target.name}; {type_.group}/{type_.version}, Kind={type_.kind}"
        problems = [f".{path}: field not declared in schema" for path in unknown]
        listed = problems[0] if len(problems) == 1 else field_errors.join(["errors:", *problems], "\n  ")
        raise errors.bad_request(f"failed to create typed patch object ({subject}): {listed}")
