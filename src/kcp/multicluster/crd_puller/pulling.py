"""Pulling the definitions of a cluster's resources."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from kcp.api.kinds import GroupResource
from kcp.client import APIResource, Client, NotFoundError
from kcp.multicluster.crd_puller.definitions import CORE, definition_of, name_of
from kcp.multicluster.crd_puller.openapi import OpenAPISchemas
from kcp.multicluster.crd_puller.structural import RecursiveSchemaError, structural_schema

_DEFINITIONS: Final = APIResource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
_OWN_ANNOTATIONS: Final = ("kubectl.kubernetes.io/last-applied-configuration",)


class UnknownResourceError(LookupError):
    """A resource that was asked for by name is not served, or its name is that of several."""


class Pulled(NamedTuple):
    """The definitions, and for each resource without one the reason."""

    definitions: list[dict[str, Any]]
    skipped: dict[str, str]


async def pull(client: Client, names: Sequence[str] = (), *, served: Collection[GroupResource] = ()) -> Pulled:
    """Return the definitions of resources named ``<plural>`` or ``<plural>.<group>``; without names, of all but ``served``.

    Each resource is pulled in the version that its cluster prefers. Raises UnknownResourceError, StatusError, TransportError.
    """
    discovered = [resource for resource in (await client.discovery.all()).preferred() if "get" in resource.verbs]
    chosen = [_find(discovered, name) for name in names]
    if not names:
        chosen = [resource for resource in discovered if resource.group_resource not in served]
    own = {definition["metadata"]["name"]: definition for definition in await _definitions(client)}
    schemas = OpenAPISchemas(client)
    pulled = Pulled([], {})
    for resource in dict.fromkeys(chosen):
        name = name_of(resource.group, resource.plural)
        try:
            definition = own.get(name)
            found = await _convert(schemas, resource) if definition is None else _as_it_is(definition)
        except (RecursiveSchemaError, LookupError) as error:
            pulled.skipped[name] = str(error)
        else:
            pulled.definitions.append(found)
    return pulled


def _find(discovered: Sequence[APIResource], name: str) -> APIResource:
    plural, dot, group = name.partition(".")
    group = "" if group == CORE else group
    found = [resource for resource in discovered if resource.plural == plural and (not dot or resource.group == group)]
    if not found:
        raise UnknownResourceError(f'the cluster serves no resource "{name}": say <plural> or <plural>.<group>')
    if len(found) > 1:
        known = ", ".join(name_of(resource.group, resource.plural) for resource in found)
        raise UnknownResourceError(f'"{name}" is a resource of several groups: say one of {known}')
    return found[0]


async def _definitions(client: Client) -> list[dict[str, Any]]:
    try:
        return (await client.resource(_DEFINITIONS).list_all()).items
    except NotFoundError:
        return []  # a server without CustomResourceDefinitions


def _as_it_is(definition: dict[str, Any]) -> dict[str, Any]:
    """Return a cluster's own definition without what belongs to the cluster."""
    metadata: dict[str, Any] = {"name": definition["metadata"]["name"]}
    for field in ("annotations", "labels"):
        values = definition["metadata"].get(field) or {}
        if kept := {key: value for key, value in values.items() if key not in _OWN_ANNOTATIONS}:
            metadata[field] = kept
    return {
        "apiVersion": _DEFINITIONS.api_version,
        "kind": _DEFINITIONS.kind,
        "metadata": metadata,
        "spec": copy.deepcopy(definition["spec"]),
    }


async def _convert(schemas: OpenAPISchemas, resource: APIResource) -> dict[str, Any]:
    components, name = await schemas.of_kind(resource.group_version_kind)
    return definition_of(resource, structural_schema(components, name))
