"""The imports of a Cluster: which resources of it are known to its logical cluster."""

from __future__ import annotations

from kcp.api.kinds import GroupResource
from kcp.client import Client, NotFoundError
from kcp.multicluster.negotiation.api import IMPORTS
from kcp.schema.raw_schemas import schema, text


async def imported_resources(upstream: Client, location: str) -> frozenset[GroupResource]:
    """Return the resources that were imported from a location. Raises StatusError, ClientError."""
    try:
        listed = await upstream.resource(IMPORTS).list_all(field_selector={"spec.location": location})
    except NotFoundError:
        return frozenset()  # a logical cluster without the API of negotiation
    specs = [schema(each, "spec") or {} for each in listed.items]
    return frozenset(
        GroupResource(text(schema(spec, "groupVersion") or {}, "group"), text(spec, "plural")) for spec in specs
    )
