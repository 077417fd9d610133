"""The catalog: which resource types a logical cluster serves.

A `Surface` is the set of types that a logical cluster serves. Logical clusters with equal sets share one surface, and with it
all that is derived from it (routing table, discovery, OpenAPI). The only state per logical cluster is an entry of a bounded
map from name to surface. A change of a CustomResourceDefinition replaces that entry: only the changed definition is decoded, the
types of the others are those of the surface before.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import orjson

from kcp.api import documents, errors
from kcp.api.kinds import GroupVersion
from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.registry.fencing import fence
from kcp.registry.types.record_cache import RecordCache
from kcp.registry.types.resource_types import ResourceType, from_definition
from kcp.registry.types.union import DefinitionUnion
from kcp.store.contract import Condition, Event, Key, Range, Record, Store

DEFINITIONS: Final = "customresourcedefinitions.apiextensions.k8s.io"
_REMEMBERED_CLUSTERS: Final = 2048
_REMEMBERED_DEFINITIONS: Final = 4096


Derived = TypeVar("Derived")


def definition_name(group: str, plural: str) -> str:
    """The name of a resource's CustomResourceDefinition."""
    return f"{plural}.{group or 'core'}"


def terminating() -> errors.StatusError:
    """405: a new object of a type whose definition is being deleted."""
    return errors.StatusError(
        405, "MethodNotAllowed", "create not allowed while custom resource definition is terminating"
    )


def accepted_names(store: Store) -> Callable[[LogicalClusterName], list[dict[str, Any]]]:
    """Make a function that gives the definitions of a logical cluster with nothing but their group and accepted names.

    Each definition is decoded once, so that a write of one does not cost the size of the others.
    """
    cache = RecordCache(_names_of)

    def names(cluster: LogicalClusterName) -> list[dict[str, Any]]:
        return [cache.of(record) for record in store.scan(Range(DEFINITIONS, cluster), count=False).records]

    return names


def _names_of(value: bytes) -> dict[str, Any]:
    definition = documents.decode(value)
    return {
        "metadata": {"name": definition["metadata"]["name"]},
        "spec": {"group": definition["spec"]["group"]},
        "status": {"acceptedNames": (definition.get("status") or {}).get("acceptedNames") or {}},
    }


class Definition(NamedTuple):
    """What a definition adds to a surface. ``digest`` stands for its content, ``types`` are in the order of its versions."""

    digest: str
    types: tuple[ResourceType, ...]


class Surface:
    """The resource types that a logical cluster serves, and the documents that describe them."""

    def __init__(self, types: Sequence[ResourceType], definitions: Mapping[str, Definition] | None = None) -> None:
        """``definitions`` are the established definitions by name, in the order of their names."""
        self.types = tuple(types)
        self.definitions: Final[Mapping[str, Definition]] = definitions if definitions is not None else {}
        self._by_path = {(type_.group, type_.version, type_.plural): type_ for type_ in self.types}
        self._derived: dict[Any, Any] = {}
        self.group_versions = frozenset((type_.group, type_.version) for type_ in self.types)

    def find(self, group: str, version: str, plural: str) -> ResourceType | None:
        """The type served at a path."""
        return self._by_path.get((group, version, plural))

    def of_reference(self, reference: Mapping[str, Any]) -> ResourceType | None:
        """The type of the object that an owner reference names; None where it is not served or names none."""
        try:
            group_version = GroupVersion.parse(reference.get("apiVersion", ""))
        except ValueError:
            return None
        return self.derive(_types_by_kind).get((*group_version, reference.get("kind", "")))

    def derive(self, make: Callable[[Sequence[ResourceType]], Derived]) -> Derived:
        """Return ``make`` of these types (discovery, OpenAPI); computed once."""
        found = self._derived.get(make)
        if found is None:
            found = self._derived[make] = make(self.types)
        return found


def _types_by_kind(types: Sequence[ResourceType]) -> dict[tuple[str, str, str], ResourceType]:
    """The types of stored objects by group, version and kind."""
    stored = (type_ for type_ in reversed(types) if type_.stored and not type_.placeholder)
    return {(type_.group, type_.version, type_.kind): type_ for type_ in stored}


class Catalog:
    """The surface of each logical cluster, as of the log's newest revision."""

    def __init__(self, store: Store, builtin: Sequence[ResourceType]) -> None:
        self._store = store
        self._builtin = tuple(builtin)
        self._base = Surface(self._builtin)
        self._groups = frozenset(group for group, _ in self._base.group_versions)
        self._by_cluster: OrderedDict[str, Surface] = OrderedDict()
        self._by_content: WeakValueDictionary[tuple[str, ...], Surface] = WeakValueDictionary()
        self._types: OrderedDict[str, tuple[ResourceType, ...]] = OrderedDict()
        self._served = RecordCache(self._definition_of)
        self._followers: list[Callable[[Event], None]] = []
        self._union = DefinitionUnion(store, DEFINITIONS, self._types_in)
        self._united: tuple[int, Surface] | None = None
        self._unfollow = store.follow(DEFINITIONS, self._on_change)

    @property
    def base(self) -> Surface:
        """The surface of a logical cluster without CustomResourceDefinitions."""
        return self._base

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

        Raises StatusError 404 when the logical cluster no longer serves the type, 405 when the definition is being deleted.
        """
        condition = fence(self._store, DEFINITIONS, cluster)
        found = self.surface(cluster).find(type_.group, type_.version, type_.plural)
        if found is None or found.builtin or found.namespaced != type_.namespaced:
            raise self.not_served(type_.group)
        if found.terminating:
            raise terminating()
        return condition

    def still_serves(self, cluster: LogicalClusterName, type_: ResourceType) -> bool:
        """Whether a logical cluster serves a type by the same definition as when it was looked up."""
        found = self.surface(cluster).find(type_.group, type_.version, type_.plural)
        return found is not None and found.definition_hash == type_.definition_hash

    def surface(self, cluster: LogicalClusterName) -> Surface:
        """The surface of a logical cluster."""
        found = self._by_cluster.get(cluster)
        if found is None:
            found = self._by_cluster[cluster] = self._assemble(cluster)
            if len(self._by_cluster) > _REMEMBERED_CLUSTERS:
                self._by_cluster.popitem(last=False)
        return found

    async def described_surface(self, cluster: LogicalClusterName) -> Surface:
        """The surface that discovery describes: for the logical cluster ``*``, that of all logical clusters together."""
        if cluster != WILDCARD:
            return self.surface(cluster)
        types = await self._union.types()
        generation = self._union.generation
        if self._united is None or self._united[0] != generation:
            self._united = (generation, Surface(self._merged(types)))
        return self._united[1]

    def _types_in(self, record: Record) -> Sequence[ResourceType] | None:
        definition = self._served.peek(record)
        return None if definition is None else definition.types

    def find_anywhere(self, group: str, version: str, plural: str) -> ResourceType | None:
        """A type that any logical cluster serves at this path, for requests that span logical clusters."""
        built_in = self._base.find(group, version, plural)
        if built_in is not None and not built_in.placeholder:
            return built_in
        name = definition_name(group, plural)
        after: Key | None = None
        while True:
            page = self._store.scan(Range(DEFINITIONS), limit=500, after=after, count=False)
            for record in page.records:
                if record.key.name == name and (found := self.surface(record.key.cluster).find(group, version, plural)):
                    return found
            if not page.remaining:
                return built_in
            after = page.records[-1].key

    def _assemble(self, cluster: LogicalClusterName) -> Surface:
        """The surface of a logical cluster, from all of its definitions."""
        records = self._store.scan(Range(DEFINITIONS, cluster), count=False).records
        found = {record.key.name: entry for record in records if (entry := self._served.of(record)) is not None}
        return self._surface_of(found)

    def _changed(self, before: Surface, event: Event) -> Surface:
        """The surface of a logical cluster after a change of one definition."""
        name = event.key.name
        found = dict(before.definitions)
        entry = None if event.record is None else self._served.of(event.record)
        if entry is None:
            found.pop(name, None)
        elif name in found:
            found[name] = entry
        else:
            found[name] = entry
            found = {name: found[name] for name in sorted(found)}
        return self._surface_of(found)

    def _surface_of(self, definitions: Mapping[str, Definition]) -> Surface:
        if not definitions:
            return self._base
        content = tuple(definition.digest for definition in definitions.values())
        found = self._by_content.get(content)
        if found is None:
            found = Surface(self._merged(each.types for each in definitions.values()), definitions)
            self._by_content[content] = found
        return found

    def _merged(self, definitions: Iterable[Sequence[ResourceType]]) -> list[ResourceType]:
        custom = [type_ for types in definitions for type_ in types]
        claimed = {(type_.group, name) for type_ in custom for name in (type_.plural, type_.kind)}
        merged = [
            type_
            for type_ in self._builtin
            if not (type_.placeholder and claimed & {(type_.group, type_.plural), (type_.group, type_.kind)})
        ]
        taken = {(type_.group, type_.version, type_.plural) for type_ in merged}
        for type_ in custom:
            path = (type_.group, type_.version, type_.plural)
            if path not in taken:
                taken.add(path)
                merged.append(type_)
        return merged

    def prepare(self, key: Key, value: bytes) -> None:
        """Make the types of a definition that is about to be stored. Thread-safe. Any other object is ignored."""
        if key.resource == DEFINITIONS:
            self._served.prepare(key, value)

    def _definition_of(self, value: bytes) -> Definition | None:
        """The definition of a stored value; None if it is not established. Equal definitions share their types."""
        definition = documents.decode(value)
        status = definition.get("status") or {}
        conditions = {entry["type"]: entry["status"] for entry in status.get("conditions") or ()}
        if conditions.get("Established") != "True":
            return None
        identity = orjson.dumps([definition["spec"], status.get("acceptedNames")], option=orjson.OPT_SORT_KEYS)
        content = hashlib.sha256(identity).hexdigest()
        digest = f"{content}-terminating" if definition["metadata"].get("deletionTimestamp") else content
        types = self._types.get(digest)
        if types is None:
            types = self._types[digest] = tuple(from_definition(definition, definition_hash=content))
            if len(self._types) > _REMEMBERED_DEFINITIONS:
                self._types.popitem(last=False)
        return Definition(digest, types)

    def _on_change(self, events: Sequence[Event]) -> None:
        for event in events:
            before = self._by_cluster.get(event.key.cluster)
            if before is not None:
                self._by_cluster[event.key.cluster] = self._changed(before, event)
            self._union.on_change(event)
        for event in events:
            for callback in self._followers:
                callback(event)
