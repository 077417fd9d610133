"""The steps of a write, in order. Create, replace, patch, apply, delete, scale and reviews all run through them.

Follows the request handlers and the generic registry store of k8s.io/apiserver (``endpoints/handlers``,
``registry/generic/registry/store.go``) in what clients can observe. `Writer` is the list of the steps; what each of them does is
in a module of its own: `decoding`, `preconditions`, `preparing`, `admitting`, `validation`, `storing`. The verbs differ in the
`Write` that they pass (`patching`, `scale`, `deleting`). `attempts` runs the steps again after a conflict.

Example: ``PUT .../widgets/a`` with ``spec.size: 2`` over a stored ``spec.size: 1``, where a mutating plugin adds a label:

====================  ==========================================================================================
decode check          kind and apiVersion are those of the URL, metadata has the JSON types of ObjectMeta
place                 name and namespace are those of the URL; ``namespace: default`` is filled in
shape                 unknown fields are pruned with a warning; ``spec.color: red`` is set by default
read                  the newest state, revision 7; it exists: the operation is UPDATE
preconditions         ``metadata.resourceVersion`` is "7" as sent; another would be 409
prepare               uid, creationTimestamp and status are as they were
field ownership       the managed fields say that the client's manager owns ``f:size``
mutating admission    the plugin adds a label to a copy; the copy is decoded, shaped and prepared as above
schema and rules      generation 2, since ``spec`` changed; metadata, schema and the rules of the type hold
validating admission  the plugins see the object that will be stored, and the old one
encode, store         the log takes the bytes if the object is still at revision 7; else all runs again from "read"
====================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from kcp.api import documents, errors, json_values
from kcp.registry.admission.chain import CREATE, DELETE, UPDATE, AdmissionPlugin, Chain
from kcp.registry.contexts import IGNORE, RequestContext
from kcp.registry.requests import Target, Written
from kcp.registry.restrictions import RestrictedWrite, WriteRestriction
from kcp.registry.types.catalog import Catalog
from kcp.registry.verbs import (
    admitting,
    attempts,
    confidential,
    decoding,
    deleting,
    preconditions,
    preparing,
    validation,
)
from kcp.registry.verbs.attempts import Write
from kcp.registry.verbs.large_work import LARGE, in_thread, run_large
from kcp.registry.verbs.large_writes import LargeWrites, Owner
from kcp.registry.verbs.records import served_object
from kcp.registry.verbs.source import Source
from kcp.registry.verbs.storing import Committer

Object = dict[str, Any]

_AFTER_DECODING: Final = frozenset({404, 409, 422})
"""The codes of refusals that may come before the body is validated. kube-apiserver has decoded a built-in type's body by then."""


CheckPermission = Callable[[RequestContext, Target, str], Awaitable[None]]
"""Raises StatusError 403 where the user may not do this with the target; the last argument is the verb."""


class Writer:
    """Runs writes."""

    def __init__(self, source: Source, chain: Chain, catalog: Catalog, large_writes: LargeWrites) -> None:
        self._source = source
        self._chain = chain
        self._large_writes = large_writes
        self._committer = Committer(source, catalog)
        self.check_permission: CheckPermission | None = None

    def write(self, write: Write) -> Coroutine[Any, Any, Written]:
        """Run the steps of a write. Raises StatusError 400, 403, 404, 405, 409, 413, 422 or 504."""
        return self._write_concealing(write) if write.target.type.strategy.confidential else self._write(write)

    async def _write_concealing(self, write: Write) -> Written:
        type_ = write.target.type
        async with confidential.redacting(write.context, type_, lambda: write.body, lambda: write.old):
            return await self._write(write)

    async def _write(self, write: Write) -> Written:
        write.size = write.context.body_size
        if write.body is not None:
            write.size = decoding.size_of(write.body, write.target.type, write.context)
        if not write.target.type.is_compiled:  # the first write compiles what it needs of the schema: in a thread
            write.size = max(write.size, LARGE)
            await in_thread(write.target.type.compile)
        if write.body is not None:
            if write.size < LARGE:
                self._decode(write, write.body)
            else:
                await in_thread(self._decode, write, write.body)
            preconditions.take_from_body(write)
        try:
            return await attempts.until_stored(self._source, write, self._attempt)
        except errors.StatusError as refusal:
            if write.body is not None and refusal.code in _AFTER_DECODING:
                await run_large(write.size, validation.check_decodable, write.body, write.target.type)
            raise
        finally:
            if write.permit is not None:
                write.permit.end()

    async def remove_damaged(self, write: Write, revision: int) -> Written:
        """Delete an object that cannot be read, at a revision. Neither rules nor admission plugins apply."""
        written = await self._committer.remove_damaged(write, revision)
        if written is None:  # another write came between: the object may be sound now
            return await self._write(write)
        return written

    async def review(self, write: Write) -> Written:
        """Run the steps of a type that is answered and not stored."""
        write.operation, obj = CREATE, write.body
        assert obj is not None
        write.size = write.context.body_size
        await run_large(write.size, self._decode, write, obj)
        await run_large(write.size, validation.check_decodable, obj, write.target.type)
        write.object = obj
        if plugins := self._chain.plugins_for(write.target, CREATE):
            await self._mutating_admission(plugins, write)
            await admitting.validate(plugins, write)
        return await self._answer(write)

    async def _attempt(self, write: Write) -> Written | None:
        """The steps from the present state to the log; None when another write changed the object meanwhile."""
        self._read(write)
        if write.size < LARGE:
            self._start(write)
        else:
            if not write.has_permit:
                await self._take_permit(write)
            await in_thread(self._start, write)
        if write.operation == CREATE:
            await self._check_new(write)
        else:
            preconditions.check_present(write)
        plugins = self._chain.plugins_for(write.target, write.operation)
        if write.old is not None and write.object is write.old:
            if not plugins:
                return await self._committer.unchanged(write)
            write.object = await run_large(write.size, json_values.copy, write.old)  # plugins may have changes to make
        if write.target.type.strategy.may_be_large and (large := self._large(write)) is not None:
            await decoding.precompute(large, write.old if large is write.object else None, write.target.type)
        if write.size < LARGE:
            self._complete(write)
        else:
            # a request's own large object is encoded and not read, except by plugins
            await in_thread(self._complete, write, encoded=not plugins and write.context.body_size >= LARGE)
        if plugins:
            await self._mutating_admission(plugins, write)
        if write.size < LARGE:
            self._validate(write)
        else:
            await in_thread(self._validate, write)
        if write.target.type.strategy.checks_permissions:
            await self._check_permissions(write)
        if write.context.restriction is not None:
            await self._check_restriction(write, write.context.restriction)
        if plugins:
            await admitting.validate(plugins, write)
        return await self._committer.store(write)

    @staticmethod
    async def _check_permissions(write: Write) -> None:
        if write.object is not None and write.operation != DELETE:
            name = "" if write.verb == "create" else write.target.name
            await write.target.type.strategy.check_permissions(write.object, write.old, write.context, name)

    @staticmethod
    async def _check_restriction(write: Write, restriction: WriteRestriction) -> None:
        target, new = write.target, None if write.operation == DELETE else write.object
        place = (write.context.cluster, target.type.resource, target.namespace, target.name, target.subresource)
        await restriction.check(RestrictedWrite(*place, write.old, new))

    def _decode(self, write: Write, obj: Any, message: str = decoding.SENT) -> None:
        """Decode check, place, shape: of a body before the state is read, of the result of a patch after."""
        target = write.target
        type_ = target.type
        if not write.checked:
            decoding.check_kind(obj, type_)
            meta = decoding.metadata_of(obj, type_)
            if write.verb == "create":
                preconditions.check_new(write, meta)
            elif write.verb == "update":
                decoding.require_name(meta, target)
            decoding.check_place(meta, target, message)
        field_validation = write.field_validation or write.context.field_validation
        unknown: list[str] | None = None if field_validation == IGNORE else []
        decoding.prune_and_default(obj, type_, unknown)
        if unknown is not None and (unknown or write.problems):
            problems = [*write.problems, *(f'unknown field "{path}"' for path in unknown)]
            decoding.report_problems(problems, field_validation, type_, write.context)

    def _read(self, write: Write) -> None:
        """Find the newest state, which decides which operation the write is."""
        write.object = write.old = write.record = None
        write.operation = CREATE
        if write.verb == "create":
            return
        target = write.target
        write.record = record = self._source.latest(target.type, write.context.cluster, target.namespace, target.name)
        if record is None:
            preconditions.check_absent(write)
            return
        write.size = max(write.size, write.context.body_size + len(record.value))
        write.operation = DELETE if write.verb == "delete" else UPDATE

    def _start(self, write: Write) -> None:
        """Decode the present state, and start the new one: from the body, or from what ``change`` makes of the present one."""
        if write.record is not None:
            write.old = served_object(write.record, write.target.type)
        if write.body is not None:
            write.object = dict(write.body, metadata=dict(write.body["metadata"]))
        elif write.change is not None:
            self._change(write, write.change)

    async def _take_permit(self, write: Write) -> None:
        """Wait for the permit of a large write, unless its body has it already; then read the state again."""
        write.has_permit = True
        owner = Owner(write.context.cluster, write.context.user.name)
        write.permit = await self._large_writes.enter(write.size, owner)
        if write.permit is not None:
            write.permit.begin()
            self._read(write)

    def _change(self, write: Write, change: Callable[[Write], Any]) -> None:
        """Make the new state of the old one, as a patch does; the result is decoded as a body is."""
        write.object = change(write)
        if write.object is not write.old and not write.trusted:
            self._decode(write, write.object, decoding.PATCHED)
            if not write.owned:
                preconditions.take_from_patched(write)

    async def _check_new(self, write: Write) -> None:
        if write.verb != "create" and self.check_permission is not None:  # the request was authorized as an update
            await self.check_permission(write.context, write.target, "create")
        name = preconditions.name_new(write)
        if not write.target.type.namespaced:
            return
        store = self._source.store
        try:
            write.accepted = preconditions.namespace_condition(store, write, name)
        except errors.StatusError:
            await store.catch_up()  # another server may have created it
            write.accepted = preconditions.namespace_condition(store, write, name)

    @staticmethod
    def _large(write: Write) -> Object | None:
        """The state whose validation takes too long for the event loop; None where there is none."""
        target = write.target
        obj = write.object
        if obj is None or not preparing.whole_object(target):
            obj = write.old
        assert obj is not None
        return obj if target.type.strategy.is_large(obj) else None

    def _complete(self, write: Write, *, encoded: bool = False) -> None:
        """Prepare, and record field ownership. ``encoded``: nothing reads the managed fields of a new object."""
        sent = preparing.owned_as_sent(write.new, write.target.type) if write.object is not None else None
        self._prepare(write)
        obj = write.object
        if obj is None or write.operation == DELETE:
            return
        if write.body is not None and "ownerReferences" in obj["metadata"]:
            self._drop_duplicate_owners(obj, write.context, after_admission=False)
        if not write.owned:
            preparing.own_fields(obj, write.old, write.target, write.context, sent, encoded=encoded)

    def _prepare(self, write: Write) -> None:
        """Set what the server owns; a delete marks the object or removes it."""
        if write.operation == CREATE:
            assert write.object is not None
            preparing.prepare_create(write.object, write.target, write.context)
        elif write.operation == UPDATE:
            assert write.old is not None
            write.object = preparing.prepare_update(write.new, write.old, write.target, write.context)
        else:
            write.object = deleting.marked(write)

    @staticmethod
    def _drop_duplicate_owners(obj: Object, context: RequestContext, *, after_admission: bool) -> None:
        if duplicates := preparing.drop_duplicate_owners(obj):
            context.warn(preparing.duplicate_owners_warning(duplicates, after_admission=after_admission))

    async def _mutating_admission(self, plugins: Sequence[AdmissionPlugin], write: Write) -> None:
        """Let plugins change the object. What they return is decoded, shaped and prepared as what a client sent."""
        changed = await admitting.mutate(plugins, write)
        if changed is None:
            return
        await admitting.take_over(changed, write)
        if write.target.type.stored:
            prepared = write.new
            if (large := self._large(write)) is not None:
                await decoding.precompute(large, write.old if large is write.object else None, write.target.type)
            await run_large(write.size, self._prepare, write)
            admitting.keep_identity(write.new, prepared)

    def _validate(self, write: Write) -> None:
        """Check the schema and the rules of the type, and collect its warnings."""
        obj, old, target = write.object, write.old, write.target
        if obj is None or write.operation == DELETE:
            return
        if "ownerReferences" in obj["metadata"]:
            self._drop_duplicate_owners(obj, write.context, after_admission=True)
        if old is not None:
            preparing.count_generation(obj, old, target)
        warnings: list[str] = []
        validation.validate(obj, old, target, warnings)
        for warning in (*warnings, *target.type.strategy.warnings(obj, old)):
            write.context.warn(warning)

    async def _answer(self, write: Write) -> Written:
        type_ = write.target.type
        answered = await type_.strategy.answer(write.new, write.context)
        if answered is None:
            raise errors.method_not_supported(type_.resource, "create")
        return Written(documents.encode(answered), type_, answered, created=True)
