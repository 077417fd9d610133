"""The CustomResourceDefinition of published APIs: what it should be, and whether it is served. Pure functions.

The definition of a resource belongs to the NegotiatedAPIResources of its published versions: they are its owners. One without
such an owner is a user's, and never changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from kcp.api import json_values
from kcp.api.kinds import version_order
from kcp.multicluster.conditions import condition_of, is_true
from kcp.multicluster.negotiation.api import API_VERSION, GROUP, NEGOTIATED
from kcp.multicluster.negotiation.specs import CommonSpec, definition_of_specs
from kcp.schema.definitions import default_definition
from kcp.schema.printer_columns import ANNOTATION as COMPUTED_COLUMNS
from kcp.schema.raw_schemas import Definition, Raw, flag, objects, schema, strings, text

_IDENTITY: Final = ("scope", "plural", "singular", "kind", "listKind")
"""What all versions of a definition have in common."""


class Published(NamedTuple):
    """A version that is to be published: the NegotiatedAPIResource's name and UID, and the API."""

    version: str
    name: str
    uid: str
    spec: CommonSpec


def is_negotiated(definition: Definition) -> bool:
    """Return whether a definition is one of negotiation, not a user's."""
    return any(_is_ours(reference) for reference in _owners(definition))


def _owners(definition: Definition) -> list[Raw]:
    return objects((schema(definition, "metadata") or {}).get("ownerReferences"))


def _is_ours(reference: Raw) -> bool:
    group = text(reference, "apiVersion").partition("/")[0]
    return group == GROUP and reference.get("kind") == NEGOTIATED.kind


def choose(candidates: Sequence[Published]) -> tuple[list[Published], dict[str, str]]:
    """Return the versions that one definition can serve, the preferred one first, and why it cannot serve the others."""
    chosen: list[Published] = []
    refused: dict[str, str] = {}
    identity: dict[str, Any] = {}
    for each in sorted(candidates, key=lambda each: version_order(each.version)):
        fields = each.spec.fields()
        own = {name: fields.get(name) for name in _IDENTITY}
        identity = identity or own
        if own == identity:
            chosen.append(each)
            continue
        unlike = [name for name in _IDENTITY if own[name] != identity[name]]
        shown = "; ".join(f"spec.{name} is {own[name]}, not {identity[name]}" for name in unlike)
        refused[each.version] = f"one definition serves all versions, and version {chosen[0].version} differs: {shown}"
    return chosen, refused


def wanted_definition(existing: Definition | None, published: Sequence[Published]) -> Definition:
    """Return the definition that serves versions; ``existing`` is the present one.

    A version that objects may be stored in stays, and is not served.
    """
    wanted = definition_of_specs([each.spec for each in published])
    metadata = wanted["metadata"]
    metadata["ownerReferences"] = [
        {"apiVersion": API_VERSION, "kind": NEGOTIATED.kind, "name": each.name, "uid": each.uid} for each in published
    ]
    if existing is None:
        return wanted
    served = {each.version for each in published}
    stored = strings(schema(existing, "status") or {}, "storedVersions")
    for version in objects((schema(existing, "spec") or {}).get("versions")):
        if text(version, "name") in stored and text(version, "name") not in served:
            wanted["spec"]["versions"].append({**version, "served": False, "storage": False})
    own = schema(existing, "metadata") or {}
    annotations = {
        name: value for name, value in (schema(own, "annotations") or {}).items() if name != COMPUTED_COLUMNS
    }
    others = [reference for reference in _owners(existing) if not _is_ours(reference)]
    merged = {
        **own,
        "annotations": {**annotations, **metadata.get("annotations", {})},
        "ownerReferences": [*others, *metadata["ownerReferences"]],
    }
    return {**existing, "metadata": merged, "spec": wanted["spec"]}


def is_as_wanted(existing: Definition, wanted: Definition) -> bool:
    """Return whether a definition serves what it should, for the owners that it should have."""
    complete = json_values.copy({"spec": wanted["spec"]})
    default_definition(complete)
    if not json_values.equal(existing.get("spec"), complete["spec"]):
        return False
    before, after = (_comparable(each) for each in (existing, wanted))
    return before == after


def _comparable(definition: Definition) -> tuple[Any, Any]:
    metadata = schema(definition, "metadata") or {}
    return metadata.get("annotations") or {}, metadata.get("ownerReferences")


class Serving(NamedTuple):
    """Whether a version is served; if not, the reason in one word and in words."""

    served: bool
    reason: str
    message: str = ""


def serving(definition: Definition | None, version: str) -> Serving:
    """Return whether a definition serves a version."""
    if definition is None:
        return Serving(False, "NotSubmitted", "there is no CustomResourceDefinition of it")
    if version not in served_versions(definition):
        return Serving(False, "NotSubmitted", "the CustomResourceDefinition does not serve this version")
    if text(schema(definition, "metadata") or {}, "deletionTimestamp"):
        return Serving(False, "Terminating", "the CustomResourceDefinition is being deleted")
    conditions = (schema(definition, "status") or {}).get("conditions")
    for kind, wanted in _HEALTHY.items():
        found = condition_of(conditions, kind)
        if is_true(conditions, kind) is not wanted:
            return Serving(False, text(dict(found), "reason") or f"Not{kind}", _explained(kind, found))
    return Serving(True, "Served")


_HEALTHY: Final = {"NamesAccepted": True, "Established": True, "NonStructuralSchema": False, "Terminating": False}
"""The conditions of a definition that is served."""


def _explained(kind: str, condition: Mapping[str, Any]) -> str:
    status = condition.get("status") or "not set"
    return f"condition {kind} of the CustomResourceDefinition is {status}: {condition.get('message') or 'no message'}"


def served_versions(definition: Definition) -> list[str]:
    """Return the names of the served versions."""
    versions = objects((schema(definition, "spec") or {}).get("versions"))
    return [text(version, "name") for version in versions if flag(version, "served")]


def was_established(definition: Definition) -> bool:
    """Return whether a definition may have objects: it has been served."""
    return is_true((schema(definition, "status") or {}).get("conditions"), "Established")
