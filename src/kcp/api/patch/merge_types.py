"""Merge types: which maps and lists of an object are atomic, and which are merged item by item.

A schema compiles into a tree of MergeType, which managed fields, server-side apply and strategic merge patch walk together
with the object. Follows KEP-555 ("Merge strategy": x-kubernetes-list-type, -list-map-keys, -map-type), Kubernetes'
conversion of OpenAPI to merge schemas, and the patch-strategy keywords of built-in types.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from kcp.api import json_values

_NULL: Final = type(None)
_ANY: Final[frozenset[type]] = frozenset((str, int, float, bool, dict, list, _NULL))
_SCALARS: Final[frozenset[type]] = frozenset((str, int, float, bool, _NULL))
_NUMBERS: Final[frozenset[type]] = frozenset((int, float, _NULL))
_ACCEPTED: Final[dict[str, frozenset[type]]] = {
    "object": frozenset((dict, _NULL)),
    "array": frozenset((list, _NULL)),
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "boolean": frozenset((bool, _NULL)),
    "string": frozenset((str, _NULL)),
}
_OVERRIDES: Final = (
    "x-kubernetes-map-type",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-patch-strategy",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "default",
)
_CACHE_SIZE: Final = 1024


class MergeType:
    """How a value merges. Immutable once compiled; recursive schemas give types that refer to themselves.

    accepts       the Python types of the JSON values that the schema allows here
    fields        the declared fields of a map
    rest          the type of every other field (untyped where the schema says nothing)
    open          whether undeclared fields are allowed
    atomic_map    the map is atomic: it is owned and replaced as a whole
    list_keys     None: the list is atomic; (): a set of scalars; else the sorted names of the fields that identify an item
    items         the type of a list's items
    loose         whether both booleans and integers are allowed here or anywhere below: == does not tell true from 1
    key_defaults  the defaults of the fields in list_keys
    strategy      strategic merge patch: "merge", "replace" or ""
    merge_key     strategic merge patch: the field that identifies an item, or ""
    """

    __slots__ = (
        "accepts",
        "atomic_map",
        "fields",
        "items",
        "key_defaults",
        "list_keys",
        "loose",
        "merge_key",
        "open",
        "rest",
        "strategy",
    )

    accepts: frozenset[type]
    fields: dict[str, MergeType]
    rest: MergeType
    open: bool
    atomic_map: bool
    list_keys: tuple[str, ...] | None
    items: MergeType
    loose: bool
    key_defaults: dict[str, Any]
    strategy: str
    merge_key: str

    def __init__(self, accepts: frozenset[type] = _ANY) -> None:
        self.accepts = accepts
        self.fields = {}
        self.rest = self
        self.open = True
        self.atomic_map = False
        self.list_keys = None
        self.items = self
        self.loose = bool in accepts and int in accepts
        self.key_defaults = {}
        self.strategy = ""
        self.merge_key = ""

    def field(self, name: str) -> MergeType:
        """The type of the field ``name`` of a map."""
        return self.fields.get(name, self.rest)


def _leaf(accepts: frozenset[type]) -> MergeType:
    made = MergeType(accepts)
    made.rest = made.items = UNTYPED
    return made


UNTYPED: Final = MergeType()
"""No schema: maps merge field by field, lists are atomic."""

_TEXT: Final = MergeType(_ACCEPTED["string"])
META_TEXTS: Final = MergeType(_ACCEPTED["object"])
"""The labels or annotations of an object: texts by name, which the decode check has seen."""
META_TEXTS.rest = _TEXT


def _list_of(items: MergeType, keys: tuple[str, ...] | None, strategy: str = "", merge_key: str = "") -> MergeType:
    made = MergeType(_ACCEPTED["array"])
    made.items, made.list_keys, made.strategy, made.merge_key = items, keys, strategy, merge_key
    return made


def _object_meta() -> MergeType:
    """ObjectMeta as meta/v1 declares it."""
    owner = MergeType(_ACCEPTED["object"])
    owner.fields = dict.fromkeys(("apiVersion", "kind", "name", "uid"), _TEXT)
    owner.fields["controller"] = owner.fields["blockOwnerDeletion"] = MergeType(_ACCEPTED["boolean"])
    owner.rest, owner.open, owner.atomic_map = UNTYPED, False, True
    meta = MergeType(_ACCEPTED["object"])
    meta.rest, meta.open = UNTYPED, False
    meta.fields = dict.fromkeys(("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"), _TEXT)
    meta.fields["creationTimestamp"] = meta.fields["deletionTimestamp"] = MergeType(_SCALARS)
    meta.fields["generation"] = meta.fields["deletionGracePeriodSeconds"] = MergeType(_NUMBERS)
    meta.fields["labels"] = meta.fields["annotations"] = META_TEXTS
    meta.fields["finalizers"] = _list_of(_TEXT, (), "merge")
    meta.fields["ownerReferences"] = _list_of(owner, ("uid",), "merge", "uid")
    meta.fields["managedFields"] = _list_of(UNTYPED, None)
    return meta


OBJECT_META: Final = _object_meta()


class _Compiler:
    """Compiles one schema document. Each reference compiles once, so recursive types terminate."""

    def __init__(self, definitions: Mapping[str, Any], *, states_strategies: bool) -> None:
        self._definitions = definitions
        self._states_strategies = states_strategies
        self._referenced: dict[bytes, MergeType] = {}

    def compile(self, schema: Mapping[str, Any], preserve: bool, *, into: MergeType | None = None) -> MergeType:
        reference = schema.get("$ref")
        if reference is not None:
            return self._resolve(schema, reference, preserve)
        if into is None and _is_leaf(schema):
            return _LEAVES[_accepted(schema)]
        preserve = preserve or schema.get("x-kubernetes-preserve-unknown-fields") is True
        made = into or MergeType()
        made.accepts = _accepted(schema)
        self._compile_map(made, schema, preserve)
        self._compile_list(made, schema, preserve)
        _compile_strategy(made, schema, from_list_type=not self._states_strategies)
        return made

    def _resolve(self, schema: Mapping[str, Any], reference: str, preserve: bool) -> MergeType:
        overrides = {name: schema[name] for name in _OVERRIDES if name in schema}
        identity = json_values.kept_text([reference, preserve, overrides])
        known = self._referenced.get(identity)
        if known is not None:
            return known
        made = self._referenced[identity] = MergeType()
        target = self._definitions[reference.rpartition("/")[2]]
        if "$ref" in target:
            overrides = {**{name: target[name] for name in _OVERRIDES if name in target}, **overrides}
            target = self._definitions[target["$ref"].rpartition("/")[2]]
        return self.compile({**target, **overrides}, preserve, into=made)

    def _compile_map(self, made: MergeType, schema: Mapping[str, Any], preserve: bool) -> None:
        properties = schema.get("properties") or {}
        made.fields = {name: self.compile(member, preserve) for name, member in properties.items()}
        additional = schema.get("additionalProperties")
        made.rest = UNTYPED
        if isinstance(additional, Mapping):
            made.rest = self.compile(additional, preserve)
        elif additional is False or (additional is None and properties and not preserve):
            made.open = False
        made.atomic_map = schema.get("x-kubernetes-map-type") == "atomic"
        if schema.get("x-kubernetes-embedded-resource") is True:
            add_type_and_metadata(made)

    def _compile_list(self, made: MergeType, schema: Mapping[str, Any], preserve: bool) -> None:
        items = schema.get("items")
        made.items = self.compile(items, preserve) if isinstance(items, Mapping) else UNTYPED
        kind = schema.get("x-kubernetes-list-type")
        strategies = str(schema.get("x-kubernetes-patch-strategy") or "").split(",")
        if kind == "set":
            made.list_keys = ()
        elif kind == "map":
            made.list_keys = tuple(sorted(schema.get("x-kubernetes-list-map-keys") or ()))
        elif kind is None and "merge" in strategies and isinstance(items, Mapping):
            key = schema.get("x-kubernetes-patch-merge-key")
            made.list_keys = (key,) if key else ()
        for key in made.list_keys or ():
            declared = self._properties_of(items).get(key) if isinstance(items, Mapping) else None
            if declared is not None and declared.get("default") is not None:
                made.key_defaults[key] = declared["default"]

    def _properties_of(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(8):
            reference = schema.get("$ref")
            if reference is None:
                break
            schema = self._definitions[reference.rpartition("/")[2]]
        return schema.get("properties") or {}


def _accepted(schema: Mapping[str, Any]) -> frozenset[type]:
    kind = schema.get("type")
    if not kind or schema.get("x-kubernetes-int-or-string") is True:
        return _ANY
    if kind == "string" and schema.get("format"):
        return _SCALARS  # as Kubernetes: a formatted string may be written as a number or a date
    return _ACCEPTED.get(kind, _SCALARS)


_LEAVES: Final = {accepts: _leaf(accepts) for accepts in {_ANY, _SCALARS, *_ACCEPTED.values()}}
"""Shared types of the values that have no keyword but ``type``: most of a large schema's."""
_LEAF_TYPES: Final = frozenset(("string", "integer", "number", "boolean"))
_MORE: Final = frozenset(("properties", "additionalProperties", "items", *_OVERRIDES)) - {"default"}


def _is_leaf(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") in _LEAF_TYPES and _MORE.isdisjoint(schema)


def _compile_strategy(made: MergeType, schema: Mapping[str, Any], *, from_list_type: bool) -> None:
    stated = schema.get("x-kubernetes-patch-strategy")
    if stated is not None:
        made.strategy = next((name for name in str(stated).split(",") if name != "retainKeys"), "")
        made.merge_key = str(schema.get("x-kubernetes-patch-merge-key") or "")
    elif from_list_type and made.list_keys is not None:
        made.strategy = "merge"
        keys = schema.get("x-kubernetes-list-map-keys") or made.list_keys
        made.merge_key = keys[0] if made.list_keys else ""


def add_type_and_metadata(made: MergeType) -> None:
    """Add the fields that every object has; they override the schema's."""
    made.fields = {**made.fields, "apiVersion": _TEXT, "kind": _TEXT, "metadata": OBJECT_META}


def _find_loose(root: MergeType) -> None:
    """Set ``loose`` of every reachable type, in rounds until nothing changes: types may refer to themselves."""
    found: dict[int, MergeType] = {}
    pending = [root]
    while pending:
        type_ = pending.pop()
        if id(type_) not in found and type_ is not OBJECT_META:
            found[id(type_)] = type_
            type_.loose = bool in type_.accepts and int in type_.accepts
            pending += _parts(type_)
    settled = False
    parts_first = list(reversed(found.values()))
    while not settled:
        settled = True
        for type_ in parts_first:
            if not type_.loose and any(part.loose for part in _parts(type_)):
                type_.loose, settled = True, False


def _parts(type_: MergeType) -> list[MergeType]:
    parts = list(type_.fields.values()) if dict in type_.accepts else []
    if dict in type_.accepts and type_.open:
        parts.append(type_.rest)
    if list in type_.accepts:
        parts.append(type_.items)
    return parts


_compiled: dict[bytes, MergeType] = {}


def compile_merge_type(raw_schema: dict[str, Any] | None, *, states_strategies: bool = False) -> MergeType:
    """Compile the merge type of the objects that ``raw_schema`` describes; equal schemas share one.

    Without a schema, maps merge field by field and lists are atomic. metadata is always ObjectMeta. Where the schema
    ``states_strategies`` of strategic merge patches, a list without one is replaced; else its list type decides.
    """
    content = orjson.dumps([raw_schema, states_strategies], option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(content).digest()
    made = _compiled.get(digest)
    if made is None:
        schema: dict[str, Any] = raw_schema if raw_schema is not None else {"type": "object"}
        compiled = _Compiler(schema.get("$defs") or {}, states_strategies=states_strategies).compile(
            schema, preserve=False
        )
        made = MergeType(_ACCEPTED["object"])
        made.fields, made.rest, made.open = compiled.fields, compiled.rest, compiled.open
        add_type_and_metadata(made)
        _find_loose(made)
        if len(_compiled) >= _CACHE_SIZE:
            for oldest in list(_compiled)[:1]:  # another thread may have dropped it meanwhile
                _compiled.pop(oldest, None)
        _compiled[digest] = made
    return made
