"""Construction of CustomResourceDefinitions from discovery and structural schemas."""

from __future__ import annotations

from typing import Any, Final

from kcp.api.kinds import GroupKind
from kcp.client import APIResource
from kcp.multicluster.crd_puller.columns import printer_columns
from kcp.schema.definitions.name_validation import APPROVAL_ANNOTATION, is_protected_group
from kcp.schema.printer_columns import ANNOTATION

CORE: Final = "core"
"""The name of the core group in the names of definitions."""
APPROVED: Final = "https://github.com/kubernetes/kubernetes"
"""The value of the approval annotation: types in protected groups were approved by Kubernetes."""


def name_of(group: str, plural: str) -> str:
    """Return the name of the definition of a resource."""
    return f"{plural}.{group or CORE}"


def definition_of(resource: APIResource, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the definition of a resource with this structural schema."""
    metadata: dict[str, Any] = {"name": name_of(resource.group, resource.plural)}
    printed, computed = printer_columns(GroupKind(resource.group, resource.kind), resource.version)
    metadata["annotations"] = {ANNOTATION: computed}
    if is_protected_group(resource.group):
        metadata["annotations"][APPROVAL_ANNOTATION] = APPROVED
    names: dict[str, Any] = {
        "plural": resource.plural,
        "singular": resource.singular or resource.kind.lower(),
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
    }
    if resource.short_names:
        names["shortNames"] = list(resource.short_names)
    if resource.categories:
        names["categories"] = list(resource.categories)
    version: dict[str, Any] = {"name": resource.version, "served": True, "storage": True}
    if subresources := _subresources(resource, schema):
        version["subresources"] = subresources
    if printed:
        version["additionalPrinterColumns"] = printed
    version["schema"] = {"openAPIV3Schema": schema}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": names,
            "versions": [version],
        },
    }


def _subresources(resource: APIResource, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the subresources: status, and scale if ``spec`` and ``status`` have ``replicas``."""
    found: dict[str, Any] = {}
    if "status" in resource.subresources:
        found["status"] = {}
    parts = [schema.get("properties", {}).get(part, {}).get("properties", {}) for part in ("spec", "status")]
    if "scale" in resource.subresources and all("replicas" in part for part in parts):
        found["scale"] = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    return found
