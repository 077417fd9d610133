"""Field sets of objects: the fields of one object, and the fields that differ between two.

Follows sigs.k8s.io/structured-merge-diff's typed package (``ToFieldSet``, ``Compare``) and KEP-555. A comparison walks both
objects at once and skips equal subtrees, which ``==`` of dicts detects in C.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain, groupby, islice
from operator import eq
from typing import Any, Final

from kcp.api.json_values import equal
from kcp.api.patch import field_sets
from kcp.api.patch.field_sets import LEAF, FieldSet
from kcp.api.patch.go_format import json_text
from kcp.api.patch.merge_types import META_TEXTS, OBJECT_META, UNTYPED, MergeType
from kcp.api.patch.path_elements import path_elements

Paths = tuple[tuple[str, ...], ...]

_SCALARS: Final = frozenset((str, int, float, bool, type(None)))
_MANY: Final = 16
"""Members of a map from which the iterators of a node without a loop cost less than the loop."""
_ENCODED_FROM: Final = 1_000
"""Members of a map or list from which its node may be JSON text."""
_PLAIN: Final = re.compile(r"[#-\[\]-~]*")
"""Texts that JSON does not escape, and whose characters sort behind the quote that ends them there."""
_MAX_SHAPES: Final = 64
"""Sets of names whose nodes the items of a list share."""
_CACHED_NAMES: Final = 1024
_CACHED_LENGTH: Final = 512
"""Names of labels and annotations whose nodes are cached, and the characters of one object's."""
_ABSENT: Final = object()

STRIPPED: Final = frozenset(("apiVersion", "kind"))
"""Top-level fields that managed fields never track."""

STRIPPED_METADATA: Final = frozenset(
    (
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    )
)
"""Fields of metadata that managed fields never track; neither do they track metadata itself."""

_CONTAINERS: Final = frozenset({dict, list})


def all_fields_of(value: Any, type_: MergeType, *, encoded: bool = False) -> FieldSet:
    """The node of an added or removed value: the value itself and every field below it.

    ``encoded``: the set will be encoded and not read, so the nodes of large maps and lists may be JSON text (`orjson.Fragment`).
    """
    kind = type(value)
    if kind is dict:
        if not value or type_.atomic_map:
            return LEAF
        if type_ is META_TEXTS and len(value) < _MANY and len("".join(value)) <= _CACHED_LENGTH:
            return _node_of_names(tuple(value))
        fields, rest = type_.fields, type_.rest
        if len(value) >= _MANY and _SCALARS.issuperset(map(type, value.values())):
            names = sorted(value)
            make = field_sets.encoded_names if encoded and len(names) > _ENCODED_FROM else field_sets.node_of_names
            return make(names)
        node: FieldSet = {".": LEAF}
        for key in sorted(value):
            child = value[key]
            if type(child) in _CONTAINERS:
                node["f:" + key] = all_fields_of(child, fields.get(key, rest), encoded=encoded)
            else:
                node["f:" + key] = LEAF
        return node
    if kind is list and value and type_.list_keys is not None:
        if encoded and len(value) > _ENCODED_FROM and (text := _encoded_by_key(value, type_)) is not None:
            return text
        elements = path_elements(value, type_)
        if elements is None:
            return LEAF
        encoded = encoded and len(elements) > _ENCODED_FROM
        if _SCALARS.issuperset(map(type, value)):
            elements.sort()
            if encoded:
                return field_sets.encoded_elements([element for element, _ in groupby(elements)])
            return dict.fromkeys(chain((".",), elements), LEAF)
        found = _encoded_items(elements, value, type_.items) if encoded else None
        return _list_node(elements, value, type_.items) if found is None else found
    return LEAF


@lru_cache(_CACHED_NAMES)
def _node_of_names(names: tuple[str, ...]) -> FieldSet:
    """The node of labels or annotations: many objects have the same names."""
    return field_sets.node_of_names(sorted(names))


def _encoded_by_key(items: list[Any], type_: MergeType) -> FieldSet | None:
    """The node of a list of different strings, or of maps of one shape with one key, as JSON text; None for another list.

    Keys of plain characters are sorted as their elements are. So no element is made but while it is encoded.
    """
    keys = type_.list_keys or ()
    if len(keys) > 1:
        return None
    values, node, around = items, LEAF, ('v:"', '"')
    if keys:
        (name,) = keys
        if not _are_alike(items) or name not in items[0]:
            return None
        values, node = [item[name] for item in items], all_fields_of(items[0], type_.items)
        around = f'k:{{{json_text(name)}:"', '"}'
    if set(map(type, values)) != {str} or not all(map(_PLAIN.fullmatch, values)):
        return None
    in_order = sorted(values)
    if any(map(eq, in_order, islice(in_order, 1, None))):
        return None
    return field_sets.encoded_elements(in_order, node, around=around)


def _are_alike(items: list[Any]) -> bool:
    """Whether all items are maps with the same members, and these are scalars."""
    if set(map(type, items)) != {dict}:
        return False
    shape = items[0].keys()
    return all(item.keys() == shape and _SCALARS.issuperset(map(type, item.values())) for item in items)


def _encoded_items(elements: list[str], items: list[Any], type_: MergeType) -> FieldSet | None:
    """The node of a list of maps as JSON text, where they are different items of one shape; else None."""
    if not _are_alike(items):
        return None
    in_order = sorted(elements)
    if any(map(eq, in_order, islice(in_order, 1, None))):
        return None
    return field_sets.encoded_elements(in_order, all_fields_of(items[0], type_))


def _list_node(elements: list[str], items: list[Any], type_: MergeType) -> FieldSet:
    """The node of a list of maps. Items of one shape share a node: a long list would have many equal ones."""
    nodes: FieldSet = {".": LEAF}
    shapes: dict[tuple[str, ...], FieldSet] = {}
    for element, item in zip(elements, items, strict=True):
        if element in nodes:
            nodes[element] = LEAF
        elif type(item) is not dict or not _SCALARS.issuperset(map(type, item.values())):
            nodes[element] = all_fields_of(item, type_)
        elif (shape := tuple(item)) in shapes:
            nodes[element] = shapes[shape]
        else:
            node = nodes[element] = all_fields_of(item, type_)
            if len(shapes) < _MAX_SHAPES:
                shapes[shape] = node
    return _sorted(nodes)


class Comparison:
    """The difference between two states of an object: the fields that were added or modified, and those that were removed.

    Both are ordered field sets.
    """

    __slots__ = ("modified", "removed")

    def __init__(self, modified: FieldSet, removed: FieldSet) -> None:
        self.modified = modified
        self.removed = removed

    def __bool__(self) -> bool:
        return bool(self.modified or self.removed)

    def all(self) -> FieldSet:
        """The fields that differ: modified, added or removed."""
        return field_sets.union(self.modified, self.removed)


def compare(
    old: dict[str, Any], new: dict[str, Any], type_: MergeType, ignored: Paths = (), *, encoded: bool = False
) -> Comparison:
    """The fields that ``new`` changes in ``old``. Untracked fields, and ``ignored`` ones with everything below, are left out.

    ``encoded``: the modified fields will be encoded and not read (`all_fields_of`).
    A value of another type than the schema's is treated as atomic.
    """
    skipped, untracked, masked = _ignored(ignored)
    encoded = encoded and not masked
    modified: FieldSet = {}
    removed: FieldSet = {}
    if not old:
        modified = _fields_of_new(new, type_, skipped, encoded=encoded)
        return Comparison(field_sets.recursive_difference(modified, masked) if masked else modified, removed)
    _compare_maps(old, new, type_, modified, removed, untracked, encoded=encoded)
    if "metadata" not in skipped:
        before, after = old.get("metadata") or {}, new.get("metadata") or {}
        modified_below: FieldSet = {}
        removed_below: FieldSet = {}
        _compare_maps(before, after, OBJECT_META, modified_below, removed_below, STRIPPED_METADATA, encoded=encoded)
        _put(modified, "f:metadata", modified_below)
        _put(removed, "f:metadata", removed_below)
    modified, removed = _sorted(modified), _sorted(removed)
    if masked:
        modified = field_sets.recursive_difference(modified, masked)
        removed = field_sets.recursive_difference(removed, masked)
    return Comparison(modified, removed)


def _fields_of_new(new: dict[str, Any], type_: MergeType, skipped: frozenset[str], *, encoded: bool) -> FieldSet:
    """The tracked fields of an object that is compared with none."""
    made: FieldSet = {}
    fields, rest = type_.fields, type_.rest
    for key in sorted(new):
        if key in skipped:
            continue
        value = new[key]
        if key != "metadata":
            made["f:" + key] = all_fields_of(value, fields.get(key, rest), encoded=encoded)
        elif value and (below := _fields_of_new_metadata(value, encoded=encoded)):
            made["f:metadata"] = below
    return made


def _fields_of_new_metadata(meta: dict[str, Any], *, encoded: bool) -> FieldSet:
    fields, rest = OBJECT_META.fields, OBJECT_META.rest
    return {
        "f:" + key: all_fields_of(meta[key], fields.get(key, rest), encoded=encoded)
        for key in sorted(meta)
        if key not in STRIPPED_METADATA
    }


@lru_cache(maxsize=256)
def _ignored(ignored: Paths) -> tuple[frozenset[str], frozenset[str], FieldSet]:
    """Split ignored paths: top-level fields to skip, the same with metadata, and the set of deeper fields."""
    skipped = STRIPPED | {path[0] for path in ignored if len(path) == 1}
    deeper = field_sets.from_names(tuple(path for path in ignored if len(path) > 1))
    return skipped, skipped | {"metadata"}, deeper


def without_untracked(fields: FieldSet, ignored: Paths) -> FieldSet:
    """The set without untracked fields, and without ``ignored`` ones with everything below."""
    skipped, _, masked = _ignored(ignored)
    kept = {key: node for key, node in fields.items() if key[2:] not in skipped}
    metadata = kept.get("f:metadata")
    if metadata is not None:
        metadata = {key: node for key, node in metadata.items() if key[2:] not in STRIPPED_METADATA and key != "."}
        if metadata:
            kept["f:metadata"] = metadata
        else:
            del kept["f:metadata"]
    return field_sets.recursive_difference(kept, masked) if masked else kept


def _put(fields: FieldSet, element: str, node: FieldSet) -> None:
    """Add a node in sorted order, unless it is empty."""
    if node:
        fields[element] = _sorted(node)


def _sorted(fields: FieldSet) -> FieldSet:
    if len(fields) <= 1:
        return fields
    elements = sorted(fields)
    return fields if elements == list(fields) else {element: fields[element] for element in elements}


def _compare(old: Any, new: Any, type_: MergeType, element: str, modified: FieldSet, removed: FieldSet) -> None:
    """Compare two unequal values at ``element`` and add the nodes to ``modified`` and ``removed``."""
    old_parts, new_parts = _granular(old, type_), _granular(new, type_)
    if not _comparable(old, new, old_parts, new_parts):
        # at least one side is atomic: it counts as modified, and the fields of the other side as added or removed
        node = all_fields_of(new, type_) if new_parts else LEAF
        modified[element] = node
        if old_parts:
            removed_below = all_fields_of(old, type_)
            removed[element] = {key: below for key, below in removed_below.items() if key != "."}
        return
    modified_below: FieldSet = {}
    removed_below = {}
    if type(old if old_parts else new) is dict:
        _compare_maps(old or {}, new or {}, type_, modified_below, removed_below)
    else:
        _compare_lists(old or [], new or [], type_, modified_below, removed_below)
    _put(modified, element, modified_below)
    _put(removed, element, removed_below)


def _granular(value: Any, type_: MergeType) -> bool:
    """Whether a value is granular (its fields or items are tracked one by one) and not empty."""
    if type(value) is dict:
        return bool(value) and not type_.atomic_map
    if type(value) is list:
        return bool(value) and type_.list_keys is not None and path_elements(value, type_) is not None
    return False


def _comparable(old: Any, new: Any, old_parts: bool, new_parts: bool) -> bool:
    if old_parts and new_parts:
        return type(old) is type(new)
    whole, other = (new, old) if old_parts else (old, new)
    return (old_parts or new_parts) and (whole is None or (not whole and type(whole) is type(other)))


def _compare_maps(
    old: dict[str, Any],
    new: dict[str, Any],
    type_: MergeType,
    modified: FieldSet,
    removed: FieldSet,
    untracked: frozenset[str] = frozenset(),
    *,
    encoded: bool = False,
) -> None:
    fields, rest, loose = type_.fields, type_.rest, type_.loose
    for key, value in new.items():
        if key in untracked:
            continue
        before = old.get(key, _ABSENT)
        if before is value or (before == value and (not loose or equal(before, value))):
            continue
        child = fields.get(key, rest)
        if before is _ABSENT:
            modified["f:" + key] = all_fields_of(value, child, encoded=encoded)
        else:
            _compare(before, value, child, "f:" + key, modified, removed)
    for key, value in old.items():
        if key not in new and key not in untracked:
            removed["f:" + key] = all_fields_of(value, fields.get(key, rest))


def _compare_lists(old: list[Any], new: list[Any], type_: MergeType, modified: FieldSet, removed: FieldSet) -> None:
    before, after = _by_element(old, type_), _by_element(new, type_)
    for element, item in after.items():
        if element not in before:
            modified[element] = LEAF if type(item) is _Repeated else all_fields_of(item, type_.items)
            continue
        earlier = before[element]
        if type(item) is not _Repeated:
            if type(earlier) is _Repeated:  # a duplicated key has become unique
                modified[element] = all_fields_of(item, type_.items)
                removed[element] = LEAF
            elif not equal(earlier, item):
                _compare(earlier, item, type_.items, element, modified, removed)
        elif earlier != item:
            modified[element] = LEAF
            if type(earlier) is not _Repeated and (fields := all_fields_of(earlier, type_.items)):
                removed[element] = fields
    for element, item in before.items():
        if element not in after:
            removed[element] = LEAF if type(item) is _Repeated else all_fields_of(item, type_.items)


class _Repeated(list[Any]):
    """The items of a list that have one element."""


def _by_element(items: list[Any], type_: MergeType) -> dict[str, Any]:
    """The items by their elements; `_Repeated` where several have one."""
    found: dict[str, Any] = {}
    for element, item in zip(path_elements(items, type_) or (), items, strict=True):
        if element not in found:
            found[element] = item
        elif type(known := found[element]) is _Repeated:
            known.append(item)
        else:
            found[element] = _Repeated((known, item))
    return found


def field_set_of(value: dict[str, Any], type_: MergeType) -> FieldSet:
    """The fields that an apply configuration sets: leaves, list items and undeclared keys, without the declared maps around."""
    fields, rest = type_.fields, type_.rest
    if _SCALARS.issuperset(map(type, value.values())):
        return field_sets.of_names(sorted(value))
    made: FieldSet = {}
    for key in sorted(value):
        declared = fields.get(key)
        child = value[key]
        child_type = declared if declared is not None else rest
        kind = type(child)
        if kind is dict and child and not child_type.atomic_map:
            node = field_set_of(child, child_type)
            if declared is None:
                node = {".": {}, **node} if node else node
            elif not node:
                continue
        elif kind is list and child_type.list_keys is not None:
            if not child and declared is not None:
                continue
            node = _item_set_of(child, child_type)
            if declared is None and node:
                node = {".": {}, **node}
        else:
            node = {}
        made["f:" + key] = node
    return made


def _item_set_of(items: list[Any], type_: MergeType) -> FieldSet:
    elements = path_elements(items, type_)
    if elements is None:
        return {}
    if _SCALARS.issuperset(map(type, items)):
        elements.sort()
        return dict.fromkeys(elements, LEAF)
    made: FieldSet = {}
    shapes: dict[tuple[str, ...], FieldSet] = {}
    for element, item in zip(elements, items, strict=True):
        if element in made or type(item) is not dict or type_.items.atomic_map:
            made[element] = LEAF
        elif not _SCALARS.issuperset(map(type, item.values())):
            made[element] = _node_of(field_set_of(item, type_.items))
        elif (shape := tuple(item)) in shapes:
            made[element] = shapes[shape]
        else:
            node = made[element] = _node_of(field_set_of(item, type_.items))
            if len(shapes) < _MAX_SHAPES:
                shapes[shape] = node
    return _sorted(made)


def _node_of(below: FieldSet) -> FieldSet:
    """The node of a member with these members below it."""
    return {".": LEAF, **below} if below else LEAF


def with_named_fields(fields: FieldSet, type_: MergeType) -> FieldSet:
    """The set with the declared fields on the way to its members added. Keys of untyped maps and list items are not added."""
    declared = type_.fields
    if not any(fields.values()):
        return fields
    made: FieldSet = {}
    for key, node in fields.items():
        if not node:
            made[key] = node
            continue
        if key[0] == "f":
            below = with_named_fields(node, type_.field(key[2:]))
            if key[2:] in declared and "." not in below:
                below = {".": {}, **below}
        else:
            below = with_named_fields(node, type_.items)
        made[key] = below
    return made


def reconcile(fields: FieldSet, type_: MergeType) -> FieldSet:
    """Adapt a set to a changed schema: a value that has become atomic is owned as a whole. Returns ``fields`` if it fits."""
    if not any(fields.values()):
        return fields
    same = True
    made: FieldSet = {}
    for key, node in fields.items():
        if node:
            below_type = type_.field(key[2:]) if key[0] == "f" else type_.items
            if below_type is UNTYPED:
                below = node
            elif _is_atomic(node, below_type):
                below = {}
            else:
                below = reconcile(node, below_type)
            if below is not node:
                same = False
            node = below
        made[key] = node
    return fields if same else made


def _is_atomic(node: FieldSet, type_: MergeType) -> bool:
    for key in node:
        if key != ".":
            return type_.atomic_map if key[0] == "f" else type_.list_keys is None
    return type_.list_keys is None
