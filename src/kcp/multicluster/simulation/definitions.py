"""The definitions of the types of a simulated cluster, made from ``types.yaml``, and their installation."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

from kcp.api.kinds import GroupVersionKind
from kcp.client import APIResource, Change, Client, Informer
from kcp.client.resources import APISubresource
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS, definition_of

_FIELD_MANAGER: Final = "simulated-cluster"


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
    missing, served = {definition["metadata"]["name"] for definition in wanted}, asyncio.Event()

    def on_change(change: Change) -> None:
        if change.new is not None and _is_established(change.new.decode()):
            missing.discard(change.key.name)
            if not missing:
                served.set()

    informer = Informer(client.resource(CUSTOM_RESOURCE_DEFINITIONS), client.cluster_of_objects, transform=_status_only)
    informer.add_handler(on_change)
    informer.start()
    try:
        await asyncio.gather(*(_apply(client, definition) for definition in wanted))
        await served.wait()
    finally:
        await informer.stop()


def _status_only(definition: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": definition["metadata"], "status": definition.get("status", {})}


async def _apply(client: Client, definition: dict[str, Any]) -> None:
    await client.resource(CUSTOM_RESOURCE_DEFINITIONS).apply(definition, field_manager=_FIELD_MANAGER, force=True)


def _is_established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions", ())
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
