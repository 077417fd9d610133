"""The definitions of the API of negotiation, and their installation into logical clusters."""

from __future__ import annotations

from typing import Any, Final

from kcp.client import Client, NotFoundError
from kcp.multicluster.negotiation.api import GROUP, IMPORTS
from kcp.multicluster.packaged_definitions import PackagedDefinitions

INSTALLED_ANNOTATION: Final = f"{GROUP}/installed"
"""The digest of the manifest that was installed."""
_DEFINITIONS: Final = PackagedDefinitions(
    __package__, "definitions.yaml", annotation=INSTALLED_ANNOTATION, field_manager="api-negotiation"
)


def definitions() -> list[dict[str, Any]]:
    """Return the CustomResourceDefinitions of the API of negotiation."""
    return _DEFINITIONS.all()


def names() -> frozenset[str]:
    """Return the names of the definitions."""
    return _DEFINITIONS.names


async def install(client: Client) -> None:
    """Create the definitions that a logical cluster lacks. Raises StatusError, TransportError."""
    await _DEFINITIONS.install(client)


async def upgrade(client: Client, name: str) -> None:
    """Apply a definition to a logical cluster that has another release's, or imports but no such definition.

    Raises StatusError, TransportError.
    """
    if not await _DEFINITIONS.upgrade(client, name) and await _has_imports(client):
        await install(client)


async def _has_imports(client: Client) -> bool:
    try:
        return bool((await client.resource(IMPORTS).list(limit=1)).items)
    except NotFoundError:
        return False
