"""Preconditions: whether the present state lets a write happen, before anything is prepared.

Follows k8s.io/apiserver's generic registry store: existence, UID, resource version, deletion protection.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api import errors, field_errors, metadata
from kcp.api.kinds import GroupKind, GroupResource
from kcp.registry.requests import IGNORE_READ_ERROR, Target
from kcp.registry.types.catalog import terminating
from kcp.registry.verbs import namespaces
from kcp.registry.verbs.attempts import Write
from kcp.registry.verbs.records import is_being_deleted
from kcp.store.contract import ABSENT, Condition, Key, Store

_REQUIRED: Final = "0"
"""In place of a resource version that the type requires and the client did not send."""


def check_new(write: Write, meta: dict[str, Any]) -> None:
    """Raise StatusError 400 where the body of a create has a resource version. kube-apiserver's dry runs ignore one."""
    if not write.context.dry_run and meta.get("resourceVersion") not in (None, "", "0"):
        raise errors.bad_request("resourceVersion should not be set on objects to be created")


def take_from_body(write: Write) -> None:
    """Take the preconditions of a replace from the metadata of its body; without any it may create the object."""
    if write.verb != "update" or write.body is None:
        return
    meta, strategy = write.body["metadata"], write.target.type.strategy
    wanted = meta.get("resourceVersion") or ""
    write.resource_version = "" if wanted == "0" else wanted
    write.uid = meta.get("uid") or ""
    pinned = bool(write.resource_version or write.uid)
    write.may_create = strategy.allow_create_on_update and not write.target.subresource and not pinned
    if not write.resource_version and not strategy.allow_unconditional_update:
        write.resource_version = _REQUIRED


def take_from_patched(write: Write) -> None:
    """Take the resource version from what a patch makes of the object, as from the body of a replace.

    A patch that leaves the resource version alone has the present one, so that it is applied again after a conflict.
    """
    assert write.old is not None
    wanted = write.new["metadata"].get("resourceVersion") or ""
    write.resource_version = "" if wanted == "0" else wanted
    if not write.resource_version and not write.target.type.strategy.allow_unconditional_update:
        write.resource_version = _REQUIRED


def check_absent(write: Write) -> None:
    """Raise StatusError 404 or 409 where the object must exist and does not."""
    if write.uid and (write.may_create or write.target.type.strategy.allow_create_on_update):
        raise _another_object(write.target, write.uid, "")
    if write.verb != "create" and not write.may_create:
        raise errors.not_found(write.target.type.resource, write.target.name)


def name_new(write: Write) -> str:
    """The name of a new object, generated where the client asks for that; "" where it has none.

    Raises StatusError 405 for a type whose definition is being deleted.
    """
    if write.target.type.terminating:
        raise terminating()
    meta = write.new["metadata"]
    write.generated_from = "" if meta.get("name") else meta.get("generateName") or ""
    if write.generated_from:
        meta["name"] = metadata.generate_name(write.generated_from)
    return meta.get("name") or ""


def namespace_condition(store: Store, write: Write, name: str) -> Condition:
    """The condition under which the namespace of a write accepts the new object ``name``.

    Follows kube-apiserver's NamespaceLifecycle admission plugin. Raises StatusError 404 where the namespace does not exist, 403
    where it is being terminated.
    """
    namespace = write.target.namespace
    key = Key(namespaces.STORAGE, write.context.cluster, "", namespace)
    record = store.latest(key)
    if record is None:
        if namespace in namespaces.ALWAYS_THERE:
            return Condition(key, ABSENT)
        raise errors.not_found(namespaces.RESOURCE, namespace)
    if record.value.find(b'"deletionTimestamp"') >= 0 and is_being_deleted(record):
        raise _namespace_terminating(namespace, write.target, name)
    return Condition(key, record.revision)


def check_present(write: Write) -> None:
    """Raise StatusError 409 or 422 where the object is not the one, or not in the state, that the client writes."""
    if write.verb == "delete":
        _check_delete(write)
    elif write.resource_version or write.uid:
        _check_update(write)


def _check_update(write: Write) -> None:
    """Raise StatusError 409 or 422 where the object is not the one, or not in the state, that the client replaces."""
    old, record, target = write.old, write.record, write.target
    assert old is not None
    assert record is not None
    type_, wanted = target.type, write.resource_version
    if write.uid and write.uid != old["metadata"].get("uid"):
        raise _another_object(target, write.uid, old["metadata"].get("uid"))
    if wanted == _REQUIRED:
        missing = field_errors.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        # kube-apiserver's message has the plural in place of the kind
        raise errors.invalid(GroupKind(type_.group, type_.plural), target.name, [missing])
    if wanted and wanted != str(record.revision):
        if not wanted.isdigit():
            bad = field_errors.invalid("metadata.resourceVersion", wanted, "must be a resource version")
            raise errors.invalid(type_.group_kind, target.name, [bad])
        raise errors.conflict(type_.resource, target.name, errors.MODIFIED)


def _check_delete(write: Write) -> None:
    """Raise StatusError 409 where the preconditions of ``DeleteOptions`` do not hold."""
    old, record, target, options = write.old, write.record, write.target, write.options
    assert old is not None
    assert record is not None
    assert options is not None
    if options.ignore_store_read_error:
        _refuse_readable(target)
    if options.uid is None and options.resource_version is None:
        return
    # kube-apiserver's message has the kind in place of the plural
    resource = GroupResource(target.type.group, target.type.kind)
    uid = old["metadata"].get("uid")
    if options.uid is not None and options.uid != uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(resource, target.name, why)
    if options.resource_version is not None and options.resource_version != str(record.revision):
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion in "
            f"record ({record.revision}). The object might have been modified"
        )
        raise errors.conflict(resource, target.name, why)


def _refuse_readable(target: Target) -> None:
    why = "is exclusively used to delete corrupt object(s), try again by removing this option"
    # kube-apiserver's message has the plural in place of the kind
    kind = GroupKind(target.type.group, target.type.plural)
    raise errors.invalid(kind, target.name, [field_errors.invalid(IGNORE_READ_ERROR, True, why)])


def _namespace_terminating(namespace: str, target: Target, name: str) -> errors.StatusError:
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    refusal = errors.forbidden(target.type.resource, name, why)
    assert refusal.details is not None
    message = f"namespace {namespace} is being terminated"
    refusal.details["causes"] = [{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]
    return refusal


def _another_object(target: Target, wanted: str, found: Any) -> errors.StatusError:
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    return errors.conflict(target.type.resource, target.name, why)
