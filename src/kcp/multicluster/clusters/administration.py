"""What administrators do with Clusters: the operations behind ``kcp cluster``. Each raises StatusError and ClientError."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Final, NamedTuple

from kcp.api.times import now
from kcp.client import ALL_NAMESPACES, APIResource, Client, MethodNotAllowedError, NotFoundError, WatchOptions
from kcp.client.objects import DELETED, Object
from kcp.multicluster.clusters.api import (
    DEFINITIONS,
    FINALIZER,
    FORGET_ANNOTATION,
    KUBECONFIG_KEY,
    KUBECONFIG_OF_LABEL,
    SECRETS,
    ConditionType,
    kubeconfig_secret_name,
)
from kcp.multicluster.clusters.readiness import READY_MESSAGE
from kcp.multicluster.conditions import condition_of
from kcp.multicluster.placement import CLUSTER_LABEL, CLUSTERS, OWNED_BY_LABEL, PLACED_ANNOTATION
from kcp.schema.raw_schemas import number, schema, strings, text

KUBECONFIGS_NAMESPACE: Final = "kube-system"
"""The namespace of the Secrets in which `register` keeps kubeconfigs."""
_FIELD_MANAGER: Final = "kcp-cluster"
_EVENTS: Final = "events"
"""The resource whose objects have the label without being assigned: they are about assigned objects."""


class BeingRemovedError(Exception):
    """A Cluster that is being deleted cannot be registered again before it is gone."""


class Readiness(NamedTuple):
    """The condition ``Ready`` of a Cluster: its status (empty: there is none yet), reason and message.

    ``taken``: a cluster controller has found the Cluster. ``current``: the condition is about the present spec, or about the
    removal of a Cluster that is being deleted. ``warnings`` are the messages of its other conditions that are false.
    """

    status: str = ""
    reason: str = ""
    message: str = ""
    taken: bool = False
    current: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether the cluster is ready by its present spec, and no failure is tolerated."""
        return self.current and self.status == "True" and self.message == READY_MESSAGE


async def register(client: Client, name: str, kubeconfig: str, labels: Mapping[str, str]) -> bool:
    """Create a Cluster, or give it another kubeconfig, which is kept in a Secret. Returns whether it is new.

    Installs the definition of Clusters where the logical cluster lacks it. Raises BeingRemovedError.
    """
    await DEFINITIONS.install(client)
    secret = kubeconfig_secret_name(name)
    reference = {"namespace": KUBECONFIGS_NAMESPACE, "name": secret, "key": KUBECONFIG_KEY}
    body: Object = {
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {"kubeconfig": None, "kubeconfigSecretRef": reference},
    }
    new = not await _write_cluster(client, body, dry_run=True)  # what is refused leaves no Secret behind
    applied = await client.resource(SECRETS, KUBECONFIGS_NAMESPACE).apply(
        {
            "metadata": {"name": secret, "labels": {KUBECONFIG_OF_LABEL: name}},
            "data": {KUBECONFIG_KEY: base64.b64encode(kubeconfig.encode()).decode()},
        },
        field_manager=_FIELD_MANAGER,
        force=True,
    )
    # a changed Secret changes the spec: the controller reads it at once, and its conditions say which spec they are about
    reference["resourceVersion"] = applied["metadata"]["resourceVersion"]
    await _write_cluster(client, body, dry_run=False)
    return new


async def _write_cluster(client: Client, body: Object, *, dry_run: bool) -> bool:
    """Patch a Cluster, whose other fields stay as they are, or create it. Returns whether it was there."""
    clusters, name = client.resource(CLUSTERS), body["metadata"]["name"]
    try:
        patched = await clusters.patch(name, body, field_manager=_FIELD_MANAGER, dry_run=dry_run)
        if "deletionTimestamp" in patched["metadata"]:
            raise BeingRemovedError(
                f"{name} is being removed: register it when that is done (kcp cluster remove {name} waits for it)"
            )
    except NotFoundError:
        await clusters.create(body, field_manager=_FIELD_MANAGER, dry_run=dry_run)
        return False
    return True


async def cordon(client: Client, name: str) -> bool:
    """Let a cluster get no new objects. Returns whether that is a change."""
    spec = await _spec(client, name)
    if spec.get("unschedulable"):
        return False
    await _patch(client, name, {"spec": {"unschedulable": True}})
    return True


async def uncordon(client: Client, name: str) -> bool:
    """Let a cluster get objects again. Returns whether that is a change."""
    spec = await _spec(client, name)
    if not spec.get("unschedulable") and "evictAfter" not in spec:
        return False
    await _patch(client, name, {"spec": {"unschedulable": False, "evictAfter": None}})
    return True


async def drain(client: Client, name: str) -> bool:
    """Let what a cluster runs be moved to others, from now on. Returns whether that is a change."""
    spec, present = await _spec(client, name), now()
    if spec.get("unschedulable") and text(spec, "evictAfter") and text(spec, "evictAfter") <= present:
        return False
    await _patch(client, name, {"spec": {"unschedulable": True, "evictAfter": present}})
    return True


async def _spec(client: Client, name: str) -> Object:
    return schema(await client.resource(CLUSTERS).get(name), "spec") or {}


async def _patch(client: Client, name: str, patch: Object) -> None:
    await client.resource(CLUSTERS).patch(name, patch, field_manager=_FIELD_MANAGER)


async def remove(client: Client, name: str, *, force: bool) -> None:
    """Delete a Cluster. With ``force``, the controller forgets it without reaching the Kubernetes cluster."""
    if force:
        await _patch(client, name, {"metadata": {"annotations": {FORGET_ANNOTATION: "true"}}})
    await client.resource(CLUSTERS).delete(name)


async def readiness(client: Client, name: str) -> AsyncIterator[Readiness | None]:
    """Yield the condition ``Ready`` of a Cluster now and whenever it changes; None when the Cluster is gone, at last."""
    while True:
        clusters = client.resource(CLUSTERS)
        listed = await clusters.list(field_selector={"metadata.name": name})
        if not listed.items:
            yield None
            return
        yield _readiness_of(listed.items[0])
        options = WatchOptions(
            resource_version=listed.resource_version,
            field_selector={"metadata.name": name},
            bookmarks=False,
        )
        async with aclosing(clusters.watch(options)) as events:
            async for event in events:
                if event.type == DELETED:
                    yield None
                    return
                yield _readiness_of(event.object)


def _readiness_of(found: Object) -> Readiness:
    meta, conditions = found["metadata"], (schema(found, "status") or {}).get("conditions")
    condition = dict(condition_of(conditions, ConditionType.READY))
    others = (
        dict(condition_of(conditions, kind)) for kind in (ConditionType.UNIQUE_CLUSTER, ConditionType.APIS_IMPORTED)
    )
    return Readiness(
        text(condition, "status"),
        text(condition, "reason"),
        text(condition, "message"),
        taken=FINALIZER in strings(meta, "finalizers"),
        current=(number(condition, "observedGeneration") or 0) >= (number(meta, "generation") or 0),
        warnings=tuple(text(each, "message") for each in others if text(each, "status") == "False"),
    )


class Assigned(NamedTuple):
    """An assigned object, as ``<resource> <namespace>/<name>``. ``by_hand``: the splitter does not move it."""

    name: str
    by_hand: bool


async def assigned_objects(client: Client, name: str) -> list[Assigned]:
    """Return the objects of a logical cluster that are assigned to a cluster."""
    found = []
    for resource in (await client.discovery.refresh()).preferred():
        if resource.namespaced and "list" in resource.verbs and resource.plural != _EVENTS:
            for each in await _labelled(client, resource, name):
                meta = each["metadata"]
                placed = OWNED_BY_LABEL in meta["labels"] or PLACED_ANNOTATION in (meta.get("annotations") or {})
                full = f"{resource.group_resource} {text(meta, 'namespace')}/{text(meta, 'name')}"
                found.append(Assigned(full, not placed))
    return sorted(found)


async def _labelled(client: Client, resource: APIResource, name: str) -> list[Object]:
    try:
        listed = await client.resource(resource, ALL_NAMESPACES).list_all(
            label_selector={CLUSTER_LABEL: name}, metadata_only=True
        )
    except (NotFoundError, MethodNotAllowedError):
        return []
    return listed.items
