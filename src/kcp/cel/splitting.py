"""Splitting of long expressions, so that each is generated as several functions.

Python compiles one function in one call that holds the interpreter lock, and an expression may have 100,000 characters. Chains of
``&&`` and ``||``, list literals and map literals are the only expressions whose length has no limit by nesting.
"""

from typing import Final

from kcp.cel.syntax import Call, ListLiteral, MapLiteral, Node
from kcp.cel.types import BOOL

MAX_FUNCTION_SIZE: Final = 4000
"""How many characters a generated function has before the next part becomes another function."""
_PART_SIZE: Final = 32


class ListPart(ListLiteral):
    """Some of the elements of a list literal; it costs what its elements cost."""


class MapPart(MapLiteral):
    """Some of the entries of a map literal; it costs what its entries cost."""


def split(node: Node) -> list[Node]:
    """The parts of a long list or map literal, at most `_PART_SIZE`; empty for any other expression."""
    parts: list[Node] = []
    if isinstance(node, ListLiteral):
        elements, optional = node.elements, node.optional
        parts = [ListPart(node.offset, elements[part], optional[part]) for part in _slices(len(elements))]
    elif isinstance(node, MapLiteral):
        parts = [MapPart(node.offset, node.entries[part]) for part in _slices(len(node.entries))]
    for each in parts:
        each.type = node.type
    return parts


def _slices(length: int) -> list[slice]:
    if length <= _PART_SIZE:
        return []
    size = -(-length // _PART_SIZE)
    return [slice(at, at + size) for at in range(0, length, size)]


def group_terms(node: Call) -> Call:
    """A chain of ``&&`` or ``||`` with its terms in groups, at most `_PART_SIZE` at each level."""
    terms = node.args
    while len(terms) > _PART_SIZE:
        groups: list[Node] = []
        for at in range(0, len(terms), _PART_SIZE):
            group = Call(node.offset, node.function, terms[at : at + _PART_SIZE])
            group.type = BOOL
            groups.append(group)
        terms = groups
    grouped = Call(node.offset, node.function, terms)
    grouped.type = BOOL
    return grouped
