"""The manifest of a syncer that somebody else applies: ``kcp cluster manifest``. Raises StatusError and ClientError."""

from __future__ import annotations

from kcp.client import Client
from kcp.multicluster.clusters import accounts
from kcp.multicluster.clusters.api import SECRETS, syncer_name
from kcp.multicluster.clusters.imports import imported_resources
from kcp.multicluster.clusters.manifests import Syncer, Token, Upstream, documents, objects_of, secret_of
from kcp.multicluster.clusters.ownership import owner_reference
from kcp.multicluster.placement import CLUSTERS


async def manifest_of(client: Client, name: str, image: str, upstream: Upstream, token_seconds: int) -> str:
    """Return the YAML documents that run the syncer of a Cluster in its Kubernetes cluster.

    Makes the syncer's service account in the logical cluster of ``client``. The token in the Secret is valid for
    ``token_seconds``, or less if the server says so; a new manifest has a new one. ``upstream`` has the logical cluster's path.
    """
    found = await client.resource(CLUSTERS).get(name)
    uid = found["metadata"]["uid"]
    await accounts.ensure(client, name, owner_reference(name, uid))
    account = await client.resource(accounts.SERVICE_ACCOUNTS, accounts.NAMESPACE).get(syncer_name(name))
    token, expires = await accounts.issue_token(client, name, token_seconds)
    syncer = Syncer(name, uid, image, upstream, await imported_resources(client, name))
    *before, deployment = objects_of(syncer)
    secret = (SECRETS, secret_of(syncer, Token(token, expires, account["metadata"]["uid"])))
    return documents([*before, secret, deployment])
