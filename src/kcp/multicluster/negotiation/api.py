"""The API of negotiation, ``apiresource.kcp.io/v1alpha1``: its resources, the names of their objects, and their fixed values."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from kcp.client import APIResource
from kcp.multicluster.crd_puller import CORE

GROUP: Final = "apiresource.kcp.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
IMPORTS: Final = APIResource(GROUP, VERSION, "apiresourceimports", "APIResourceImport", namespaced=False)
NEGOTIATED: Final = APIResource(GROUP, VERSION, "negotiatedapiresources", "NegotiatedAPIResource", namespaced=False)

FINALIZER: Final = f"{GROUP}/published-definition"
"""The finalizer of a NegotiatedAPIResource: its definition is withdrawn before it goes."""
API_VERSION_ANNOTATION: Final = f"{GROUP}/apiVersion"
"""The ``apiVersion`` of the resource, for the column of that name: group and version are two fields."""
DIGEST_ANNOTATION: Final = f"{GROUP}/digest"
"""The digest of what an import records, so that an unchanged one is not written again."""


class UpdateStrategy(StrEnum):
    """Whether an import may narrow the negotiated API: never, before it is published, or always."""

    NEVER = "UpdateNever"
    UNPUBLISHED = "UpdateUnpublished"
    PUBLISHED = "UpdatePublished"

    def may_narrow(self, *, published: bool) -> bool:
        """Whether an import of this strategy may narrow an API that is published or not."""
        return self is UpdateStrategy.PUBLISHED or (self is UpdateStrategy.UNPUBLISHED and not published)


def import_name(plural: str, location: str, version: str, group: str) -> str:
    """Return the name of the import of a resource from a location."""
    return f"{plural}.{location}.{version}.{group or CORE}"


def negotiated_name(plural: str, version: str, group: str) -> str:
    """Return the name of the NegotiatedAPIResource of a resource."""
    return f"{plural}.{version}.{group or CORE}"


def strategy_of(text: Any) -> UpdateStrategy:
    """Return a strategy by its name; the strictest one for an unknown name."""
    try:
        return UpdateStrategy(text)
    except ValueError:
        return UpdateStrategy.NEVER
