"""Decode check, place and shape: the first steps of a write, which make an object of a client's JSON data.

Follows the request handlers of k8s.io/apiserver: the body declares the kind of the URL it is sent to, its name and namespace
agree with the URL's, unknown fields are pruned (or refused: KEP-2885) and defaults are set.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api import documents, errors, field_errors, json_values, metadata
from kcp.api.kinds import GroupKind
from kcp.registry.contexts import STRICT, RequestContext
from kcp.registry.requests import Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.large_work import LARGE, in_thread

Object = dict[str, Any]

SENT: Final = "the namespace of the provided object does not match the namespace sent on the request ({} is not {})"
PATCHED: Final = "the namespace of the object ({}) does not match the namespace on the request ({})"
"""kube-apiserver's messages for a namespace that is not the URL's, in a body and in the result of a patch."""


def check_kind(obj: Object, type_: ResourceType) -> None:
    """Check that the object has the kind and version of the URL. Raises StatusError 400.

    An object of a built-in type may omit them; one of a custom type may not, as in kube-apiserver.
    """
    sent, kind = obj.get("apiVersion"), obj.get("kind")
    if kind == type_.kind and sent == type_.api_version:
        return
    _check_texts(obj, type_)
    if type_.builtin and not (sent and kind):
        obj["apiVersion"] = sent = sent or type_.api_version
        obj["kind"] = kind = kind or type_.kind
    if not kind:
        raise _unrecognized(obj, type_, "Kind")
    if not sent:
        raise _unrecognized(obj, type_, "apiVersion")
    if kind != type_.kind and not type_.builtin:
        meta = obj.get("metadata")
        name = meta.get("name") if isinstance(meta, dict) else ""
        problem = field_errors.invalid("kind", kind, f"must be {type_.kind}")
        raise errors.invalid(GroupKind(type_.group, str(kind)), str(name or ""), [problem])
    if kind != type_.kind:
        raise errors.UndecodableError(
            f"the kind in the data ({kind}) does not match the expected kind ({type_.kind})",
            f'{kind} in version "{sent}" cannot be handled as a {type_.kind}: ',
        )
    if sent != type_.api_version:
        raise errors.UndecodableError(
            f"the API version in the data ({sent}) does not match the expected API version ({type_.api_version})"
        )


def _check_texts(obj: Object, type_: ResourceType) -> None:
    for name in ("apiVersion", "kind"):
        value = obj.get(name)
        if value is not None and type(value) is not str:
            unrecognized = f"the object provided is unrecognized (must be of type {type_.kind}): "
            raise errors.UndecodableError(
                f"json: cannot unmarshal {metadata.go_json_type(value)} into Go struct field .{name} of type string",
                f"{unrecognized}couldn't get version/kind; json parse error: ",
            )


def _unrecognized(obj: Object, type_: ResourceType, missing: str) -> errors.StatusError:
    text = documents.encode(obj).decode().strip()
    return errors.UndecodableError(
        f"Object '{missing}' is missing in '{text}'",
        f"the object provided is unrecognized (must be of type {type_.kind}): ",
    )


def metadata_of(obj: Object, type_: ResourceType) -> dict[str, Any]:
    """The object's metadata, added if absent. Raises StatusError 400 where a member does not decode as ObjectMeta's."""
    meta: dict[str, Any] | None = obj.get("metadata")
    if meta is None:
        meta = obj["metadata"] = {}
    metadata.check_meta_types(meta, type_.cannot_be_handled)
    return meta


def check_place(meta: dict[str, Any], target: Target, message: str = SENT) -> None:
    """Check that name and namespace agree with the URL's, and fill in what is missing. Raises StatusError 400."""
    namespace = meta.get("namespace") or ""
    if target.type.namespaced:
        if namespace and namespace != target.namespace:
            raise errors.bad_request(message.format(namespace, target.namespace))
        meta["namespace"] = target.namespace
    else:
        # kube-apiserver ignores the namespace of a cluster-scoped object
        meta.pop("namespace", None)
    if target.name:
        name = meta.get("name")
        if not name:
            meta["name"] = target.name
        elif name != target.name:
            raise errors.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({target.name})"
            )


def require_name(meta: dict[str, Any], target: Target) -> None:
    """Raise StatusError 400 where the object of an update has no name."""
    if not meta.get("name"):
        raise errors.undeterminable_name(target.name)


def size_of(obj: Object, type_: ResourceType, context: RequestContext) -> int:
    """The size of the work on a body, in bytes of JSON; at least `LARGE` where the type takes long to validate it."""
    return max(context.body_size, LARGE if type_.strategy.may_be_large and type_.strategy.is_large(obj) else 0)


def report_problems(problems: list[str], field_validation: str, type_: ResourceType, context: RequestContext) -> None:
    """Warn of duplicate and unknown fields. Strict field validation raises StatusError 400 for them."""
    if field_validation == STRICT:
        raise errors.UndecodableError(f"strict decoding error: {', '.join(problems)}", type_.cannot_be_handled)
    for problem in problems:
        context.warn(problem)


def prune_and_default(obj: Object, type_: ResourceType, unknown: list[str] | None = None) -> None:
    """Prune fields that the schema does not declare, collecting their paths in ``unknown``, and set defaults."""
    type_.schema.prune(obj, unknown)
    for name, zero in type_.strategy.zero_value.items():
        if obj.get(name) is None:
            obj[name] = json_values.copy(zero)
    type_.schema.default(obj)
    type_.strategy.default(obj)


async def precompute(obj: Object, old: Object | None, type_: ResourceType) -> None:
    """Validate a large object in a thread, so that its validation in the write finds cached results."""
    await in_thread(type_.strategy.precompute, obj, old)
