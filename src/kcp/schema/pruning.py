"""Pruning of unknown fields.

Follows apiextensions-apiserver's pruning and schema/objectmeta: ``x-kubernetes-preserve-unknown-fields`` preserves undeclared
fields (declared ones are still pruned inside), an embedded resource preserves apiVersion, kind and metadata, and metadata is
pruned to ObjectMeta and, in an embedded resource, normalized. A pruner takes a dict or list, changes it in place, and returns the
paths of the removed fields relative to it, or None.
"""

import re
from collections.abc import Callable
from itertools import compress, islice
from typing import Any, Final

from kcp.schema.nodes import META_FIELDS, SchemaNode
from kcp.schema.object_meta import coerce_object_meta, prune_object_meta

MAX_PATHS: Final = 100
"""How many unknown fields are reported; all are removed (sigs.k8s.io/json has the same limit on strict errors)."""
Found = list[str] | None
Pruner = Callable[[Any], Found]
_is_container: Final = frozenset({dict, list}).__contains__
_STEP: Final = re.compile(r"[.\[]")
"""What separates the steps of a path."""


def prune_unknown(value: Any) -> Found:
    """Prune a value without a schema: all fields are removed, list items are kept and emptied."""
    if type(value) is dict:
        found = ["." + str(key) for key in islice(value, MAX_PATHS)]
        value.clear()
        return found or None
    return _prune_each(value, prune_unknown)


def pruner(node: SchemaNode) -> Pruner:
    """The pruning function of a node."""
    return _function(node, "prune", _make)


def _keeper(node: SchemaNode) -> Pruner:
    return _function(node, "keep", lambda node: _make(node, keep=True))


def is_below_preserved(node: SchemaNode, path: str) -> bool:
    """Whether a field, at a path such as ``spec.list[2].bar``, is below a node that preserves unknown fields, however far."""
    below: SchemaNode | None = node
    for step in _STEP.split(path):
        if below is None:
            return False
        if below.preserves_unknown:
            return True
        below = below.items if step.endswith("]") else below.child_for(step)
    return False


def _function(node: SchemaNode, name: str, make: Callable[[SchemaNode], Pruner]) -> Pruner:
    function = node.functions.get(name)
    if function is None:
        function = node.functions[name] = make(node)
    return function


def _prune_each(values: list[Any], prune: Pruner) -> Found:
    found: Found = None
    for index, value in enumerate(values):
        if type(value) is dict or type(value) is list:
            deeper = prune(value)
            if deeper:
                found = found or []
                if len(found) < MAX_PATHS:
                    found += [f"[{index}]{path}" for path in deeper]
    return found


def _keep_all(_: Any) -> Found:
    return None


def _make(node: SchemaNode, *, keep: bool = False) -> Pruner:
    keep = keep or node.preserves_unknown
    children: dict[str, Pruner] = {}
    if node.embedded or node.is_root:
        children.update(dict.fromkeys(META_FIELDS, _keep_all))
        children["metadata"] = prune_object_meta if node.is_root else coerce_object_meta
    embedded = node.embedded and not node.is_root
    declared = node.property_schemas
    known = frozenset(declared) | children.keys()
    otherwise = _undeclared(node, keep=keep)
    prune_list = _list_pruner(node, keep=keep)
    get = children.get

    def prune(value: Any) -> Found:
        if type(value) is not dict:
            return prune_list(value)
        if embedded and "metadata" not in declared and value.get("metadata", value) is None:
            value["metadata"] = {}
        unknown: Found = None
        if otherwise is None and not known.issuperset(value):
            unknown = _drop(value, known)
        found: Found = None
        for key in compress(value, map(_is_container, map(type, value.values()))):
            inner = get(key)
            if inner is None:
                if key in declared:
                    inner = children[key] = pruner(node.property(key))
                else:
                    assert otherwise is not None
                    inner = otherwise
            deeper = inner(value[key])
            if deeper:
                found = found or []
                if len(found) < MAX_PATHS:
                    found += [f".{key}{path}" for path in deeper]
        return (found or []) + unknown if unknown else found

    return prune


def _drop(value: dict[str, Any], known: frozenset[str]) -> list[str]:
    unknown = [key for key in value if key not in known]
    for key in unknown:
        del value[key]
    return ["." + key for key in unknown[:MAX_PATHS]]


def _undeclared(node: SchemaNode, *, keep: bool) -> Pruner | None:
    """The pruner of undeclared fields; None if they are removed."""
    if node.additional is not None:
        return _later(node.additional)
    if node.has_additional:
        return prune_unknown
    return _keep_all if keep else None


def _list_pruner(node: SchemaNode, *, keep: bool) -> Pruner:
    items = node.items
    if items is None:
        return _keep_all if keep else lambda values: _prune_each(values, prune_unknown)
    of = _keeper if keep else pruner
    return lambda values: _prune_each(values, of(items))


def _later(node: SchemaNode) -> Pruner:
    """A pruner that is made on first use, since schemas may be recursive."""

    def prune(value: Any) -> Found:
        return pruner(node)(value)

    return prune
