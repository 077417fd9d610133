"""A cluster is read again when what it serves has changed, or its imports have, and not at each check."""

from __future__ import annotations

import asyncio
from typing import Any

from kcp.client import Client, load_configuration
from kcp.multicluster import negotiation
from kcp.multicluster.clusters import connecting
from kcp.multicluster.clusters.modes.push import PushedSyncers
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.negotiation.api import IMPORTS
from kcp.testing import LogicalCluster, Server
from tests.multicluster.clusters.control_plane import GADGETS, BeatingSyncer, ControlPlane, controlled, define_gadgets
from tests.support.waiting import PATIENCE, eventually


async def imports(plane: ControlPlane) -> list[dict[str, Any]]:
    return (await plane.client.resource(IMPORTS).list_all()).items


async def test_only_changes_are_imported_again(
    kcp_server: Server, kcp_cluster: LogicalCluster, monkeypatch: Any
) -> None:
    east, reads, checks = kcp_server.logical_cluster(), 0, 0
    record_offered, connect = negotiation.record_offered, connecting.connect

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal reads
        reads += 1
        return await record_offered(*arguments, **options)

    async def checked(*arguments: Any) -> Any:
        nonlocal checks
        checks += 1
        return await connect(*arguments)

    async def settled() -> None:
        """Wait until some checks in a row have read nothing."""
        async with asyncio.timeout(PATIENCE):
            read = -1
            while reads != read:
                read, seen = reads, checks
                await eventually(lambda: checks > seen + 3, "the cluster is checked again")  # noqa: B023 - awaited at once

    monkeypatch.setattr(connecting, "record_offered", counted)
    monkeypatch.setattr(connecting, "connect", checked)
    await define_gadgets(east)
    async with (
        controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run), interval=0.2) as plane,
        Client(load_configuration(east.kubeconfig)) as downstream,
    ):
        await plane.register("us-east1", east.kubeconfig.read_text())
        await plane.is_ready("us-east1", "True", "SyncerReady")
        await settled()
        read = reads
        (imported,) = await imports(plane)
        await plane.client.resource(IMPORTS).delete(imported["metadata"]["name"])
        await eventually(lambda: imports(plane), "the import is made again")
        await settled()
        assert reads > read
        read = reads
        definitions = downstream.resource(CUSTOM_RESOURCE_DEFINITIONS)
        found = await definitions.get(GADGETS)
        found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] = {"extra": {"type": "string"}}
        await definitions.replace(found)

        async def is_imported() -> bool:
            return any('"extra"' in str(each["spec"]).replace("'", '"') for each in await imports(plane))

        await eventually(is_imported, "the changed schema is imported")
        await settled()
        assert reads > read
