"""The catalog: which resource types each logical cluster serves, as of the log's newest revision.

The only state per logical cluster is an entry of a bounded map from its name to its `Surface`. A change of a
CustomResourceDefinition replaces that entry: only the changed definition is decoded. The surface of a logical cluster with many
definitions is read in slices when something first needs all of them (`Catalog.load`); until then each type is looked up by its
own definition.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

import orjson

from kcp.api import documents, errors
from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.registry.fencing import fence
from kcp.registry.types.definition_union import DefinitionUnion
from kcp.registry.types.record_cache import RecordCache
from kcp.registry.types.resource_types import ResourceType, from_definition, schema_of
from kcp.registry.types.surfaces import Definition, DiscardedTypes, Surface, replaced, unreadable
from kcp.schema.printer_columns import annotation_of
from kcp.store.contract import UNREADABLE, Condition, DamagedValueError, Event, Key, Page, Range, Record, Store

DEFINITIONS: Final = "customresourcedefinitions.apiextensions.k8s.io"
_REMEMBERED_CLUSTERS: Final = 2048
_REMEMBERED_LOOKUPS: Final = 8192
_FEW: Final = 16
_FEW_BYTES: Final = 128 * 1024
"""How many definitions, and bytes of them, are decoded at once on the event loop. Those of most logical clusters are fewer."""
_LARGE: Final = 32 * 1024
"""Bytes of a definition that is decoded in a thread."""
_CHUNK: Final = 256 * 1024
"""Bytes of definitions that one step of a load reads."""

logger: Final = logging.getLogger("kcp.server")


def definition_name(group: str, plural: str) -> str:
    """The name of a resource's CustomResourceDefinition."""
    return f"{plural}.{group or 'core'}"


def storages_of(name: str) -> set[str]:
    """Where the objects of a definition may be stored, by its name alone: the inverse of `definition_name`."""
    plural, _, group = name.partition(".")
    return {name, plural} if group == "core" else {name}


def terminating() -> errors.StatusError:
    """405: a new object of a type whose definition is being deleted."""
    return errors.StatusError(
        405, "MethodNotAllowed", "create not allowed while custom resource definition is terminating"
    )


class Catalog:
    """The surface of each logical cluster, as of the log's newest revision."""

    def __init__(self, store: Store, builtin: Sequence[ResourceType]) -> None:
        self._store = store
        self._base = Surface(tuple(builtin))
        self._groups = frozenset(group for group, _ in self._base.group_versions)
        self._by_cluster: OrderedDict[str, Surface] = OrderedDict()
        self._by_content: WeakValueDictionary[tuple[str, ...], Surface] = WeakValueDictionary()
        self._shared: WeakValueDictionary[str, Definition] = WeakValueDictionary()
        self._sharing = threading.Lock()
        self._discarded = DiscardedTypes()
        self._decoded = RecordCache(self._definition_of)
        self._many: OrderedDict[str, None] = OrderedDict()
        """Logical clusters with many definitions whose surface is not loaded."""
        self._alone: OrderedDict[tuple[str, str], Definition | None] = OrderedDict()
        """Definitions that were looked up alone, by logical cluster and name."""
        self._loading: dict[str, tuple[asyncio.Task[Surface], list[Event]]] = {}
        """The running loads, and the changes of definitions that each must add."""
        self._followers: list[Callable[[Event], None]] = []
        self._union = DefinitionUnion(store, DEFINITIONS, self._decoded)
        self._united: tuple[int, Surface] | None = None
        self._unfollow = store.follow(DEFINITIONS, self._on_change)

    @property
    def base(self) -> Surface:
        """The surface of a logical cluster without CustomResourceDefinitions."""
        return self._base

    @property
    def discarded_types(self) -> int:
        """How many types were in use when their definition was changed, deleted or forgotten: they are cyclic garbage."""
        return self._discarded.count

    def builtin(self, group: str, version: str, plural: str) -> ResourceType:
        """Return a built-in type, which is there in every logical cluster."""
        found = self._base.find(group, version, plural)
        assert found is not None, f"{plural}.{group} is no built-in type"
        return found

    def not_served(self, group: str) -> errors.StatusError:
        """404: a resource that a group does not serve, with the message of the Kubernetes server that owns the group."""
        return errors.unknown_path() if group in self._groups else errors.page_not_found()

    def close(self) -> None:
        """Stop following the log."""
        self._unfollow()

    def follow(self, callback: Callable[[Event], None]) -> None:
        """Call back with each change of a definition, after the surface is updated."""
        self._followers.append(callback)

    def condition_for_new_objects(self, cluster: LogicalClusterName, type_: ResourceType) -> Condition:
        """The condition under which a definition still accepts new objects.

        Raises StatusError 404 when the logical cluster no longer serves the type, 405 when the definition is being deleted, 503
        when the definition cannot be read.
        """
        condition = fence(self._store, DEFINITIONS, cluster)
        found = self.find(cluster, type_.group, type_.version, type_.plural)
        if found is None:
            self._check_readable(Key(DEFINITIONS, cluster, "", definition_name(type_.group, type_.plural)))
        if found is None or found.builtin or found.namespaced != type_.namespaced:
            raise self.not_served(type_.group)
        if found.terminating:
            raise terminating()
        return condition

    def still_serves(self, cluster: LogicalClusterName, type_: ResourceType) -> bool:
        """Whether a logical cluster serves a type by the same definition as when it was looked up."""
        found = self.find(cluster, type_.group, type_.version, type_.plural)
        return found is not None and found.definition_hash == type_.definition_hash

    def find(
        self, cluster: LogicalClusterName, group: str, version: str, plural: str, *, decode: bool = True
    ) -> ResourceType | None:
        """The type that a logical cluster serves at a path; for ``*``, the type that any logical cluster serves there.

        Decodes at most the definition of this resource; for ``*``, those of this resource until one serves the version. Without
        ``decode``, None where a definition would have to be decoded: see `look_up`.
        """
        surface = self._by_cluster.get(cluster)
        if surface is None and cluster != WILDCARD:
            surface = self._with_few_definitions(cluster)
        if surface is not None:
            return surface.find(group, version, plural)
        built_in = self._base.find(group, version, plural)
        if built_in is not None and not built_in.placeholder:
            return built_in
        name = definition_name(group, plural)
        if not decode and (cluster, name) not in self._alone:
            return None
        if cluster == WILDCARD:
            return self._union.find_at_once(name, version) or built_in
        definition = self._definition(cluster, name)
        types = definition.types if definition is not None else ()
        return next((type_ for type_ in types if type_.version == version), built_in)

    def surface(self, cluster: LogicalClusterName) -> Surface:
        """The surface of a logical cluster. Decodes all of its definitions unless it is loaded: see `load`.

        That of ``*`` is as of the last load.
        """
        if cluster == WILDCARD:
            return self._united[1] if self._united is not None else self._base
        found = self._by_cluster.get(cluster)
        if found is None:
            found = self._remember(
                cluster, self._decoded_page(self._store.scan(Range(DEFINITIONS, cluster), count=False))
            )
        return found

    async def load(self, cluster: LogicalClusterName) -> Surface:
        """The surface of a logical cluster, read in slices if it is not known; ``*`` is the union of all logical clusters.

        Large definitions are decoded in a thread.
        """
        if cluster == WILDCARD:
            return await self._load_union()
        self._read_again(cluster)
        found = self._by_cluster.get(cluster) or self._with_few_definitions(cluster)
        if found is not None:
            return found
        if cluster not in self._loading:
            task = asyncio.ensure_future(self._load(cluster))
            self._loading[cluster] = task, []
            task.add_done_callback(lambda done: self._loaded(cluster, done))
        return await asyncio.shield(self._loading[cluster][0])

    async def look_up(self, cluster: LogicalClusterName, group: str, version: str, plural: str) -> ResourceType | None:
        """As `find`; decodes a large definition in a thread, and searches for ``*`` off the event loop.

        Raises StatusError 503 where the definition cannot be read: nobody knows whether it serves the type.
        """
        key = Key(DEFINITIONS, cluster, "", definition_name(group, plural))
        if cluster == WILDCARD:
            found = self.find(cluster, group, version, plural, decode=False)
            return found or await self._find_in_union(key.name, version) or self._base.find(group, version, plural)
        self._read_again(cluster)
        if cluster not in self._by_cluster and (cluster, key.name) not in self._alone:
            record = self._stored(key)
            if record is not None and len(record.value) > _LARGE and not self._decoded.knows(record):
                await asyncio.to_thread(self.prepare, key, record.value)
        found = self.find(cluster, group, version, plural)
        if found is None:
            self._check_readable(key)
        return found

    async def _find_in_union(self, name: str, version: str) -> ResourceType | None:
        try:
            return await self._union.find(name, version)
        except DamagedValueError as error:
            raise _unreadable_definition(error) from error

    def _check_readable(self, key: Key) -> None:
        """Raise StatusError 503 if a definition is stored and cannot be read."""
        try:
            self._store.get(key)
        except DamagedValueError as error:
            raise _unreadable_definition(error) from error

    def _read_again(self, cluster: LogicalClusterName) -> None:
        """Forget a surface if a definition that it could not read can be read: the key that was missing is there."""
        surface = self._by_cluster.get(cluster)
        for name in surface.unreadable if surface is not None else ():
            with contextlib.suppress(DamagedValueError):
                self._store.get(Key(DEFINITIONS, cluster, "", name))
                del self._by_cluster[cluster]
                return

    def prepare(self, key: Key, value: bytes, obj: dict[str, Any] | None = None) -> None:
        """Make the types of a definition that is about to be stored. Thread-safe. Any other object is ignored.

        ``obj`` is the decoded value, where the caller has it.
        """
        if key.resource == DEFINITIONS:
            content = documents.decode_stored(value) if obj is None else obj
            definition = self._definition_in(content)
            schemas = {version["name"]: schema_of(version) for version in content["spec"]["versions"]}
            for type_ in definition.types:
                type_.hash_schema(schemas[type_.version])
            self._decoded.prepare(key, value, definition)

    def _with_few_definitions(self, cluster: LogicalClusterName) -> Surface | None:
        """The surface of a logical cluster that has few definitions; None if it has many."""
        if cluster in self._many:
            return None
        page = self._store.scan(Range(DEFINITIONS, cluster), limit=_FEW, size=_FEW_BYTES, count=False)
        if not page.remaining and sum([len(record.value) for record in page.records]) <= _FEW_BYTES:
            return self._remember(cluster, self._decoded_page(page))
        self._many[cluster] = None
        if len(self._many) > _REMEMBERED_CLUSTERS:
            self._many.popitem(last=False)
        return None

    def _decoded_page(self, page: Page) -> Mapping[str, Definition]:
        """The definitions of a page by name."""
        found = {record.key.name: self._decoded.of(record) for record in page.records}
        return _with_unreadable(found, page.damaged) if page.damaged else found

    def _definition(self, cluster: LogicalClusterName, name: str) -> Definition | None:
        identity = (cluster, name)
        if identity in self._alone:
            return self._alone[identity]
        try:
            record = self._store.get(Key(DEFINITIONS, cluster, "", name))
        except DamagedValueError as error:
            _report_unreadable(error.key)
            return None  # and looked up again: it may be readable by then
        found = self._alone[identity] = None if record is None else self._decoded.of(record)
        if len(self._alone) > _REMEMBERED_LOOKUPS:
            self._alone.popitem(last=False)
        return found

    def _loaded(self, cluster: LogicalClusterName, task: asyncio.Task[Surface]) -> None:
        del self._loading[cluster]
        if not task.cancelled():
            task.exception()  # the waiting requests get the error; there may be none left

    async def _load(self, cluster: LogicalClusterName) -> Surface:
        found: dict[str, Definition] = {}
        damaged: list[Key] = []
        after: Key | None = None
        while True:
            page = self._store.scan(Range(DEFINITIONS, cluster), after=after, size=_CHUNK, count=False)
            await self._decode(page, found)
            damaged += page.damaged
            if not page.remaining:
                break
            after = page.records[-1].key
        definitions: Mapping[str, Definition] = _with_unreadable(found, damaged)
        for event in self._loading[cluster][1]:  # what has changed meanwhile; a page may show it already
            definitions = replaced(definitions, event.key.name, self._after(event))
        return self._remember(cluster, definitions)

    async def _decode(self, page: Page, found: dict[str, Definition]) -> None:
        unknown = [record for record in page.records if not self._decoded.knows(record)]
        decoded = await asyncio.to_thread(lambda: [_complete(self._definition_of(each.value)) for each in unknown])
        for record, definition in zip(unknown, decoded, strict=True):
            self._decoded.add(record, definition)
        found.update((record.key.name, self._decoded.of(record)) for record in page.records)

    async def _load_union(self) -> Surface:
        await self._union.complete()
        generation = self._union.generation
        if self._united is None or self._united[0] != generation:
            self._united = (generation, self._surface_of(self._union.definitions()))
        return self._united[1]

    def _remember(self, cluster: LogicalClusterName, definitions: Mapping[str, Definition]) -> Surface:
        surface = self._by_cluster[cluster] = self._surface_of(definitions)
        self._many.pop(cluster, None)
        if len(self._by_cluster) > _REMEMBERED_CLUSTERS:
            self._by_cluster.popitem(last=False)
        return surface

    def _surface_of(self, definitions: Mapping[str, Definition], make: Callable[[], Surface] | None = None) -> Surface:
        """The shared surface of definitions; ``make`` makes it if there is none."""
        if not definitions:
            return self._base
        content = tuple([definition.digest for definition in definitions.values()])
        found = self._by_content.get(content)
        if found is None:
            found = make() if make is not None else Surface(self._base.types, definitions)
            self._by_content[content] = found
        return found

    def _after(self, event: Event) -> Definition | None:
        """The definition after a change; None where it is deleted."""
        if event.record is None:
            return None
        if event.record.value is UNREADABLE:
            _report_unreadable(event.key)
            return unreadable(event.key.name)
        return self._decoded.of(event.record)

    def _stored(self, key: Key) -> Record | None:
        """The stored definition; None where there is none, or it cannot be read."""
        try:
            return self._store.get(key)
        except DamagedValueError:
            _report_unreadable(key)
            return None

    def _definition_of(self, value: bytes) -> Definition:
        """The definition of a stored value. Equal definitions are one object, and share their types. Thread-safe."""
        return self._definition_in(documents.decode_stored(value))

    def _definition_in(self, definition: dict[str, Any]) -> Definition:
        content = _content_of(definition)
        is_terminating = bool(definition["metadata"].get("deletionTimestamp"))
        digest = hashlib.sha256(orjson.dumps([content, _is_established(definition), is_terminating])).hexdigest()
        with self._sharing:
            found = self._shared.get(digest)
        if found is None:
            types = from_definition(definition, definition_hash=content) if _is_established(definition) else ()
            found = Definition(digest, _names_of(definition), types)
            self._discarded.follow(found)
            with self._sharing:
                found = self._shared.setdefault(digest, found)
        return found

    def _on_change(self, events: Sequence[Event]) -> None:
        for event in events:
            self._apply(event)
            if event.previous is not None:
                self._decoded.forget(event.previous)
            self._union.on_change(event)
        for event in events:
            for callback in self._followers:
                callback(event)

    def _apply(self, event: Event) -> None:
        cluster, name = event.key.cluster, event.key.name
        if (cluster, name) in self._alone:
            after = self._after(event)
            if after is None or after.readable:
                self._alone[cluster, name] = after
            else:
                del self._alone[cluster, name]
        if cluster in self._loading:
            self._loading[cluster][1].append(event)
        before = self._by_cluster.get(cluster)
        if before is not None:
            definitions = replaced(before.definitions, name, self._after(event))
            surface = self._surface_of(definitions, lambda: before.after(name, definitions))
            self._by_cluster[cluster] = surface


def _with_unreadable(definitions: Mapping[str, Definition], damaged: Sequence[Key]) -> Mapping[str, Definition]:
    """Definitions with those of damaged keys, in the order of their names."""
    for key in damaged:
        _report_unreadable(key)
        definitions = replaced(definitions, key.name, unreadable(key.name))
    return definitions


def _unreadable_definition(error: DamagedValueError) -> errors.StatusError:
    """503: whether a type is served is not known. Not 404: clients take that for the absence of its objects.

    kube-apiserver answers alike while it has not read the definitions.
    """
    return errors.service_unavailable(f"the definition of the resource cannot be read: {error}")


def _report_unreadable(key: Key) -> None:
    logger.error(
        'customresourcedefinitions "%s" of logical cluster %s cannot be read: its resources are not served',
        key.name,
        key.cluster,
    )


def _complete(definition: Definition) -> Definition:
    """Compute what the first request needs, in a thread."""
    for type_ in definition.types:
        _ = type_.schema_hash
    return definition


def _is_established(definition: Mapping[str, Any]) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)


def _content_of(definition: Mapping[str, Any]) -> str:
    """Hash of what a definition says: it changes when watches of its objects end."""
    status = definition.get("status") or {}
    identity: list[Any] = [definition["spec"], status.get("acceptedNames")]
    if columns := annotation_of(definition["metadata"].get("annotations")):
        identity.append(columns)
    return hashlib.sha256(orjson.dumps(identity)).hexdigest()


def _names_of(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": definition["metadata"]["name"]},
        "spec": {"group": definition["spec"]["group"]},
        "status": {"acceptedNames": (definition.get("status") or {}).get("acceptedNames") or {}},
    }
