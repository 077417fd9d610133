"""What runs a syncer that the cluster controller does not run: ``kcp cluster manifest`` and ``kcp cluster syncer-kubeconfig``.

Functions raise StatusError and ClientError.
"""

from __future__ import annotations

from typing import NamedTuple

from kcp.client import Client
from kcp.multicluster.clusters import accounts
from kcp.multicluster.clusters.api import SECRETS, syncer_name
from kcp.multicluster.clusters.imports import imported_resources
from kcp.multicluster.clusters.manifests import (
    Syncer,
    Token,
    Upstream,
    documents,
    kubeconfig_of,
    objects_of,
    secret_of,
)
from kcp.multicluster.clusters.ownership import owner_reference
from kcp.multicluster.placement import CLUSTERS


class Access(NamedTuple):
    """How a syncer gets to a logical cluster: the address, with the path of that, and for how many seconds its token is valid."""

    upstream: Upstream
    token_seconds: int


async def manifest_of(client: Client, name: str, image: str, access: Access) -> str:
    """Return the YAML documents that run the syncer of a Cluster in its Kubernetes cluster.

    Makes the syncer's service account in the logical cluster of ``client``. The token in the Secret is a new one each time, and
    valid for less time if the server says so.
    """
    uid, token = await _token(client, name, access)
    syncer = Syncer(name, uid, image, access.upstream, await imported_resources(client, name))
    *before, deployment = objects_of(syncer)
    return documents([*before, (SECRETS, secret_of(syncer, token)), deployment])


async def syncer_kubeconfig_of(client: Client, name: str, access: Access) -> str:
    """Return the kubeconfig of the syncer's service account, which is made if needed, with a new token in it."""
    _, token = await _token(client, name, access)
    return kubeconfig_of(access.upstream, token.text)


async def _token(client: Client, name: str, access: Access) -> tuple[str, Token]:
    """Return the UID of a Cluster, and a new token of its syncer."""
    found = await client.resource(CLUSTERS).get(name)
    uid: str = found["metadata"]["uid"]
    await accounts.ensure(client, name, owner_reference(name, uid))
    account = await client.resource(accounts.SERVICE_ACCOUNTS, accounts.NAMESPACE).get(syncer_name(name))
    text, expires = await accounts.issue_token(client, name, access.token_seconds)
    return uid, Token(text, expires, account["metadata"]["uid"])
