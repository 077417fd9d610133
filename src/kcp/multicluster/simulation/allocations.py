"""What a cluster allocates: the addresses of Services, and volumes for claims."""

from __future__ import annotations

from typing import Any

from kcp.client import ObjectKey
from kcp.multicluster.simulation.api import CLAIMS, SERVICES, VOLUMES
from kcp.multicluster.simulation.controllers import Controller, patch_spec, unless_exists, write_status
from kcp.multicluster.simulation.objects import digest

Object = dict[str, Any]

_ADDRESSES = 65_000


class ServiceController(Controller):
    """Gives each Service an address of the net 10.96.0.0/16. Kubernetes does so as it creates one."""

    resource = SERVICES

    async def reconcile(self, key: ObjectKey, object_: Object) -> None:
        """Allocate an address."""
        spec = object_.get("spec") or {}
        if spec.get("clusterIP") or spec.get("type") == "ExternalName":
            return
        taken = {each.decode().get("spec", {}).get("clusterIP") for each in self.informer.cache}
        first = sum(map(ord, digest(8, object_["metadata"]["uid"])))
        address = next(text for number in range(_ADDRESSES) if (text := _address(first + number)) not in taken)
        await patch_spec(self.cluster.verbs(SERVICES, key), object_, {"clusterIP": address, "clusterIPs": [address]})


def _address(number: int) -> str:
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
