"""The definitions and parameters that are the same for all types; their table is ``shared.yaml``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from kcp.api import packaged_yaml
from kcp.schema.openapi import publish_v2, publish_v3


class Shared(NamedTuple):
    """``definitions`` are raw schemas by full name; ``names`` leads from a short name to the full one."""

    definitions: dict[str, dict[str, Any]]
    names: dict[str, str]
    parameters: dict[str, dict[str, str]]


@cache
def shared() -> Shared:
    """The table, read once."""
    content = packaged_yaml.load(files(__package__).joinpath("shared.yaml").read_bytes())
    definitions: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    for package, kinds in content["definitions"].items():
        for kind, schema in kinds.items():
            definitions[f"{package}.{kind}"] = schema
            names[kind] = f"{package}.{kind}"
    return Shared(definitions, names, content["parameters"])


def full_name(kind: str) -> str:
    """The full name of a shared definition. Raises KeyError for others."""
    return shared().names[kind]


@cache
def published(name: str, *, swagger: bool) -> dict[str, Any]:
    """A shared definition as OpenAPI shows it, by its full name. The result is shared: do not change it."""
    publish = publish_v2 if swagger else publish_v3
    found = publish(shared().definitions[name], full_name)
    if name == full_name("IntOrString") and not swagger:
        found = {
            "description": found["description"],
            "format": "int-or-string",
            "oneOf": [{"type": "integer"}, {"type": "string"}],
        }
    if name == full_name("Quantity") and not swagger:
        found = {"description": found["description"], "oneOf": [{"type": "string"}, {"type": "number"}]}
    return found
