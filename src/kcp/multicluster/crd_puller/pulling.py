"""Pulling of CustomResourceDefinitions from a cluster. The cluster is not trusted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kcp.api import documents
from kcp.api.kinds import GroupResource, GroupVersion
from kcp.client import APIResource, Client, NotFoundError, StatusError
from kcp.logical_clusters import ANNOTATION
from kcp.multicluster.crd_puller.definitions import CORE, definition_of, name_of
from kcp.multicluster.crd_puller.openapi import OpenAPISchemas
from kcp.multicluster.crd_puller.structural import UnconvertibleSchemaError, structural_schema
from kcp.schema.definitions.name_validation import object_name_errors
from kcp.schema.raw_schemas import schema, text

CUSTOM_RESOURCE_DEFINITIONS: Final = APIResource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
_PAGE: Final = 100
"""Definitions in a page of a list: each may have a megabyte."""
_OWN_ANNOTATIONS: Final = ("kubectl.kubernetes.io/last-applied-configuration", ANNOTATION)


class UnknownResourceError(LookupError):
    """A requested resource is not served, or its name is ambiguous."""


class AmbiguousResourceError(UnknownResourceError):
    """A requested name is that of resources of several groups."""


class MalformedDefinitionError(ValueError):
    """A CustomResourceDefinition of the cluster cannot be used."""


class Pulled(NamedTuple):
    """The definitions; by name, the reasons why resources have none; by name, what a definition has lost."""

    definitions: list[dict[str, Any]]
    skipped: dict[str, str]
    reduced: dict[str, str]


async def pull(client: Client, names: Sequence[str] = (), *, served: Collection[GroupResource] = ()) -> Pulled:
    """Return the definitions of resources named ``<plural>`` or ``<plural>.<group>``; without names, of all but ``served``.

    Each resource is pulled in the version that its cluster prefers. Raises UnknownResourceError, StatusError, TransportError.
    """
    discovered = [resource for resource in (await client.discovery.all()).preferred() if "get" in resource.verbs]
    chosen = _find_all(discovered, names)
    if not names:
        chosen = [resource for resource in discovered if resource.group_resource not in served]
    return await _pull(client, list(dict.fromkeys(chosen)))


class PulledVersions(NamedTuple):
    """The definitions; by name, why resources have none; which names the cluster does not serve, which versions were not read.

    Each version of a built-in type is a definition of its own.
    """

    definitions: list[dict[str, Any]]
    skipped: dict[str, str]
    missing: list[str]
    unread: Mapping[GroupVersion, str]

    def may_serve(self, plural: str, version: GroupVersion) -> bool:
        """Return whether the cluster may serve a resource that has no definition here: it could not be read."""
        return version in self.unread or name_of(version.group, plural) in self.skipped


async def pull_versions(
    client: Client, names: Sequence[str] = (), *, served: Collection[GroupResource] = ()
) -> PulledVersions:
    """Return the definitions of all versions of resources. Reads discovery again.

    As `pull`, but a name that the cluster does not serve is no error.
    """
    found = await client.discovery.refresh()
    discovered = [resource for resource in found.resources if "get" in resource.verbs]
    wanted = {resource.group_resource for resource in discovered} - set(served)
    missing = []
    if names:
        wanted = set()
        preferred = [resource for resource in found.preferred() if "get" in resource.verbs]
        for name in names:
            try:
                wanted.add(_find(preferred, name).group_resource)
            except AmbiguousResourceError:
                raise
            except UnknownResourceError:
                missing.append(name)
    pulled = await _pull(client, [resource for resource in discovered if resource.group_resource in wanted])
    return PulledVersions(pulled.definitions, pulled.skipped, missing, found.failed)


async def _pull(client: Client, chosen: Sequence[APIResource]) -> Pulled:
    """Return the definitions of resources. Those of a CRD of the cluster are one definition."""
    own = await _definitions(client)
    schemas = OpenAPISchemas(client)
    pulled = Pulled([], {}, {})
    copied = set()
    for resource in chosen:
        name = name_of(resource.group, resource.plural)
        if name in copied:
            continue
        try:
            _check_name(name, resource)
            if name in own:
                copied.add(name)
                found, loss = _portable(own[name], resource)
                if loss:
                    pulled.reduced[name] = loss
            else:
                found = await _convert(schemas, resource)
        except (UnconvertibleSchemaError, MalformedDefinitionError, LookupError) as error:
            pulled.skipped[name] = str(error)
        else:
            pulled.definitions.append(found)
    return pulled


def _check_name(name: str, resource: APIResource) -> None:
    """Refuse names that are not DNS subdomains: a name becomes the name of a file."""
    if problems := object_name_errors(name, resource.plural, resource.group):
        raise MalformedDefinitionError(f"the name is invalid: {'; '.join(problems)}")


def _find_all(discovered: Sequence[APIResource], names: Sequence[str]) -> list[APIResource]:
    """Return the resources of some names. Raises UnknownResourceError, whose message has every name that is not one's."""
    found, problems = [], []
    for name in names:
        try:
            found.append(_find(discovered, name))
        except UnknownResourceError as error:
            problems.append(str(error))
    if problems:
        raise UnknownResourceError("; ".join(problems))
    return found


def _find(discovered: Sequence[APIResource], name: str) -> APIResource:
    plural, dot, group = name.partition(".")
    group = "" if group == CORE else group
    found = [resource for resource in discovered if resource.plural == plural and (not dot or resource.group == group)]
    if not found:
        raise UnknownResourceError(f'the cluster serves no resource "{name}": give <plural> or <plural>.<group>')
    if len(found) > 1:
        known = ", ".join(name_of(resource.group, resource.plural) for resource in found)
        raise AmbiguousResourceError(f'"{name}" is a resource of several groups: give one of {known}')
    return found[0]


async def _definitions(client: Client) -> dict[str, dict[str, Any]]:
    """Return the CustomResourceDefinitions of the cluster by name."""
    try:
        items = (await client.resource(CUSTOM_RESOURCE_DEFINITIONS).list_all(limit=_PAGE)).items
    except NotFoundError:
        return {}  # a server without CustomResourceDefinitions
    return {name: item for item in items if (name := text(schema(item, "metadata") or {}, "name"))}


def _portable(definition: dict[str, Any], resource: APIResource) -> tuple[dict[str, Any], str]:
    """Return a cluster's own definition without the parts that belong to the cluster, and what a user has to know about that.

    A conversion webhook is a service of the cluster, so only one version is kept: the storage version, or the preferred one if
    that is not served. Without conversion, objects of other versions would lose the fields that the versions do not share.
    """
    spec = _spec(definition, resource)
    loss = ""
    if text(schema(spec, "conversion") or {}, "strategy") == "Webhook":
        del spec["conversion"]
        served = [version for version in spec["versions"] if version.get("served")]
        stored = [version for version in served if version.get("storage")]
        kept = (stored or [version for version in served if version.get("name") == resource.version])[:1]
        if not kept:
            raise MalformedDefinitionError(
                "none of its served versions is the storage version or the preferred version"
            )
        spec["versions"] = [{**version, "storage": True} for version in kept]
        loss = f"only version {kept[0].get('name')} is kept: the conversion webhook is a service of the cluster"
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITIONS.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITIONS.kind,
        "metadata": _metadata(definition["metadata"]),
        "spec": spec,
    }, loss


def _metadata(meta: dict[str, Any]) -> dict[str, Any]:
    """Return the name, and the annotations and labels that are strings and do not belong to the cluster."""
    found: dict[str, Any] = {"name": meta["name"]}
    for field in ("annotations", "labels"):
        texts = {key: value for key, value in (schema(meta, field) or {}).items() if isinstance(value, str)}
        if retained := {key: value for key, value in texts.items() if key not in _OWN_ANNOTATIONS}:
            found[field] = retained
    return found


def _spec(definition: dict[str, Any], resource: APIResource) -> dict[str, Any]:
    """Return a copy of a definition's spec. Raises MalformedDefinitionError where it does not define the resource."""
    try:
        spec, _ = documents.decode_json(documents.encode(definition.get("spec")))
    except (TypeError, StatusError):
        raise MalformedDefinitionError("the spec of its CustomResourceDefinition is nested too deeply") from None
    if not isinstance(spec, dict):
        raise MalformedDefinitionError("its CustomResourceDefinition has no spec")
    defined = GroupResource(text(spec, "group"), text(schema(spec, "names") or {}, "plural"))
    if defined != resource.group_resource:
        raise MalformedDefinitionError(f"its CustomResourceDefinition defines {defined}")
    versions = spec.get("versions")
    if not isinstance(versions, list) or not all(isinstance(version, dict) for version in versions):
        raise MalformedDefinitionError("its CustomResourceDefinition has no list of versions")
    return spec


async def _convert(schemas: OpenAPISchemas, resource: APIResource) -> dict[str, Any]:
    components, name = await schemas.of_kind(resource.group_version_kind)
    return definition_of(resource, structural_schema(components, name))
