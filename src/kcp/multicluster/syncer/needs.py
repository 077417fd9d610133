"""Whether the workloads on a cluster need an object that is not assigned to it: read from the server, not from caches."""

from __future__ import annotations

from collections.abc import Mapping

from kcp.api.kinds import GroupResource
from kcp.client import Client
from kcp.multicluster.placement import CLUSTER_LABEL, held_label
from kcp.multicluster.syncer.ownership import Key, metadata_of
from kcp.multicluster.syncer.synced_types import SyncedType
from kcp.multicluster.syncer.transforms import references_of


async def is_needed(client: Client, cluster: str, types: Mapping[GroupResource, SyncedType], key: Key) -> bool:
    """Return whether an assigned object names an object, directly or by another one that it names.

    Raises StatusError, TransportError if not everything can be read.
    """
    target = str(key.resource), key.name
    for synced in list(types.values()):
        if target[0] not in synced.rules.references:
            continue
        verbs = client.resource(synced.pair.upstream, key.namespace)
        assigned = await verbs.list_all(label_selector={CLUSTER_LABEL: cluster})
        if any(target in set(references_of(item, synced.rules)) for item in assigned.items):
            return True
        if not synced.follows_others:
            continue
        for item in (await verbs.list_all(label_selector=held_label(cluster))).items:
            if target in set(references_of(item, synced.rules)):
                between = Key(synced.resource, key.namespace, str(metadata_of(item)["name"]))
                if await is_needed(client, cluster, types, between):
                    return True
    return False
