"""Sets of field paths, represented as in ``metadata.managedFields[].fieldsV1``.

A set is a tree of dicts (KEP-555, "FieldsV1"; sigs.k8s.io/structured-merge-diff's fieldpath serialization). Keys are path
elements: ``f:name`` for a field, ``k:{...}`` for a list item by its key fields, ``v:...`` for an item of a set, ``i:n`` for
an index. A node that is empty or has the key ``.`` is a member; any other node only leads to members. Sets are used in their
serialized form, so that a write neither decodes nor encodes the managed fields that it does not change.

No function changes its arguments; results share parts with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import chain
from typing import Any, Final, cast

import orjson

from kcp.api.patch.go_format import json_text

FieldSet = dict[str, Any]

LEAF: Final[FieldSet] = {}
"""The node of a member without members below it. Large sets consist of it, so they share one."""
_MAX_DEPTH: Final = 200
_PORTION: Final = 2_048
"""Texts that are encoded at a time."""
_SEPARATOR: Final = b'","'
"""What is between two texts of a JSON list. Inside of a text, quotes are escaped."""
_UNCERTAIN: Final = rb'\","'
"""A separator after a text that ends with a backslash, or the end of a text that ends with a quote and a comma."""


def of_names(names: Iterable[str]) -> FieldSet:
    """The set of these fields of a map, in the order of ``names``."""
    return dict.fromkeys(map("f:".__add__, names), LEAF)


def node_of_names(names: Iterable[str]) -> FieldSet:
    """The node of a map and of these fields of it, in the order of ``names``."""
    return dict.fromkeys(chain((".",), map("f:".__add__, names)), LEAF)


def encoded_names(names: list[str]) -> FieldSet:
    """`node_of_names` as JSON text, for a set that is encoded and not read."""
    text = BytesIO()
    text.write(b'{".":{}')
    for encoded in _encoded_portions(names):
        if _UNCERTAIN in encoded:
            return node_of_names(names)
        text.write(b',"f:%b:{}' % encoded[2:-1].replace(_SEPARATOR, b'":{},"f:'))
    text.write(b"}")
    return cast("FieldSet", orjson.Fragment(text.getvalue()))


def encoded_elements(elements: list[str], node: FieldSet = LEAF, *, around: tuple[str, str] = ("", "")) -> FieldSet:
    """The node of a list and of these items of it, each with the same ``node``, as JSON text like `encoded_names`.

    ``around`` is what each element has before and behind the given text.
    """
    before, behind = around
    below = orjson.dumps(node)
    text = BytesIO()
    text.write(b'{".":{}')
    for encoded in _encoded_portions(elements, before, behind):
        # an element is ``i:``, ``v:`` or ``k:`` and JSON: it does not end with a comma, so each separator is between two elements
        text.write(b",%b:%b" % (encoded[1:-1].replace(_SEPARATOR, b'":%b,"' % below), below))
    text.write(b"}")
    return cast("FieldSet", orjson.Fragment(text.getvalue()))


def _encoded_portions(texts: list[str], before: str = "", behind: str = "") -> Iterator[bytes]:
    """Texts as JSON lists of some thousand: what becomes of them needs little memory beside the result."""
    for start in range(0, len(texts), _PORTION):
        portion = texts[start : start + _PORTION]
        yield orjson.dumps([f"{before}{text}{behind}" for text in portion] if before else portion)


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of either set."""
    if not left:
        return right
    return _union(left, right) if right else left


def _union(left: FieldSet, right: FieldSet) -> FieldSet:
    """The union below one node, both sides not empty, in sorted order."""
    if left is right or _has_all(left, right):
        return left
    if _has_all(right, left):
        return right
    if _is_flat(left) and _is_flat(right):
        return dict.fromkeys(sorted(left | right), LEAF)
    merged = dict(left)
    for key, theirs in right.items():
        ours = left.get(key)
        merged[key] = theirs if ours is None else _union_of_nodes(ours, theirs)
    return merged if len(merged) == len(left) else {key: merged[key] for key in sorted(merged)}


def _has_all(fields: FieldSet, part: FieldSet) -> bool:
    """Whether a set has the nodes of another one."""
    for key, node in part.items():  # noqa: SIM110 - faster than a generator expression
        if fields.get(key) != node:
            return False
    return True


def _union_of_nodes(left: FieldSet, right: FieldSet) -> FieldSet:
    if left and right:
        return _union(left, right)
    more = left or right
    return {".": {}, **more} if more and "." not in more else more


def _is_flat(fields: FieldSet) -> bool:
    """Whether no member has members of its own, as in large maps and sets: their set operations are those of their keys."""
    return not any(fields.values())


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of ``left`` that are not members of ``right``. Returns ``left`` itself when they have none in common."""
    if not right:
        return left
    if _is_flat(left) and _is_flat(right):
        kept = {key: node for key, node in left.items() if key not in right}
        return left if len(kept) == len(left) else kept
    kept = {}
    same = True
    for key, ours in left.items():
        theirs = right.get(key)
        if theirs is None:
            kept[key] = ours
            continue
        rest = _node_difference(ours, theirs)
        if rest is not ours:
            same = False
        if rest is not None:
            kept[key] = rest
    return left if same else kept


def _node_difference(left: FieldSet, right: FieldSet) -> FieldSet | None:
    """The difference of two nodes; None when neither the node nor anything below it remains a member."""
    if not left:
        return None if not right or "." in right else left
    if not right:
        if "." not in left:
            return left
        return {key: value for key, value in left.items() if key != "."} or None
    rest = difference(left, right)
    if not rest:
        return None
    return {} if len(rest) == 1 and "." in rest else rest


def recursive_difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """``left`` without the members of ``right`` and everything below them. Returns ``left`` itself when nothing is removed."""
    if right.keys().isdisjoint(left):
        return left
    kept: FieldSet = {}
    for key, ours in left.items():
        theirs = right.get(key)
        if theirs is None or key == ".":
            kept[key] = ours
        elif theirs and "." not in theirs:
            if not ours:
                kept[key] = ours
            elif rest := recursive_difference(ours, theirs):
                kept[key] = {} if len(rest) == 1 and "." in rest else rest
    return kept


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of both sets."""
    if _is_flat(left) and _is_flat(right):
        return {key: node for key, node in left.items() if key in right}
    common: FieldSet = {}
    for key, ours in left.items():
        theirs = right.get(key)
        if theirs is None:
            continue
        node = _node_intersection(ours, theirs)
        if node is not None:
            common[key] = node
    return common


def _node_intersection(left: FieldSet, right: FieldSet) -> FieldSet | None:
    if not left:
        return {} if not right or "." in right else None
    if not right:
        return {} if "." in left else None
    common = intersection(left, right)
    if not common:
        return None
    return {} if len(common) == 1 and "." in common else common


def leaves(fields: FieldSet) -> FieldSet:
    """The members that have no members below them."""
    return {key: leaves(node) for key, node in fields.items() if key != "."}


def contains(fields: FieldSet, path: tuple[str, ...]) -> bool:
    """Whether ``path`` (its elements) is a member."""
    node = fields
    for element in path:
        below = node.get(element)
        if below is None:
            return False
        node = below
    return bool(path) and (not node or "." in node)


def paths(fields: FieldSet, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every member as a tuple of path elements; at each level the members come before the paths below them."""
    for key, node in fields.items():
        if key != "." and (not node or "." in node):
            yield (*prefix, key)
    for key, node in fields.items():
        if node:
            yield from paths(node, (*prefix, key))


def from_paths(members: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> FieldSet:
    """The set of these paths."""
    made: FieldSet = {}
    for path in members:
        node: FieldSet = {}
        for element in reversed(path):
            node = {element: node}
        made = union(made, node)
    return made


def from_names(members: tuple[tuple[str, ...], ...]) -> FieldSet:
    """The set of paths given as tuples of field names."""
    return from_paths([tuple("f:" + name for name in path) for path in members])


def format_path(path: tuple[str, ...]) -> str:
    """Format a path for messages: ``.spec.containers[name="web"].image``."""
    return "".join(map(_format_element, path))


def _format_element(element: str) -> str:
    kind, text = element[0], element[2:]
    if kind == "f":
        return "." + text
    if kind == "k":
        key = orjson.loads(text)
        return "[" + ",".join(f"{name}={json_text(key[name])}" for name in sorted(key)) + "]"
    return f"[={text}]" if kind == "v" else f"[{text}]"


def value_element(value: Any) -> str:
    """The path element of an item of a set. Raises ValueError for a number that JSON cannot represent here."""
    return "v:" + _encoded(_canonical(value))


def key_element(key: dict[str, Any]) -> str:
    """The path element of a list item with these key fields, which must be sorted. Raises ValueError like `value_element`."""
    return "k:" + _encoded({name: _canonical(value) for name, value in key.items()})


def _encoded(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise ValueError(str(error)) from error


def _canonical(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


def decode(fields: Any, depth: int = 0) -> FieldSet:
    """Decode a set that a client sent, into canonical form. Elements of unknown kinds are dropped.

    Raises ValueError when the value is not a set.
    """
    if not isinstance(fields, dict):
        raise ValueError("a set of fields must be a JSON object")
    if depth > _MAX_DEPTH:
        raise ValueError("a set of fields is nested too deeply")
    made: FieldSet = {}
    for key, below in fields.items():
        if key == ".":
            made[key] = {}
            continue
        element = _decode_element(key)
        if element is None:
            continue
        node = decode(below, depth + 1)
        if len(node) == 1 and "." in node:
            node = {}
        made[element] = node if element not in made else _union_of_nodes(made[element], node)
    return {key: made[key] for key in sorted(made)}


def _decode_element(key: str) -> str | None:
    if len(key) < 2:
        raise ValueError("key must be 2 characters long:")
    if key[1] != ":":
        raise ValueError(f"missing colon: {key}")
    kind, text = key[0], key[2:]
    if kind == "f":
        return key
    if kind == "v":
        return value_element(orjson.loads(text))
    if kind == "k":
        loaded = orjson.loads(text)
        if not isinstance(loaded, dict):
            raise ValueError(f"the key of a list item must be a JSON object: {key}")
        return key_element({name: loaded[name] for name in sorted(loaded)})
    if kind == "i":
        return f"i:{int(text)}"
    return None
