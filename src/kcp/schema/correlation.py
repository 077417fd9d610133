"""Correlation of new values with old values, for validation ratcheting and CEL transition rules.

Follows apiserver's CorrelatedObject (KEP-4008): maps correlate by key, lists of type ``map`` by the keys of their items, other
lists only as a whole.
"""

from typing import Any

from kcp.schema.nodes import SchemaNode
from kcp.schema.value_predicates import deep_equals


class Correlation:
    """A new value, its old value, and the schema that correlates their children."""

    __slots__ = ("_old_items", "_unchanged", "new", "node", "old")

    def __init__(self, new: Any, old: Any, node: SchemaNode) -> None:
        self.new = new
        self.old = old
        self.node = node
        self._unchanged: bool | None = None
        self._old_items: dict[Any, Any] | None = None

    def key(self, name: str) -> "Correlation | None":
        """The correlation of a field or map entry; None if there is no old value."""
        if type(self.old) is not dict or type(self.new) is not dict or name not in self.old or name not in self.new:
            return None
        child = self.node.child_for(name)
        return Correlation(self.new[name], self.old[name], child) if child is not None else None

    def index(self, index: int) -> "Correlation | None":
        """The correlation of a list item; None if the list is not of type ``map`` or the item is new."""
        if type(self.old) is not list or type(self.new) is not list or self.node.list_type != "map":
            return None
        identity = _identity(self.new[index], self.node.list_keys)
        if identity is None or self.node.items is None:
            return None
        if self._old_items is None:
            items: dict[Any, Any] = {}
            for item in self.old:
                key = _identity(item, self.node.list_keys)
                if key is not None:
                    items.setdefault(key, item)
            self._old_items = items
        old = self._old_items.get(identity)
        return Correlation(self.new[index], old, self.node.items) if old is not None else None

    @property
    def unchanged(self) -> bool:
        """Whether the new value is equivalent to the old value."""
        if self._unchanged is None:
            self._unchanged = self._compare()
        return self._unchanged

    def _compare(self) -> bool:
        new, old = self.new, self.old
        if deep_equals(new, old):
            return True
        if type(new) is dict and type(old) is dict:
            if new.keys() != old.keys():
                return False
            for name in new:
                child = self.key(name)
                if not (child.unchanged if child is not None else deep_equals(new[name], old[name])):
                    return False
            return True
        if type(new) is list and type(old) is list and self.node.list_type == "map" and len(new) == len(old):
            children = [self.index(index) for index in range(len(new))]
            return all(child is not None and child.unchanged for child in children)
        return False


def _identity(value: Any, names: tuple[str, ...]) -> Any:
    if type(value) is not dict:
        return None
    found = tuple(value.get(name) for name in names)
    if not all(type(part) in (str, int, float, bool) for part in found):
        return None
    return tuple((type(part), part) for part in found)
