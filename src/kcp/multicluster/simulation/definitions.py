"""The definitions of the types of a simulated cluster, made from ``types.yaml``, and their installation."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

from kcp.api.kinds import GroupVersionKind
from kcp.client import APIResource, Client
from kcp.client.resources import APISubresource
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS, definition_of

_FIELD_MANAGER: Final = "simulated-cluster"
_POLL: Final = 0.02
"""Seconds between checks whether the definitions are established."""


@cache
def definitions() -> tuple[dict[str, Any], ...]:
    """Return the CustomResourceDefinitions of a simulated cluster. Callers do not change them."""
    text = resources.files(__package__).joinpath("types.yaml").read_text()
    return tuple(_definition(each) for each in yaml.load(text, Loader=yaml.CSafeLoader)["types"])


def _definition(declared: dict[str, Any]) -> dict[str, Any]:
    kind = GroupVersionKind(declared["group"], declared["version"], declared["kind"])
    resource = APIResource(
        kind.group,
        kind.version,
        declared["plural"],
        kind.kind,
        namespaced=declared.get("namespaced", True),
        singular=declared.get("singular", ""),
        short_names=tuple(declared.get("short", ())),
        categories=tuple(declared.get("categories", ())),
        subresources={name: APISubresource(name, kind) for name in declared.get("subresources", ())},
    )
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        **declared["properties"],
    }
    return definition_of(resource, {"type": "object", "properties": properties})


async def install(client: Client) -> None:
    """Create or update the definitions, and wait until all types are served. Raises StatusError, TransportError."""
    wanted = definitions()
    await asyncio.gather(*(_apply(client, definition) for definition in wanted))
    missing = {definition["metadata"]["name"] for definition in wanted}
    while True:
        for item in (await client.resource(CUSTOM_RESOURCE_DEFINITIONS).list_all()).items:
            if _is_established(item):
                missing.discard(item["metadata"]["name"])
        if not missing:
            return
        await asyncio.sleep(_POLL)


async def _apply(client: Client, definition: dict[str, Any]) -> None:
    await client.resource(CUSTOM_RESOURCE_DEFINITIONS).apply(definition, field_manager=_FIELD_MANAGER, force=True)


def _is_established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions", ())
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
