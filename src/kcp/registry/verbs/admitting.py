"""The admission steps of a write: the requests that plugins get, and the application of their changes.

Only writes that some plugin handles come here. Mutating plugins change a copy, so that a write that is attempted again starts
from what the client sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcp.api import errors, json_values
from kcp.registry.admission.chain import DELETE, AdmissionPlugin, AdmissionRequest
from kcp.registry.verbs import decoding, scale, scale_decoding
from kcp.registry.verbs.attempts import Write
from kcp.registry.verbs.large_work import run_large

Object = dict[str, Any]


async def mutate(plugins: Sequence[AdmissionPlugin], write: Write) -> Object | None:
    """The object as the mutating plugins change it; None for a delete. Raises StatusError as a plugin."""
    request = _request(write)
    if request.object is not None:
        request.object = await run_large(write.size, json_values.copy, request.object)
    for plugin in plugins:
        await plugin.mutate(request)
    return request.object


async def validate(plugins: Sequence[AdmissionPlugin], write: Write) -> None:
    """Let each plugin see the object that will be stored. Raises StatusError as a plugin."""
    request = _request(write)
    for plugin in plugins:
        await plugin.validate(request)


def _request(write: Write) -> AdmissionRequest:
    new = None if write.operation == DELETE else write.object
    old = write.old
    if write.target.subresource == "scale":
        type_ = write.target.type
        new = None if new is None else scale.scale_of(new, type_, unset=scale.NOT_SET)
        old = None if old is None else scale.scale_of(old, type_, unset=scale.NOT_SET)
    return AdmissionRequest(write.context, write.target, write.operation, new, old, write.options)


async def take_over(changed: Any, write: Write) -> None:
    """Replace the object by the one that the mutating plugins returned; a Scale sets the replicas of its parent.

    Raises StatusError 500 where it is not an object of its kind.
    """
    target, before = write.target, write.new
    try:
        if target.subresource == "scale":
            wanted = scale_decoding.decoded(changed, target, write.context)
            write.object = scale.with_replicas(json_values.copy(before), wanted, target.type)
            return
        if not isinstance(changed, dict):
            raise errors.bad_request("not a JSON object")
        decoding.check_kind(changed, target.type)
        decoding.check_place(decoding.metadata_of(changed, target.type), target)
    except errors.StatusError as error:
        raise errors.internal_error(f"admission plugins made an unusable object: {error.message}") from error
    await run_large(write.size, decoding.prune_and_default, changed, target.type)
    write.object = changed
    managed = before["metadata"].get("managedFields")
    if managed is not None:
        changed["metadata"]["managedFields"] = managed
    else:
        changed["metadata"].pop("managedFields", None)


def keep_identity(obj: Object, prepared: Object) -> None:
    """Restore the UID and creation time of a new object after it was prepared a second time."""
    for name in ("uid", "creationTimestamp"):
        if name in prepared["metadata"]:
            obj["metadata"][name] = prepared["metadata"][name]
