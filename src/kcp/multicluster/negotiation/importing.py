"""Recording of what a cluster serves, as imports in a logical cluster. The cluster is not trusted.

An import is deleted only when the cluster's discovery is complete and does not have the resource: what cannot be read is not
absent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kcp.api.kinds import GroupResource, GroupVersion
from kcp.client import Client, ConflictError, NotFoundError, StatusError
from kcp.client.objects import Object
from kcp.multicluster.crd_puller import CORE, PulledVersions, name_of, pull_versions
from kcp.multicluster.negotiation import installing
from kcp.multicluster.negotiation.api import (
    API_VERSION_ANNOTATION,
    DIGEST_ANNOTATION,
    IMPORTS,
    UpdateStrategy,
    import_name,
)
from kcp.multicluster.negotiation.specs import CommonSpec, specs_of
from kcp.schema.raw_schemas import Raw, objects, schema, text

_FIELD_MANAGER: Final = "api-importer"
_STRATEGY_MANAGER: Final = "api-importer-strategy"
"""The manager of the strategy that a new import was given, which later applies leave out."""
_REFUSED: Final = (400, 413, 422)
"""The codes of responses that refuse one import: it is malformed, too large or invalid."""


class Imported(NamedTuple):
    """The names of the imports that were written, have not changed, and were deleted; by name, why others were not written.

    ``missing`` are the requested names that the cluster does not serve.
    """

    written: list[str]
    unchanged: list[str]
    deleted: list[str]
    skipped: dict[str, str]
    missing: list[str]


class Offered(NamedTuple):
    """What a cluster serves: the descriptions of the versions of resources, and what was not read, as in `pull_versions`."""

    specs: tuple[CommonSpec, ...]
    pulled: PulledVersions


async def read_offered(source: Client, names: Sequence[str] = (), *, served: Collection[GroupResource] = ()) -> Offered:
    """Read what a cluster serves; arguments and errors are those of `import_apis`."""
    pulled = await pull_versions(source, names, served=served)
    specs = tuple(spec for definition in pulled.definitions for spec in specs_of(definition).values())
    return Offered(specs, pulled._replace(definitions=[]))


async def import_apis(
    source: Client,
    target: Client,
    location: str,
    names: Sequence[str] = (),
    *,
    served: Collection[GroupResource] = (),
    strategy: UpdateStrategy | None = None,
    owner: Mapping[str, Any] | None = None,
) -> Imported:
    """Record each version of resources of a cluster in a logical cluster, and delete the imports of what it does not serve.

    ``names`` are ``<plural>`` or ``<plural>.<group>``; without names, all resources but ``served`` are recorded.
    ``location`` is the cluster's name. A ``strategy`` is set on new imports; users may change it. ``owner`` is the owner
    reference of each import. While the cluster does not serve one of ``names``, which may be misspelled, imports of resources
    that are not named are kept. Installs the API of negotiation where the logical cluster lacks it. Raises StatusError,
    TransportError, DiscoveryError.
    """
    offered = await read_offered(source, names, served=served)
    return await record_offered(offered, target, location, names, strategy=strategy, owner=owner)


async def record_offered(
    offer: Offered,
    target: Client,
    location: str,
    names: Sequence[str] = (),
    *,
    strategy: UpdateStrategy | None = None,
    owner: Mapping[str, Any] | None = None,
) -> Imported:
    """Record what was read of a cluster; arguments and errors are those of `import_apis`."""
    pulled, offered = offer.pulled, {_name_of(spec, location): spec for spec in offer.specs}
    await installing.install(target)
    present = await _present(target, location)
    imported = Imported([], [], [], dict(pulled.skipped), pulled.missing)
    for name, spec in offered.items():
        if _is_current(present.get(name), spec, owner):
            imported.unchanged.append(name)
            continue
        body = _import(name, location, spec, owner)
        try:
            if name in present:
                await _keep_strategy(target, present[name])
            elif strategy is not None:
                body["spec"]["schemaUpdateStrategy"] = str(strategy)
            await target.resource(IMPORTS).apply(body, field_manager=_FIELD_MANAGER, force=True)
        except StatusError as error:
            if error.code not in _REFUSED:
                raise
            imported.skipped[name] = str(error)
        else:
            imported.written.append(name)
    for name, found in present.items():
        if name in offered or pulled.may_serve(*_resource_of(name, location)):
            continue
        if not pulled.missing or _is_named(name, location, names):
            await _delete(target, found)
            imported.deleted.append(name)
    return imported


async def remove_imports(target: Client, location: str) -> list[str]:
    """Delete all imports of a cluster. Returns their names. Raises StatusError, TransportError."""
    try:
        present = await _present(target, location)
    except NotFoundError:
        return []  # a logical cluster without the API of negotiation
    for found in present.values():
        await _delete(target, found)
    return list(present)


async def _present(target: Client, location: str) -> dict[str, Object]:
    """The metadata of the imports of a cluster, by name."""
    listed = await target.resource(IMPORTS).list_all(field_selector={"spec.location": location}, metadata_only=True)
    return {text(found["metadata"], "name"): found for found in listed.items}


def _is_current(found: Object | None, spec: CommonSpec, owner: Mapping[str, Any] | None) -> bool:
    if found is None:
        return False
    meta: Raw = found["metadata"]
    owned = owner is None or dict(owner) in (meta.get("ownerReferences") or ())
    return owned and text(schema(meta, "annotations") or {}, DIGEST_ANNOTATION) == spec.digest


async def _keep_strategy(target: Client, found: Object) -> None:
    """Take the strategy over from the manager of the other fields: what a manager no longer applies is removed."""
    applied = [entry for entry in objects(found["metadata"].get("managedFields")) if entry["operation"] == "Apply"]
    own = next((entry for entry in applied if entry.get("manager") == _FIELD_MANAGER), {})
    if "f:schemaUpdateStrategy" not in (schema(schema(own, "fieldsV1") or {}, "f:spec") or {}):
        return
    name, imports = text(found["metadata"], "name"), target.resource(IMPORTS)
    try:
        present = await imports.get(name)
        strategy = {"schemaUpdateStrategy": present["spec"]["schemaUpdateStrategy"]}
        body = {"metadata": {"name": name, "uid": present["metadata"]["uid"]}, "spec": strategy}
        await imports.apply(body, field_manager=_STRATEGY_MANAGER)
    except (NotFoundError, ConflictError):
        return  # deleted, or a user has just set the strategy


def _name_of(spec: CommonSpec, location: str) -> str:
    fields = spec.fields()
    version = fields["groupVersion"]
    return import_name(text(fields, "plural"), location, text(version, "version"), text(version, "group"))


def _import(name: str, location: str, spec: CommonSpec, owner: Mapping[str, Any] | None) -> Object:
    fields = spec.fields()
    version = GroupVersion(text(fields["groupVersion"], "group"), text(fields["groupVersion"], "version"))
    annotations = {API_VERSION_ANNOTATION: str(version), DIGEST_ANNOTATION: spec.digest}
    metadata: Raw = {"name": name, "annotations": annotations}
    if owner is not None:
        metadata["ownerReferences"] = [dict(owner)]
    return {"metadata": metadata, "spec": {**fields, "location": location}}


def _resource_of(name: str, location: str) -> tuple[str, GroupVersion]:
    """The plural, and group and version, of an import by its name."""
    plural = name.partition(".")[0]
    version, _, group = name.removeprefix(f"{plural}.{location}.").partition(".")
    return plural, GroupVersion("" if group == CORE else group, version)


def _is_named(name: str, location: str, names: Collection[str]) -> bool:
    """Whether the resource of an import is one of the requested ones."""
    plural, version = _resource_of(name, location)
    return plural in names or name_of(version.group, plural) in names


async def _delete(target: Client, found: Object) -> None:
    try:
        await target.resource(IMPORTS).delete(text(found["metadata"], "name"), uid=text(found["metadata"], "uid"))
    except NotFoundError:
        return
