"""Removal of fields that a schema does not know.

Follows apiextensions-apiserver's pruning: ``x-kubernetes-preserve-unknown-fields`` keeps what is undeclared (and still prunes
inside what is declared), an embedded resource keeps apiVersion, kind and metadata, and metadata keeps what ObjectMeta knows.
A pruner takes a dict or list, changes it in place and returns the removed fields' paths relative to it, or None; so nothing
is spent on paths while there is nothing to report.
"""

from collections.abc import Callable
from typing import Any, Final

from kcp.schema.nodes import META_FIELDS, Node
from kcp.schema.object_meta import prune_object_meta

Found = list[str] | None
Pruner = Callable[[Any], Found]


def prune_unknown(value: Any) -> Found:
    """Prune below a place that no schema describes: no field stays, lists keep their (emptied) items."""
    if type(value) is dict:
        found = ["." + str(key) for key in value]
        value.clear()
        return found or None
    return _prune_each(value, prune_unknown)


def pruner(node: Node) -> Pruner:
    """The pruning function of a node."""
    return _function(node, "prune", _make)


def _keeper(node: Node) -> Pruner:
    return _function(node, "keep", lambda node: _make(node, keep=True))


def _function(node: Node, name: str, make: Callable[[Node], Pruner]) -> Pruner:
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
                found += [f"[{index}]{path}" for path in deeper]
    return found


def _keep_all(_: Any) -> Found:
    return None


def _make(node: Node, *, keep: bool = False) -> Pruner:
    keep = keep or node.preserves_unknown
    prune_map = _map_pruner(node, keep=keep)
    items = node.items

    def prune(value: Any) -> Found:
        if type(value) is dict:
            return prune_map(value)
        if items is not None:
            return _prune_each(value, _keeper(items) if keep else pruner(items))
        return None if keep else _prune_each(value, prune_unknown)

    return prune


def _map_pruner(node: Node, *, keep: bool) -> Pruner:
    children: dict[str, Pruner] = {}
    if node.embedded or node.is_root:
        children.update(dict.fromkeys(META_FIELDS, _keep_all))
        children["metadata"] = prune_object_meta
    declared = node.property_schemas
    additional = node.additional
    otherwise: Pruner | None = pruner(additional) if additional is not None else None
    if otherwise is None and node.has_additional:
        otherwise = prune_unknown
    if otherwise is None and keep:
        otherwise = _keep_all

    def prune(value: dict[str, Any]) -> Found:
        found: Found = None
        unknown: list[str] = []
        for key, child in value.items():
            inner = children.get(key)
            if inner is None:
                if key in declared:
                    inner = children[key] = pruner(node.property(key))
                elif otherwise is not None:
                    inner = otherwise
                else:
                    unknown.append(key)
                    continue
            if type(child) is dict or type(child) is list:
                deeper = inner(child)
                if deeper:
                    found = found or []
                    found += [f".{key}{path}" for path in deeper]
        for key in unknown:
            del value[key]
        if unknown:
            found = (found or []) + ["." + key for key in unknown]
        return found

    return prune


KEEP_EVERYTHING: Final[Pruner] = _keep_all
