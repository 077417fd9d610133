"""Reads the YAML files that belong to kcp: declarations of types, default roles, tables.

The parser is libyaml's. The values are made here: PyYAML's constructor, which can make any object, takes nearly as long as the
parser, and a start waits for the declarations of all built-in types. The files contain names, strings, decimal numbers, booleans,
null, lists, mappings, anchors and merge keys; anything else is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

_PREFIX: Final = "tag:yaml.org,2002:"
_MERGE: Final = _PREFIX + "merge"


def load(text: bytes) -> Any:
    """Return the value of a file with one document. Aliases of one anchor are one object. Raises ValueError."""
    values = load_all(text)
    if len(values) != 1:
        raise ValueError(f"a file of kcp with one document has {len(values)}")
    return values[0]


def load_all(text: bytes) -> list[Any]:
    """Return the values of all documents of a file. Raises ValueError."""
    return [_value(node, {}) for node in yaml.compose_all(text, Loader=yaml.CSafeLoader)]


def _value(node: Node, made: dict[int, Any]) -> Any:
    """The value of a node. ``made`` has the lists and mappings of the document so far, by the identity of their nodes."""
    if type(node) is ScalarNode:
        text: str = node.value
        return text if node.tag == _STRING else _scalar(node.tag, text)
    found = made.get(id(node))
    if found is None:
        if type(node) is MappingNode:
            found = made[id(node)] = {}
            _fill(found, node, made)
        else:
            found = made[id(node)] = [_value(item, made) for item in node.value]
    return found


def _fill(mapping: dict[str, Any], node: MappingNode, made: dict[int, Any]) -> None:
    """Set the members of a mapping: those that it merges come first, its own take precedence."""
    for key, value in node.value:
        if key.tag == _MERGE:
            mapping |= _value(value, made)
    for key, value in node.value:
        if key.tag == _STRING:
            mapping[key.value] = _value(value, made)
        elif key.tag != _MERGE:
            raise ValueError(f"a key in a file of kcp is a string: {key.value!r}")


def _scalar(tag: str, text: str) -> Any:
    make = _SCALARS.get(tag)
    if make is None:
        raise ValueError(f"a {tag.removeprefix(_PREFIX)} is not expected in a file of kcp: {text!r}")
    return make(text)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"a boolean in a file of kcp is true or false: {text!r}")
    return text == "true"


def _integer(text: str) -> int:
    value = int(text)
    if str(value) != text:
        raise ValueError(f"a whole number in a file of kcp is written in decimal form: {text!r}")
    return value


_STRING: Final = _PREFIX + "str"
_SCALARS: Final[dict[str, Callable[[str], Any]]] = {
    _PREFIX + "int": _integer,
    _PREFIX + "float": float,
    _PREFIX + "bool": _boolean,
    _PREFIX + "null": lambda _: None,
}
