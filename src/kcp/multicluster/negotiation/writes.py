"""The requests with which the controller changes a logical cluster. Each is conditional on the state that it was decided from."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kcp.api.kinds import GroupVersion
from kcp.client import (
    ALL_NAMESPACES,
    APIResource,
    Client,
    NotFoundError,
    StatusError,
)
from kcp.multicluster.conditions import Condition, with_conditions
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.negotiation.api import API_VERSION_ANNOTATION, FINALIZER, NEGOTIATED, negotiated_name
from kcp.multicluster.negotiation.publishing import served_versions, was_established
from kcp.multicluster.negotiation.records import API, Negotiated, Record
from kcp.multicluster.negotiation.specs import CommonSpec
from kcp.multicluster.negotiation.withdrawal import closed, reopened
from kcp.schema.raw_schemas import Definition, schema, text

FIELD_MANAGER: Final = "api-negotiation"
_REFUSED: Final = (400, 403, 413, 422)
"""The codes of responses that refuse a definition: it is malformed, not allowed, too large or invalid."""


async def create_negotiated(
    client: Client, api: API, version: str, spec: CommonSpec, *, publish: bool
) -> dict[str, Any]:
    """Create the negotiated resource of a version. Returns it."""
    metadata = {
        "name": negotiated_name(api.plural, version, api.group),
        "annotations": {API_VERSION_ANNOTATION: str(GroupVersion(api.group, version))},
        "finalizers": [FINALIZER],
    }
    body = {"metadata": metadata, "spec": {**spec.fields(), "publish": publish}}
    return await client.resource(NEGOTIATED).create(body, field_manager=FIELD_MANAGER)


async def update_negotiated(client: Client, found: Negotiated, spec: CommonSpec, *, publish: bool) -> dict[str, Any]:
    """Write the spec of a negotiated resource, and the finalizer if it lacks it. Returns it."""
    patch = [*_same_state(found), {"op": "add", "path": "/spec", "value": {**spec.fields(), "publish": publish}}]
    if FINALIZER not in found.finalizers:
        patch.append({"op": "add", "path": "/metadata/finalizers", "value": [*found.finalizers, FINALIZER]})
    return await client.resource(NEGOTIATED).patch(found.name, patch, field_manager=FIELD_MANAGER)


async def remove_negotiated(client: Client, found: Negotiated) -> None:
    """Remove a negotiated resource: its finalizer, and the resource unless it is being deleted."""
    resource = client.resource(NEGOTIATED)
    try:
        if FINALIZER in found.finalizers:
            others = [each for each in found.finalizers if each != FINALIZER]
            patch = [*_same_state(found), {"op": "add", "path": "/metadata/finalizers", "value": others}]
            await resource.patch(found.name, patch, field_manager=FIELD_MANAGER)
        if not found.deleting:
            await resource.delete(found.name, uid=found.uid)
    except NotFoundError:
        return


def _same_state(found: Record) -> list[dict[str, Any]]:
    """The operation that makes a patch conditional on the state of an object."""
    return [{"op": "replace", "path": "/metadata/resourceVersion", "value": found.resource_version}]


async def write_conditions(client: Client, resource: APIResource, found: Record, wanted: Sequence[Condition]) -> bool:
    """Write the conditions of an object that differ. Returns whether there were any."""
    conditions = with_conditions(list(found.conditions), wanted, found.generation)
    if conditions is None:
        return False
    patch = {"metadata": {"resourceVersion": found.resource_version}, "status": {"conditions": conditions}}
    await client.resource(resource).patch(found.name, patch, subresource="status", field_manager=FIELD_MANAGER)
    return True


async def read_definition(client: Client, api: API) -> Definition | None:
    """Return the definition of an API; None if there is none."""
    try:
        return await client.resource(CUSTOM_RESOURCE_DEFINITIONS).get(api.definition)
    except NotFoundError:
        return None


async def write_definition(
    client: Client, before: Definition | None, wanted: Definition
) -> tuple[Definition | None, str]:
    """Create or replace a definition. Returns it, or the present one and why the server refuses the wanted one."""
    resource = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
    try:
        if before is None:
            return await resource.create(wanted, field_manager=FIELD_MANAGER), ""
        return await resource.replace(wanted, field_manager=FIELD_MANAGER), ""
    except StatusError as error:
        if error.code not in _REFUSED:
            raise
        return before, str(error)


async def withdraw_definition(client: Client, definition: Definition) -> Definition | None:
    """Delete a definition that has no objects; until that is certain, it accepts none. Returns it where it has objects."""
    resource = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
    if was_established(definition):
        if not await _has_objects(client, definition):
            definition = await resource.replace(closed(reopened(definition)), field_manager=FIELD_MANAGER)
        if await _has_objects(client, definition):
            before = reopened(definition)
            return definition if before == definition else await resource.replace(before, field_manager=FIELD_MANAGER)
    meta: Mapping[str, Any] = definition["metadata"]
    with contextlib.suppress(NotFoundError):
        await resource.delete(meta["name"], uid=meta["uid"], resource_version=meta["resourceVersion"])
    return None


async def _has_objects(client: Client, definition: Definition) -> bool:
    """Return whether there may be objects of a definition. Raises StatusError where that cannot be read."""
    version = next(iter(served_versions(definition)), None)
    if version is None:
        return True  # they cannot be listed
    spec = schema(definition, "spec") or {}
    names = schema(spec, "names") or {}
    resource = APIResource(
        text(spec, "group"),
        version,
        text(names, "plural"),
        text(names, "kind"),
        namespaced=text(spec, "scope") != "Cluster",
    )
    page = await client.resource(resource, ALL_NAMESPACES).list(limit=1, metadata_only=True)
    return bool(page.items)
