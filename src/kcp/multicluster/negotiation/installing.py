"""The definitions of the API of negotiation, and their installation into logical clusters."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson
import yaml

from kcp.client import AlreadyExistsError, Client, NotFoundError
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.negotiation.api import GROUP, IMPORTS

INSTALLED_ANNOTATION: Final = f"{GROUP}/installed"
"""The digest of the manifest that was installed."""
_FIELD_MANAGER: Final = "api-negotiation"


@cache
def _manifests() -> tuple[bytes, ...]:
    text = resources.files(__package__).joinpath("definitions.yaml").read_text()
    return tuple(orjson.dumps(each) for each in yaml.load(text, Loader=yaml.CSafeLoader)["items"])


def definitions() -> list[dict[str, Any]]:
    """Return the CustomResourceDefinitions of the API of negotiation."""
    found = []
    for manifest in _manifests():
        definition = orjson.loads(manifest)
        definition["metadata"]["annotations"] = {INSTALLED_ANNOTATION: hashlib.sha256(manifest).hexdigest()[:32]}
        found.append(definition)
    return found


@cache
def names() -> frozenset[str]:
    """Return the names of the definitions."""
    return frozenset(each["metadata"]["name"] for each in definitions())


async def install(client: Client) -> None:
    """Create the definitions that a logical cluster lacks. Raises StatusError, TransportError."""
    resource = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
    for definition in definitions():
        try:
            await resource.get(definition["metadata"]["name"])
        except NotFoundError:
            try:
                await resource.create(definition, field_manager=_FIELD_MANAGER)
            except AlreadyExistsError:
                continue  # another process has just installed it


async def upgrade(client: Client, name: str) -> None:
    """Apply a definition to a logical cluster that has another release's, or imports but no such definition.

    Raises StatusError, TransportError.
    """
    resource = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
    (definition,) = (each for each in definitions() if each["metadata"]["name"] == name)
    try:
        found = await resource.get(name)
    except NotFoundError:
        if await _has_imports(client):
            await install(client)
        return
    installed = (found["metadata"].get("annotations") or {}).get(INSTALLED_ANNOTATION)
    if installed != definition["metadata"]["annotations"][INSTALLED_ANNOTATION]:
        await resource.apply(definition, field_manager=_FIELD_MANAGER, force=True)


async def _has_imports(client: Client) -> bool:
    try:
        return bool((await client.resource(IMPORTS).list(limit=1)).items)
    except NotFoundError:
        return False
