"""Defaulting of CustomResourceDefinitions (apiextensions.k8s.io/v1)."""

from typing import Any

from kcp.schema.raw_schemas import objects, schema, text


def default_definition(definition: dict[str, Any]) -> None:
    """Set the defaults of names, conversion and stored versions in place."""
    spec = schema(definition, "spec")
    if spec is None:
        return
    names = spec.setdefault("names", {})
    if isinstance(names, dict):
        kind = text(names, "kind")
        if names.get("singular") in (None, "") and kind:
            names["singular"] = kind.lower()
        if names.get("listKind") in (None, "") and kind:
            names["listKind"] = kind + "List"
    if spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}
    _default_service_port(spec)
    default_stored_versions(definition)


def default_stored_versions(definition: dict[str, Any]) -> None:
    """Set the stored versions where there are none: replaces ``status``, changes nothing below it."""
    spec, status = schema(definition, "spec"), definition.get("status", {})
    if spec is None or not isinstance(status, dict) or status.get("storedVersions"):
        return
    storage = [text(version, "name") for version in objects(spec.get("versions")) if version.get("storage") is True]
    definition["status"] = {**status, "storedVersions": storage[:1]}


def _default_service_port(spec: dict[str, Any]) -> None:
    place: dict[str, Any] | None = spec
    for name in ("conversion", "webhook", "clientConfig", "service"):
        place = schema(place, name) if place is not None else None
    if place is not None and place.get("port") is None:
        place["port"] = 443
