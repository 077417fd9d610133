"""Surfaces: sets of resource types that logical clusters serve, and the definitions that they come from.

Logical clusters with equal definitions share one surface, and with it all that is derived from it (routing table, discovery,
OpenAPI). The surface after a change of one definition is made from the one before: only what that definition adds is new.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, TypeVar

from kcp.api.kinds import GroupVersion
from kcp.registry.types.resource_types import ResourceType

Derived = TypeVar("Derived")
_Path = tuple[str, str, str]

_NO_DEFINITIONS: Final[Mapping[str, Any]] = MappingProxyType({})


class Definition:
    """What a CustomResourceDefinition adds to a surface. Shared by all logical clusters that have an equal one.

    ``digest`` stands for its content. ``names`` is the definition with nothing but its name, group and accepted names. ``types``
    are in the order of the versions; there are none before the definition is established. ``readable`` is False for one whose
    stored value cannot be read: see `unreadable`.
    """

    __slots__ = ("__weakref__", "digest", "group", "names", "readable", "types")

    def __init__(
        self, digest: str, names: dict[str, Any], types: Sequence[ResourceType], *, readable: bool = True
    ) -> None:
        self.digest = digest
        self.group: str = names["spec"]["group"]
        self.names = names
        self.types = tuple(types)
        self.readable = readable


def unreadable(name: str) -> Definition:
    """A definition whose stored value is damaged or cannot be decrypted: nothing but its name and group is known."""
    names = {"metadata": {"name": name}, "spec": {"group": name.partition(".")[2]}, "status": {"acceptedNames": {}}}
    return Definition(f"unreadable {name}", names, (), readable=False)


class DiscardedTypes:
    """Counts the types that were in use when their definition was discarded."""

    def __init__(self) -> None:
        self.count = 0

    def follow(self, definition: Definition) -> None:
        """Count the types of a definition once nothing refers to it."""
        end = weakref.finalize(definition, self._add, definition.types)
        end.atexit = False

    def _add(self, types: Iterable[ResourceType]) -> None:
        self.count += sum(type_.is_compiled for type_ in types)


class Surface:
    """The resource types that a logical cluster serves, and the documents that describe them."""

    def __init__(
        self,
        builtin: Sequence[ResourceType],
        definitions: Mapping[str, Definition] = _NO_DEFINITIONS,
        table: dict[_Path, ResourceType] | None = None,
    ) -> None:
        """``definitions`` are by name, in the order of their names. ``table`` is their routing table, if it is known."""
        self.definitions: Final = definitions
        self._builtin = builtin
        self._by_path = table if table is not None else _by_path(builtin, definitions.values())
        self._derived: dict[Any, Any] = {}

    def after(self, name: str, definitions: Mapping[str, Definition]) -> Surface:
        """The surface of ``definitions``, which differ from those of this surface in the definition ``name`` only."""
        old, new = self.definitions.get(name), definitions.get(name)
        changed = [each for each in (old, new) if each is not None]
        if any(type_.placeholder and type_.group == each.group for each in changed for type_ in self._builtin):
            return Surface(self._builtin, definitions)
        table = dict(self._by_path)
        for type_ in old.types if old is not None else ():
            if table.get(_path(type_)) is type_:
                del table[_path(type_)]
        for type_ in new.types if new is not None else ():
            table.setdefault(_path(type_), type_)
        return Surface(self._builtin, definitions, table)

    @cached_property
    def types(self) -> tuple[ResourceType, ...]:
        """The built-in types, then those of the definitions in the order of their names."""
        served = self._by_path
        custom = (type_ for definition in self.definitions.values() for type_ in definition.types)
        return tuple(type_ for each in (self._builtin, custom) for type_ in each if served.get(_path(type_)) is type_)

    @cached_property
    def group_versions(self) -> frozenset[tuple[str, str]]:
        """The groups and versions of the types."""
        return frozenset((group, version) for group, version, _ in self._by_path)

    @cached_property
    def unreadable(self) -> tuple[str, ...]:
        """The names of the definitions that cannot be read: there may be objects of types that are not known."""
        return tuple(name for name, definition in self.definitions.items() if not definition.readable)

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

    def accepted_names(self, group: str) -> list[dict[str, Any]]:
        """The definitions of a group, with nothing but their names, group and accepted names."""
        return [definition.names for definition in self.definitions.values() if definition.group == group]

    def derive(self, make: Callable[[Sequence[ResourceType]], Derived]) -> Derived:
        """Return ``make`` of these types (discovery, OpenAPI); computed once."""
        found = self._derived.get(make)
        if found is None:
            found = self._derived[make] = make(self.types)
        return found


def replaced(definitions: Mapping[str, Definition], name: str, new: Definition | None) -> Mapping[str, Definition]:
    """Definitions in the order of their names, with one of them replaced, added, or removed (None)."""
    found = dict(definitions)
    if new is None:
        found.pop(name, None)
        return found
    is_added = name not in found
    found[name] = new
    return {each: found[each] for each in sorted(found)} if is_added else found


def _path(type_: ResourceType) -> _Path:
    return type_.group, type_.version, type_.plural


def _by_path(builtin: Iterable[ResourceType], definitions: Iterable[Definition]) -> dict[_Path, ResourceType]:
    """The routing table: a built-in type comes before a custom one, unless it is a placeholder whose names are taken."""
    custom = [type_ for definition in definitions for type_ in definition.types]
    claimed = {(type_.group, name) for type_ in custom for name in (type_.plural, type_.kind)}
    table = {
        _path(type_): type_
        for type_ in builtin
        if not (type_.placeholder and claimed & {(type_.group, type_.plural), (type_.group, type_.kind)})
    }
    for type_ in custom:
        table.setdefault(_path(type_), type_)
    return table


def _types_by_kind(types: Sequence[ResourceType]) -> dict[tuple[str, str, str], ResourceType]:
    """The types of stored objects by group, version and kind."""
    stored = (type_ for type_ in reversed(types) if type_.stored and not type_.placeholder)
    return {(type_.group, type_.version, type_.kind): type_ for type_ in stored}
