"""The built-in types with their strategies, as resource types."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from kcp.api.protobuf import messages
from kcp.builtin.context import BuiltinContext, Definition
from kcp.builtin.loader import BuiltinType, load_groups, load_messages, load_types
from kcp.builtin.strategy import BuiltinStrategy
from kcp.registry.documents import groups
from kcp.registry.types.resource_types import ResourceType, from_definition


def builtin_types(context: BuiltinContext) -> list[ResourceType]:
    """Every built-in type, with a strategy that uses the given context.

    Also declares the groups and the protobuf messages (`declare`). Raises AttributeError where the module of a type does not
    define the strategy that is named after the kind.
    """
    declare()
    declared = load_types()
    context = replace(context, reserved=[_names(entry.definition) for entry in declared if not _is_placeholder(entry)])
    types: list[ResourceType] = []
    for entry in declared:
        strategy = _strategy(entry, context)
        found = from_definition(entry.definition, strategy=strategy, builtin=True)
        types.extend(_with_types_of_subresources(type_, strategy) for type_ in found)
    return types


def declare() -> None:
    """Register the declared groups with discovery and OpenAPI, and the declared messages with protobuf."""
    groups.declare(load_groups)
    messages.declare(load_messages)


def _strategy(entry: BuiltinType, context: BuiltinContext) -> BuiltinStrategy:
    if entry.package is None:
        return BuiltinStrategy(context)
    name = f"{entry.definition['spec']['names']['kind']}Strategy"
    strategy: BuiltinStrategy = getattr(import_module(entry.package), name)(context)
    return strategy


def _with_types_of_subresources(type_: ResourceType, strategy: BuiltinStrategy) -> ResourceType:
    loaders = {name: load for name in type_.subresources if (load := strategy.type_of_subresource(name)) is not None}
    if not loaders:
        return type_
    changed = {name: replace(type_.subresources[name], load_type=load) for name, load in loaders.items()}
    return replace(type_, subresources={**type_.subresources, **changed})


def _is_placeholder(entry: BuiltinType) -> bool:
    return bool(entry.definition.get("x-kcp", {}).get("placeholder"))


def _names(definition: Definition) -> Definition:
    """The group and the names of a declaration, as a definition whose names are accepted."""
    spec = definition["spec"]
    return {"spec": {"group": spec["group"]}, "status": {"acceptedNames": spec["names"]}}
