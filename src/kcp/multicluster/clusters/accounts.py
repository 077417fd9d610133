"""The identity of a Cluster's syncer in kcp: a service account that has the verb ``sync`` on the Cluster, and its tokens."""

from __future__ import annotations

from typing import Any, Final

from kcp.client import APIResource, Client, NotFoundError
from kcp.multicluster.clusters.api import FIELD_MANAGER, syncer_name
from kcp.multicluster.placement import CLUSTERS, SYNC_VERB

NAMESPACE: Final = "kube-system"
"""The namespace of the service accounts of syncers."""
RBAC: Final = "rbac.authorization.k8s.io"
SERVICE_ACCOUNTS: Final = APIResource("", "v1", "serviceaccounts", "ServiceAccount")
CLUSTER_ROLES: Final = APIResource(RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS: Final = APIResource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)


def objects_of(cluster: str, owner: dict[str, Any]) -> list[tuple[APIResource, dict[str, Any]]]:
    """Return the service account, the role and the binding for the syncer of a Cluster. ``owner`` is its owner reference."""
    name = syncer_name(cluster)
    metadata = {"name": name, "ownerReferences": [owner]}
    rule = {
        "apiGroups": [CLUSTERS.group],
        "resources": [CLUSTERS.plural],
        "resourceNames": [cluster],
        "verbs": [SYNC_VERB],
    }
    subject = {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
    return [
        (SERVICE_ACCOUNTS, {"metadata": {**metadata, "namespace": NAMESPACE}}),
        (CLUSTER_ROLES, {"metadata": metadata, "rules": [rule]}),
        (CLUSTER_ROLE_BINDINGS, {"metadata": metadata, "subjects": [subject], "roleRef": role}),
    ]


async def ensure(upstream: Client, cluster: str, owner: dict[str, Any]) -> None:
    """Create or correct the objects. Raises StatusError, ClientError."""
    for resource, wanted in objects_of(cluster, owner):
        await upstream.resource(resource, NAMESPACE).apply(wanted, field_manager=FIELD_MANAGER, force=True)


async def issue_token(upstream: Client, cluster: str, seconds: int) -> tuple[str, str]:
    """Return a token of the syncer that is valid for so many seconds, or less if the server says so, and when it ends."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": seconds},
    }
    accounts = upstream.resource(SERVICE_ACCOUNTS, NAMESPACE)
    status = (await accounts.create(request, name=syncer_name(cluster), subresource="token"))["status"]
    return status["token"], status["expirationTimestamp"]


async def remove(upstream: Client, cluster: str) -> None:
    """Delete the objects, which makes all tokens invalid. Raises StatusError, ClientError."""
    name = syncer_name(cluster)
    for resource in (CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, SERVICE_ACCOUNTS):
        try:
            await upstream.resource(resource, NAMESPACE).delete(name)
        except NotFoundError:
            continue
