"""What a cluster allocates: the addresses of Services, and volumes for claims."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from kcp.client import ObjectKey
from kcp.multicluster.simulation.api import CLAIMS, SERVICES, VOLUMES
from kcp.multicluster.simulation.controllers import ADDRESS, Controller, patch_spec, unless_exists, write_status

Object = dict[str, Any]

_ADDRESSES: Final = 250 * 250


class ServiceController(Controller):
    """Gives each Service an address of the net 10.96.0.0/16. Kubernetes does so as it creates one."""

    resource = SERVICES

    async def reconcile(self, key: ObjectKey, object_: Object) -> None:
        """Allocate an address."""
        spec = object_.get("spec") or {}
        if spec.get("clusterIP") or spec.get("type") == "ExternalName":
            return
        first = int.from_bytes(hashlib.sha256(object_["metadata"]["uid"].encode()).digest()[:4], "big")
        candidates = (_address(first + number) for number in range(_ADDRESSES))
        address = next(each for each in candidates if not self.informer.cache.by_index(ADDRESS, each))
        await patch_spec(self.cluster.verbs(SERVICES, key), object_, {"clusterIP": address, "clusterIPs": [address]})


def _address(number: int) -> str:
    """Return one of the addresses of the net, by any number."""
    return f"10.96.{number // 250 % 250}.{number % 250 + 1}"


class ClaimController(Controller):
    """Provisions a volume for each claim, and binds it."""

    resource = CLAIMS

    async def reconcile(self, key: ObjectKey, object_: Object) -> None:
        """Provision a volume, name it in the claim, and report."""
        spec, meta = object_.get("spec") or {}, object_["metadata"]
        if spec.get("volumeName"):
            capacity = (spec.get("resources") or {}).get("requests") or {}
            status = {"phase": "Bound", "accessModes": spec.get("accessModes") or [], "capacity": capacity}
            await self.write_status(key, object_, status)
            return
        name = f"pvc-{meta['uid']}"
        claim = {
            "apiVersion": "v1",
            "kind": CLAIMS.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": meta["uid"],
        }
        volume = {
            "metadata": {"name": name},
            "spec": {
                "capacity": (spec.get("resources") or {}).get("requests") or {},
                "accessModes": spec.get("accessModes") or [],
                "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": claim,
            },
        }
        volumes = self.cluster.client.resource(VOLUMES)
        await unless_exists(volumes.create(volume))
        await write_status(volumes, await volumes.get(name), {"phase": "Bound"})
        await patch_spec(self.cluster.verbs(CLAIMS, key), object_, {"volumeName": name})
