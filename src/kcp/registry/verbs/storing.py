"""Encode and store: the last steps of a write, from a validated object to a committed change of the log.

A change is conditional on the state that the write started from, and a create also on its namespace and its definition: in a
log that several servers share, any of these may have changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Final

from kcp.api import documents, errors, json_values, metadata
from kcp.api.patch.managed_fields import differ_in_times_only
from kcp.registry.admission.chain import CREATE, DELETE
from kcp.registry.requests import Written
from kcp.registry.types.catalog import Catalog
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import attempts, preconditions
from kcp.registry.verbs.attempts import RETRIES, Write
from kcp.registry.verbs.large_work import LARGE, in_thread, run_large
from kcp.registry.verbs.records import (
    is_being_deleted,
    key_of,
    object_in,
    served_bytes,
    served_object,
    stored_value,
    unreadable_object,
)
from kcp.registry.verbs.serialized_writes import WriteLocks, fencing_change, fencing_change_of_delete
from kcp.registry.verbs.source import Source, expected_revision, in_each_namespace
from kcp.store.contract import ABSENT, Change, Condition, DamagedValueError, Key, PreconditionFailedError, Record

Object = dict[str, Any]

MAX_OBJECT_BYTES: Final = 3 * 1024 * 1024
_GENERATE_ATTEMPTS: Final = 8


class Committer:
    """The log as the last step of a write."""

    def __init__(self, source: Source, catalog: Catalog) -> None:
        self._source = source
        self._store = source.store
        self._catalog = catalog
        self._locks = WriteLocks()

    def store(self, write: Write) -> Awaitable[Written | None]:
        """Encode and commit a write; None when another write changed the object meanwhile."""
        if write.target.type.strategy.writes_are_serialized:
            return self._store_serialized(write)
        return self._commit(write, None)

    async def _store_serialized(self, write: Write) -> Written | None:
        """Hold the lock of serialized writes, only here: admission plugins have run, and may write objects of the type."""
        type_ = write.target.type
        cluster = write.context.cluster
        prepared = write.object
        async with self._locks.of(cluster, type_.resource):
            for _ in range(RETRIES):
                await self._catalog.load(cluster)  # the names of the other definitions
                fence = fencing_change(self._store, type_, cluster)
                if prepared is not None and prepared is not write.old:
                    # a failed attempt must leave nothing: names that it accepted would count as accepted before
                    write.object = dict(prepared, metadata=dict(prepared["metadata"]))
                    type_.strategy.set_status_from_other_objects(
                        write.object, self._catalog.surface(cluster).accepted_names
                    )
                try:
                    return await self._commit(write, fence)
                except PreconditionFailedError:
                    continue  # another server wrote an object of the type
        raise errors.server_timeout(type_.resource, write.verb)

    def _commit(self, write: Write, fence: Change | None) -> Awaitable[Written | None]:
        """Raises PreconditionFailedError when ``fence`` failed."""
        if write.operation == CREATE:
            return self._insert(write, fence)
        if write.operation == DELETE:
            return self._delete(write, fence)
        return self._replace(write, fence)

    async def remove_damaged(self, write: Write, revision: int) -> Written | None:
        """Delete an object that cannot be read; None when another write changed it meanwhile."""
        type_, key = write.target.type, self._key(write)
        removal = Change(key, None, revision)
        for _ in range(RETRIES):
            fence = fencing_change(self._store, type_, key.cluster) if type_.strategy.writes_are_serialized else None
            try:
                if await self._write(removal, self._fence_of_delete(write, fence)) is None:
                    return None
            except PreconditionFailedError:
                continue  # another server wrote an object of the type
            obj = unreadable_object(key, type_)
            return Written(documents.encode(obj), type_, obj, gone=True)
        raise errors.server_timeout(type_.resource, write.verb)

    async def unchanged(self, write: Write) -> Written | None:
        """The answer to a write that has nothing to do, once the present state is durable.

        A state that is encrypted with an older key is written again; None when another write changed it meanwhile.
        """
        assert write.old is not None
        record = write.record
        if record is not None and not write.context.dry_run and self._store.is_stale(record):
            return await self._renew(write, record)
        await attempts.settled(self._source, write)
        return Written(await run_large(write.size, documents.encode, write.old), write.target.type, write.old)

    async def _renew(self, write: Write, record: Record) -> Written | None:
        type_ = write.target.type
        change = Change(record.key, record.value, expected_revision(record), record.tag, type_.strategy.lifetime)
        revision = await self._write(change, None)
        if revision is None:
            return None
        renewed = record._replace(revision=revision)
        obj = await run_large(write.size, served_object, renewed, type_)
        return Written(await run_large(write.size, documents.encode, obj), type_, obj)

    async def _insert(self, write: Write, fence: Change | None) -> Written | None:
        type_, obj, context = write.target.type, write.object, write.context
        small = write.size < LARGE
        for attempt in range(_GENERATE_ATTEMPTS):
            assert obj is not None
            value, tag = stored_value(obj, type_) if small else await in_thread(stored_value, obj, type_)
            _check_size(value)
            key = key_of(type_, context.cluster, write.target.namespace, obj["metadata"]["name"])
            taken = key.name in type_.strategy.virtual_names and self._is_virtual(type_, key)
            try:
                if taken or (context.dry_run and self._exists(key)):
                    raise PreconditionFailedError(key, ABSENT, None)
                if context.dry_run:
                    return await run_large(write.size, _written, obj, value, tag, 0, type_, created=True)
                if fence is not None:
                    await run_large(len(value), self._catalog.prepare, key, value, obj if type_.stored_as_is else None)
                if not small and fence is None and not write.generated_from:
                    write.forget_objects()
                    obj = None
                change = Change(key, value, expected=ABSENT, tag=tag, lifetime=type_.strategy.lifetime)
                revision = await self._write_new(write, _with_fence(change, fence))
            except PreconditionFailedError as error:
                if error.key != key:
                    raise
                if not write.generated_from and write.verb != "create":
                    return None
                if not write.generated_from:
                    raise await self._already_exists(write, key) from error
                if attempt + 1 == _GENERATE_ATTEMPTS:
                    raise errors.generated_name_conflict(type_.resource, key.name) from error
                write.new["metadata"]["name"] = metadata.generate_name(write.generated_from)
            else:
                if small:
                    return _written(obj, value, tag, revision, type_, created=True)
                return await in_thread(_written, obj, value, tag, revision, type_, created=True)
        raise AssertionError("unreachable")

    def _is_virtual(self, type_: ResourceType, key: Key) -> bool:
        return self._source.virtual(type_, key.cluster, key.name, key.namespace) is not None

    def _exists(self, key: Key) -> bool:
        try:
            return self._store.latest(key) is not None
        except DamagedValueError:
            return True

    async def _already_exists(self, write: Write, key: Key) -> errors.StatusError:
        """409: the object exists; the message says whether it is being deleted."""
        try:
            present = self._store.latest(key)
        except DamagedValueError:
            present = None
        deleted = False
        if present is not None and b'"deletionTimestamp"' in present.value:
            deleted = await run_large(len(present.value), is_being_deleted, present)
        return errors.already_exists(write.target.type.resource, key.name, deleted=deleted)

    async def _write_new(self, write: Write, changes: list[Change]) -> int:
        """Commit, provided that the namespace and the definition still accept new objects."""
        type_, accepted = write.target.type, write.accepted
        for _ in range(RETRIES):
            conditions = [] if accepted is None else [accepted]
            if not type_.builtin:
                conditions.append(self._catalog.condition_for_new_objects(write.context.cluster, type_))
            try:
                return await self._store.write(changes, conditions)
            except PreconditionFailedError as error:
                if all(error.key != condition.key for condition in conditions):
                    raise
                if accepted is not None:
                    await self._store.catch_up()
                    accepted = preconditions.namespace_condition(self._store, write, changes[0].key.name)
        raise errors.server_timeout(type_.resource, "create")

    async def _replace(self, write: Write, fence: Change | None) -> Written | None:
        type_, obj, old, record = write.target.type, write.object, write.old, write.record
        assert obj is not None
        assert old is not None
        assert record is not None
        obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        ended = _deletion_complete(obj, type_)
        small = write.size < LARGE
        if not ended and record.tag == type_.stored_form.schema_hash:
            unchanged = _equal(obj, old) if small else await in_thread(_equal, obj, old)
            if unchanged:
                return await self.unchanged(write)
        value, tag = stored_value(obj, type_) if small else await in_thread(stored_value, obj, type_)
        _check_size(value)
        if write.context.dry_run:
            return await run_large(write.size, _written, obj, value, tag, record.revision, type_)
        key = self._key(write)
        if fence is not None and not ended:
            await run_large(len(value), self._catalog.prepare, key, value, obj if type_.stored_as_is else None)
        if not small and fence is None and not ended:
            write.object = write.old = obj = old = (
                None  # what is large is encoded now; another attempt decodes it again
            )
        change = Change(key, value, expected_revision(record), tag, lifetime=type_.strategy.lifetime)
        conditions = self._conditions_of_virtual(write) if change.expected == ABSENT else ()
        if ended:
            change, conditions = self._removal(write, record)
            fence = self._fence_of_delete(write, fence)
        revision = await self._write(change, fence, conditions)
        if revision is None:
            return None
        if ended:  # the new state is in no log: watchers get the stored one, the client its revision
            revision = record.revision
        if small:
            return _written(obj, value, tag, revision, type_)
        return await in_thread(_written, obj, value, tag, revision, type_)

    async def _delete(self, write: Write, fence: Change | None) -> Written | None:
        """Remove the object, or store ``write.object``: the object that waits for finalizers (`deleting.marked`)."""
        type_, obj, old, record = write.target.type, write.object, write.old, write.record
        assert old is not None
        assert record is not None
        dry_run = write.context.dry_run
        if obj is None:
            removal, conditions = self._removal(write, record)
            fence = self._fence_of_delete(write, fence)
            if not dry_run and await self._write(removal, fence, conditions) is None:
                return None
            return Written(served_bytes(record, type_), type_, old, gone=True)
        if obj is old:
            await attempts.settled(self._source, write)
            return Written(served_bytes(record, type_), type_, old)
        value, tag = await run_large(write.size, stored_value, obj, type_)
        if not dry_run:
            revision = await self._write(Change(self._key(write), value, expected_revision(record), tag), fence)
            if revision is None:
                return None
            obj["metadata"]["resourceVersion"] = str(revision)
        return Written(await run_large(write.size, documents.encode, obj), type_, obj)

    async def _write(self, change: Change, fence: Change | None, conditions: Sequence[Condition] = ()) -> int | None:
        """Commit; None when the object, or the subject of a condition, has changed.

        Raises PreconditionFailedError when ``fence`` failed.
        """
        try:
            return await self._store.write(_with_fence(change, fence), conditions)
        except PreconditionFailedError as error:
            if fence is not None and error.key == fence.key:
                raise
            return None

    def _removal(self, write: Write, record: Record) -> tuple[Change, Sequence[Condition]]:
        """The change that deletes an object, with its conditions. Some types are created again where a virtual one follows."""
        type_, key, expected = write.target.type, self._key(write), expected_revision(record)
        if key.name in type_.strategy.virtual_names and in_each_namespace(type_):
            assert write.old is not None
            follows = self._source.in_namespaces.latest(type_, key.cluster, key.namespace) is not None
            created = type_.strategy.recreated(write.old, write.context) if follows else None
            if created is not None:
                value, tag = stored_value(created, type_)
                return Change(key, value, expected, tag), self._conditions_of_virtual(write)
        return Change(key, None, expected), ()

    def _conditions_of_virtual(self, write: Write) -> Sequence[Condition]:
        """The condition under which an object is stored that was virtual: one in a namespace ends with the namespace."""
        target = write.target
        return (preconditions.namespace_condition(self._store, write, target.name),) if target.namespace else ()

    def _fence_of_delete(self, write: Write, fence: Change | None) -> Change | None:
        if fence is None:
            return None
        return fencing_change_of_delete(self._store, fence, write.target.type, write.context.cluster)

    @staticmethod
    def _key(write: Write) -> Key:
        target = write.target
        return key_of(target.type, write.context.cluster, target.namespace, target.name)


def _with_fence(change: Change, fence: Change | None) -> list[Change]:
    return [change] if fence is None else [change, fence]


def _deletion_complete(obj: Object, type_: ResourceType) -> bool:
    meta = obj["metadata"]
    return bool(
        meta.get("deletionTimestamp") and not meta.get("finalizers") and not type_.strategy.blocks_deletion(obj)
    )


def _check_size(value: bytes) -> None:
    if len(value) > MAX_OBJECT_BYTES:
        raise errors.request_entity_too_large(f"the object takes {len(value)} bytes, the limit is {MAX_OBJECT_BYTES}")


def _equal(obj: Object, old: Object) -> bool:
    """Whether a write changes nothing. The times of managed fields do not count (``rest.BeforeUpdate`` ignores them)."""
    if obj != old:
        if any(obj.get(name) != old.get(name) for name in {*obj, *old} if name != "metadata"):
            return False
        meta, managed = obj["metadata"], old["metadata"].get("managedFields")
        if not differ_in_times_only(meta.get("managedFields"), managed):
            return False
        obj = {**obj, "metadata": {**meta, "managedFields": managed}}
    return obj == old and json_values.equal(obj, old)  # Python takes 1 for True


def _written(
    obj: Object | None, value: bytes, tag: str, revision: int, type_: ResourceType, *, created: bool = False
) -> Written:
    """The outcome of a write that has stored ``value``. ``obj`` is the object, where it is still there."""
    if type_.stored_form is not type_ or (obj is None and tag != type_.schema_hash):
        obj = object_in(value, tag, type_)
    if obj is None:
        return Written(documents.splice_revision(value, revision), type_, None, created)
    if revision:
        obj["metadata"]["resourceVersion"] = str(revision)
    else:
        obj["metadata"].pop("resourceVersion", None)
    served = (
        documents.splice_revision(value, revision) if tag == type_.schema_hash and revision else documents.encode(obj)
    )
    return Written(served, type_, obj, created)
