"""Users who create, change, assign, release and delete objects, at random and repeatably."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from kcp.client import (
    AlreadyExistsError,
    APIResource,
    Client,
    ConflictError,
    NotFoundError,
    StatusError,
    TransportError,
)
from kcp.multicluster.placement import CLUSTER_LABEL
from tests.multicluster.faults.model import STEP
from tests.multicluster.faults.recorder import DEPLOYMENTS, RESOURCES, Recorder

NAMES = ("first", "second", "third")
_PAUSE = 0.02


class Traffic:
    """Writes to the same names in each of some logical clusters, one request after the other."""

    def __init__(
        self,
        client: Client,
        logical_clusters: Sequence[str],
        cluster: str,
        recorder: Recorder,
        seed: int,
        *,
        released: Sequence[APIResource] = RESOURCES,
    ) -> None:
        """``released`` are the resources whose objects users also take from their cluster."""
        self._clients = {name: client.logical_cluster(name) for name in logical_clusters}
        self._cluster = cluster
        self._recorder = recorder
        self._released = released
        self._random = random.Random(seed)
        self._steps = 0
        self.writes = 0
        """Acknowledged writes."""

    async def run(self, writes: int) -> None:
        """Make that many acknowledged writes, across outages of kcp."""
        wanted = self.writes + writes
        while self.writes < wanted:
            try:
                await self._write()
            except (AlreadyExistsError, ConflictError, NotFoundError, TransportError):
                continue  # what has become of it is read before the next write
            except StatusError as error:
                if error.code < 500:
                    raise
            else:
                self.writes += 1
            await asyncio.sleep(_PAUSE)

    async def _write(self) -> None:
        logical_cluster = self._random.choice(list(self._clients))
        resource, name = self._random.choice(RESOURCES), self._random.choice(NAMES)
        verbs = self._clients[logical_cluster].resource(resource)
        self._steps += 1
        step, chance = f"{logical_cluster}/{name}/{self._steps}", self._random.random()
        try:
            found = await verbs.get(name)
        except NotFoundError:
            await verbs.create(self._object(resource, name, step))
            return
        meta = found["metadata"]
        if chance < 0.2:
            self._recorder.act(meta["uid"])
            await verbs.delete(name, uid=meta["uid"])
            return
        assigned = CLUSTER_LABEL in (meta.get("labels") or {})
        changed: dict[str, Any] = {"uid": meta["uid"], "annotations": {STEP: step}}
        if not assigned or (chance < 0.3 and resource in self._released):
            if assigned:
                self._recorder.act(meta["uid"])
            changed["labels"] = {CLUSTER_LABEL: None if assigned else self._cluster}
        patch: dict[str, Any] = {"metadata": changed}
        if resource is DEPLOYMENTS:
            patch["spec"] = {"replicas": self._random.randint(1, 5)}
        await verbs.patch(name, patch)

    def _object(self, resource: APIResource, name: str, step: str) -> dict[str, Any]:
        meta = {"name": name, "labels": {CLUSTER_LABEL: self._cluster}, "annotations": {STEP: step}}
        if resource is not DEPLOYMENTS:
            return {"metadata": meta, "data": {"step": step}}
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}
        return {"metadata": meta, "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}}
