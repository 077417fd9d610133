"""Which fields an object has, and which fields differ between two objects, as field sets.

Follows sigs.k8s.io/structured-merge-diff's typed package (ToFieldSet, Compare, Validate) with KEP-555's rules. The walks go
over both objects at once and stop wherever the two are equal, which dict comparison finds out in C.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from kcp.api.patch import field_sets
from kcp.api.patch.field_sets import FieldSet
from kcp.api.patch.json_patch import equal
from kcp.api.patch.merge_types import OBJECT_META, UNTYPED, MergeType
from kcp.api.patch.printing import go_type, plain, quoted

Paths = tuple[tuple[str, ...], ...]

STRIPPED: Final = frozenset(("apiVersion", "kind"))
"""Fields of an object that nobody owns."""

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
"""Fields of metadata that nobody owns; metadata as such is not owned either."""


def element_of(item: Any, type_: MergeType) -> str:
    """The path element of an item of a set or of a list with key fields. Raises ValueError when it has none."""
    keys = type_.list_keys
    if not keys:
        if type(item) is dict:
            raise ValueError("associative list without keys has an element that's a map type")
        if type(item) is list:
            raise ValueError("not supported: associative list with lists as elements")
        if item is None:
            raise ValueError("associative list without keys has an element that's an explicit null")
        return field_sets.value_element(item)
    if item is None:
        raise ValueError("associative list with keys may not have a null element")
    if type(item) is not dict:
        raise ValueError("associative list with keys may not have non-map elements")
    defaults = type_.key_defaults
    key = {name: item[name] if name in item else defaults[name] for name in keys if name in item or name in defaults}
    if not key:
        listed = " ".join(map(quoted, keys))
        raise ValueError(
            f"associative list with keys has an element that omits all key fields [{listed}] "
            "(and doesn't have default values for any key fields)"
        )
    return field_sets.key_element(key)


def elements_of(items: list[Any], type_: MergeType) -> list[str] | None:
    """The path elements of all items; None when an item has none, so that the list can only be taken as one value."""
    try:
        return [element_of(item, type_) for item in items]
    except ValueError:
        return None


def everything(value: Any, type_: MergeType) -> FieldSet:
    """The node of a value that came or went: itself, and every field below it."""
    kind = type(value)
    if kind is dict:
        if not value or type_.atomic_map:
            return {}
        fields, rest = type_.fields, type_.rest
        node: FieldSet = {".": {}}
        for key in sorted(value):
            child = value[key]
            below = type(child)
            node["f:" + key] = everything(child, fields.get(key, rest)) if below is dict or below is list else {}
        return node
    if kind is list and value and type_.list_keys is not None:
        elements = elements_of(value, type_)
        if elements is None:
            return {}
        node = {}
        for element, item in zip(elements, value, strict=True):
            node[element] = {} if element in node else everything(item, type_.items)
        return {".": {}, **{element: node[element] for element in sorted(node)}}
    return {}


class Changes:
    """What differs between two states: ``taken`` was added or modified, ``removed`` went. Both are ordered field sets."""

    __slots__ = ("removed", "taken")

    def __init__(self, taken: FieldSet, removed: FieldSet) -> None:
        self.taken = taken
        self.removed = removed

    def __bool__(self) -> bool:
        return bool(self.taken or self.removed)

    def all(self) -> FieldSet:
        return field_sets.union(self.taken, self.removed)


def changes(old: dict[str, Any], new: dict[str, Any], type_: MergeType, ignored: Paths = ()) -> Changes:
    """What ``new`` changes of ``old``, without the fields that nobody owns and without ``ignored`` and what is below them.

    Values of other types than the schema's count as one value each.
    """
    skipped, masked = _ignored(ignored)
    taken: FieldSet = {}
    removed: FieldSet = {}
    fields, rest = type_.fields, type_.rest
    for key, value in new.items():
        if key in skipped:
            continue
        if key == "metadata":
            _compare_metadata(old.get("metadata") or {}, value or {}, taken, removed)
        elif key not in old:
            taken["f:" + key] = everything(value, fields.get(key, rest))
        elif (before := old[key]) is not value:
            child = fields.get(key, rest)
            if before != value or (child.loose and not equal(before, value)):
                _compare(before, value, child, "f:" + key, taken, removed)
    for key, value in old.items():
        if key not in new and key not in skipped:
            if key == "metadata":
                _compare_metadata(value or {}, {}, taken, removed)
            else:
                removed["f:" + key] = everything(value, fields.get(key, rest))
    taken, removed = _in_order(taken), _in_order(removed)
    if masked:
        taken = field_sets.recursive_difference(taken, masked)
        removed = field_sets.recursive_difference(removed, masked)
    return Changes(taken, removed)


@lru_cache(maxsize=256)
def _ignored(ignored: Paths) -> tuple[frozenset[str], FieldSet]:
    """Ignored paths as root fields to skip, and as a set of the deeper ones."""
    skipped = STRIPPED | {path[0] for path in ignored if len(path) == 1}
    return skipped, field_sets.from_names(tuple(path for path in ignored if len(path) > 1))


def without(fields: FieldSet, ignored: Paths) -> FieldSet:
    """A set without the fields that nobody owns and without ``ignored`` and what is below them."""
    skipped, masked = _ignored(ignored)
    kept = {key: node for key, node in fields.items() if key[2:] not in skipped}
    metadata = kept.get("f:metadata")
    if metadata is not None:
        metadata = {key: node for key, node in metadata.items() if key[2:] not in STRIPPED_METADATA and key != "."}
        if metadata:
            kept["f:metadata"] = metadata
        else:
            del kept["f:metadata"]
    return field_sets.recursive_difference(kept, masked) if masked else kept


def _compare_metadata(old: dict[str, Any], new: dict[str, Any], taken: FieldSet, removed: FieldSet) -> None:
    came: FieldSet = {}
    went: FieldSet = {}
    known = OBJECT_META.fields
    for key, value in new.items():
        if key in STRIPPED_METADATA:
            continue
        if key not in old:
            came["f:" + key] = everything(value, known.get(key, UNTYPED))
        elif (before := old[key]) is not value and before != value:
            _compare(before, value, known.get(key, UNTYPED), "f:" + key, came, went)
    for key, value in old.items():
        if key not in new and key not in STRIPPED_METADATA:
            went["f:" + key] = everything(value, known.get(key, UNTYPED))
    if came:
        taken["f:metadata"] = _in_order(came)
    if went:
        removed["f:metadata"] = _in_order(went)


def _in_order(fields: FieldSet) -> FieldSet:
    return {key: fields[key] for key in sorted(fields)} if len(fields) > 1 else fields


def _compare(old: Any, new: Any, type_: MergeType, element: str, taken: FieldSet, removed: FieldSet) -> None:
    """Compare two unequal values at ``element``; its nodes are put into ``taken`` and ``removed``."""
    old_parts, new_parts = _granular(old, type_), _granular(new, type_)
    if not _comparable(old, new, old_parts, new_parts):
        # at least one side is one value: that is modified, and the parts of the other side came or went
        node = everything(new, type_) if new_parts else {}
        taken[element] = node
        if old_parts:
            went = everything(old, type_)
            removed[element] = {key: below for key, below in went.items() if key != "."}
        return
    came: FieldSet = {}
    went = {}
    if type(old if old_parts else new) is dict:
        _compare_maps(old or {}, new or {}, type_, came, went)
    else:
        _compare_lists(old or [], new or [], type_, came, went)
    if came:
        taken[element] = _in_order(came)
    if went:
        removed[element] = _in_order(went)


def _granular(value: Any, type_: MergeType) -> bool:
    """Whether a value is owned part by part, and has parts."""
    if type(value) is dict:
        return bool(value) and not type_.atomic_map
    if type(value) is list:
        return bool(value) and type_.list_keys is not None and elements_of(value, type_) is not None
    return False


def _comparable(old: Any, new: Any, old_parts: bool, new_parts: bool) -> bool:
    if old_parts and new_parts:
        return type(old) is type(new)
    whole, other = (new, old) if old_parts else (old, new)
    return (old_parts or new_parts) and (whole is None or (not whole and type(whole) is type(other)))


def _compare_maps(
    old: dict[str, Any], new: dict[str, Any], type_: MergeType, taken: FieldSet, removed: FieldSet
) -> None:
    fields, rest = type_.fields, type_.rest
    for key, value in new.items():
        if key not in old:
            taken["f:" + key] = everything(value, fields.get(key, rest))
        elif (before := old[key]) is not value:
            child = fields.get(key, rest)
            if before != value or (child.loose and not equal(before, value)):
                _compare(before, value, child, "f:" + key, taken, removed)
    for key, value in old.items():
        if key not in new:
            removed["f:" + key] = everything(value, fields.get(key, rest))


def _compare_lists(old: list[Any], new: list[Any], type_: MergeType, taken: FieldSet, removed: FieldSet) -> None:
    before, after = _by_element(old, type_), _by_element(new, type_)
    for element, values in after.items():
        earlier = before.get(element, [])
        if len(earlier) <= 1 and len(values) == 1:
            if not earlier:
                taken[element] = everything(values[0], type_.items)
            elif not equal(earlier[0], values[0]):
                _compare(earlier[0], values[0], type_.items, element, taken, removed)
        elif len(values) == 1:  # a key that stood several times stands once
            taken[element] = everything(values[0], type_.items)
            removed[element] = {}
        elif earlier != values:
            taken[element] = {}
            if len(earlier) == 1:
                gone = everything(earlier[0], type_.items)
                if gone:
                    removed[element] = gone
    for element, values in before.items():
        if element not in after:
            removed[element] = everything(values[0], type_.items) if len(values) == 1 else {}


def _by_element(items: list[Any], type_: MergeType) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for element, item in zip(elements_of(items, type_) or (), items, strict=True):
        found.setdefault(element, []).append(item)
    return found


def field_set_of(value: dict[str, Any], type_: MergeType) -> FieldSet:
    """The fields that an apply configuration names: leaves, items and undeclared keys, but not the declared maps around them."""
    fields, rest = type_.fields, type_.rest
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
    elements = elements_of(items, type_)
    if elements is None:
        return {}
    made: FieldSet = {}
    for element, item in zip(elements, items, strict=True):
        if element in made or type(item) is not dict or type_.items.atomic_map:
            made[element] = {}
        else:
            below = field_set_of(item, type_.items)
            made[element] = {".": {}, **below} if below else {}
    return _in_order(made)


def with_named_fields(fields: FieldSet, type_: MergeType) -> FieldSet:
    """The set, and the declared fields on the way to its members; what is only a key of a map or an item is not added."""
    declared = type_.fields
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


def reconciled(fields: FieldSet, type_: MergeType) -> FieldSet:
    """A set from before a schema change: what has become one value is owned as a whole. Gives the set itself when it fits."""
    same = True
    made: FieldSet = {}
    for key, node in fields.items():
        if node:
            below_type = type_.field(key[2:]) if key[0] == "f" else type_.items
            if below_type is UNTYPED:
                below = node
            elif _one_value(node, below_type):
                below = {}
            else:
                below = reconciled(node, below_type)
            if below is not node:
                same = False
            node = below
        made[key] = node
    return fields if same else made


def _one_value(node: FieldSet, type_: MergeType) -> bool:
    first = next((key for key in node if key != "."), ".")
    return type_.atomic_map if first[0] == "f" else type_.list_keys is None


def problems(value: Any, type_: MergeType, path: str = "") -> list[str]:
    """Why an apply configuration does not fit its type: undeclared fields, other JSON types, repeated items."""
    kind = type(value)
    if kind not in type_.accepts:
        return [f"{path}: {_mismatch(value, type_)}"]
    if type_ is UNTYPED:
        return []
    found: list[str] = []
    if kind is dict:
        fields, rest = type_.fields, type_.rest
        for key, child in value.items():
            declared = fields.get(key)
            if declared is None:
                if not type_.open:
                    found.append(f"{path}.{key}: field not declared in schema")
                    continue
                declared = rest
            below = type(child)
            if below is dict or below is list or below not in declared.accepts:
                found += problems(child, declared, f"{path}.{key}")
    elif kind is list:
        found += _item_problems(value, type_, path)
    return found


def _item_problems(items: list[Any], type_: MergeType, path: str) -> list[str]:
    found: list[str] = []
    seen: set[str] = set()
    for index, item in enumerate(items):
        below = f"{path}[{index}]"
        if type_.list_keys is not None:
            try:
                element = element_of(item, type_)
            except ValueError as problem:
                return [*found, f"{path}: element {index}: {problem}"]
            shown = field_sets.printed((element,))
            if element in seen:
                found.append(f"{path}: duplicate entries for key {shown}")
            seen.add(element)
            below = path + shown
        found += problems(item, type_.items, below)
    return found


def _mismatch(value: Any, type_: MergeType) -> str:
    accepts = type_.accepts
    if str in accepts and int in accepts:
        return f"expected any scalar, got &{{{plain(value)}}}"
    if str in accepts:
        return f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}"
    if int in accepts:
        return f"expected numeric (int or float), got {go_type(value)}"
    name = "boolean" if bool in accepts else "map" if dict in accepts else "list"
    return f"expected {name}, got &{{{plain(value)}}}"


def _go_syntax(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        parts = (
            ", ".join(f"{quoted(key)}:{_go_syntax(value[key])}" for key in sorted(value))
            if isinstance(value, dict)
            else ", ".join(map(_go_syntax, value))
        )
        return f"{go_type(value)}{{{parts}}}"
    return "interface {}(nil)" if value is None else quoted(value)
