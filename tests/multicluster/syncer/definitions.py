"""Small definitions of workload types, which kcp has not itself."""

from __future__ import annotations

from typing import Any

from kcp.client import APIResource, Client
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from tests.support.waiting import eventually

Object = dict[str, Any]
DEPLOYMENTS = APIResource("apps", "v1", "deployments", "Deployment")
SERVICES = APIResource("", "v1", "services", "Service")
CLAIMS = APIResource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
_ANY: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition(resource: APIResource, spec: Object | None = None, status: Object | None = None) -> Object:
    """The definition of a resource with a status, by the schemas of its parts (default: anything)."""
    cluster_scoped = not resource.namespaced
    return {
        "metadata": {
            "name": f"{resource.plural}.{resource.group or 'core'}",
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/1111"},
        },
        "spec": {
            "group": resource.group,
            "scope": "Cluster" if cluster_scoped else "Namespaced",
            "names": {
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
            },
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": spec or _ANY, "status": status or _ANY},
                        }
                    },
                }
            ],
        },
    }


async def define(client: Client, *definitions: Object) -> None:
    """Create definitions, and wait until they are served."""
    resource = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
    for each in definitions:
        await resource.create(each)

    async def established() -> bool:
        items = [await resource.get(each["metadata"]["name"]) for each in definitions]
        return all(
            any(found["type"] == "Established" and found["status"] == "True" for found in item["status"]["conditions"])
            for item in items
        )

    await eventually(established, "the definitions are established")
