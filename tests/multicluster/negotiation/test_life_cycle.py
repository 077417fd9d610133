"""What becomes of APIs when objects, versions, users and controllers come and go."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from kcp.client import APIResource, Client, load_configuration
from kcp.multicluster import negotiation
from kcp.multicluster.negotiation.api import IMPORTS, import_name
from kcp.testing import LogicalCluster, Server
from tests.multicluster.negotiation.apis import fields
from tests.multicluster.negotiation.control_plane import DEPLOYMENTS, ControlPlane, condition, field_at, negotiating
from tests.multicluster.negotiation.test_scenarios import EAST, FIELD, WEST, older_cluster
from tests.multicluster.recorded_clusters import RecordedCluster
from tests.support.running_server import HELD
from tests.support.waiting import eventually

CLAIMS = APIResource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
CLAIM = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
NEGOTIATED_CLAIMS = "persistentvolumeclaims.v1.core"


async def published_claims(plane: ControlPlane) -> None:
    """Publish a resource of the core group, and create an object of it."""
    await plane.register("east", RecordedCluster("1.36"), "persistentvolumeclaims")
    await plane.import_is("persistentvolumeclaims.east.v1.core", Available="True")
    await plane.client.resource(CLAIMS, "default").create({**CLAIM, "metadata": {"name": "data"}})


@pytest.mark.parametrize("how", ["the cluster goes", "publish is set to false", "the negotiated resource is deleted"])
async def test_an_api_with_objects_is_kept_until_they_are_deleted(kcp_cluster: LogicalCluster, how: str) -> None:
    async with negotiating(kcp_cluster, auto_publish=how != "publish is set to false", recheck=0.2) as plane:
        if how == "publish is set to false":
            await plane.register("east", RecordedCluster("1.36"), "persistentvolumeclaims")
            await plane.negotiated_is(NEGOTIATED_CLAIMS, Published="False")
            await plane.publish(NEGOTIATED_CLAIMS)
        await published_claims(plane)
        uid = (await plane.negotiated.get(NEGOTIATED_CLAIMS))["metadata"]["uid"]
        if how == "the cluster goes":
            await plane.unregister("east")
        elif how == "publish is set to false":
            await plane.publish(NEGOTIATED_CLAIMS, publish=False)
        else:
            await plane.negotiated.delete(NEGOTIATED_CLAIMS)
        found = await plane.negotiated_is(NEGOTIATED_CLAIMS, Published="ObjectsExist")
        assert condition(found, "Published")["status"] == "True"
        claims = plane.client.resource(CLAIMS, "default")
        assert (await claims.get("data"))["spec"]["accessModes"] == ["ReadWriteOnce"]

        await claims.delete("data")
        if how == "the cluster goes":
            await plane.vanishes(plane.definitions, "persistentvolumeclaims.core")
            await plane.vanishes(plane.negotiated, NEGOTIATED_CLAIMS)
        elif how == "publish is set to false":
            await plane.vanishes(plane.definitions, "persistentvolumeclaims.core")
            await plane.negotiated_is(NEGOTIATED_CLAIMS, Submitted="NotRequested", Published="False")
        else:

            async def is_new() -> bool:
                found = await plane.get(plane.negotiated, NEGOTIATED_CLAIMS)
                return found is not None and found["metadata"]["uid"] != uid

            await eventually(is_new, "there is another negotiated resource")
            await plane.import_is("persistentvolumeclaims.east.v1.core", Compatible="True", Available="True")


async def test_a_deleted_definition_of_the_negotiated_resources_comes_back_while_there_are_imports(
    kcp_cluster: LogicalCluster,
) -> None:
    name = "negotiatedapiresources.apiresource.kcp.io"
    async with negotiating(kcp_cluster) as plane:
        await plane.register("east", RecordedCluster("1.36"))
        await plane.negotiated_is(Published="False")
        uid = (await plane.definitions.get(name))["metadata"]["uid"]
        await plane.definitions.delete(name)
        await plane.definition_is(lambda found: found["metadata"]["uid"] != uid, name)
        await plane.negotiated_is(Published="False")

        await plane.definitions.delete("apiresourceimports.apiresource.kcp.io")
        await plane.vanishes(plane.definitions, "apiresourceimports.apiresource.kcp.io")
        await plane.definitions.delete(name)
        await plane.vanishes(plane.definitions, name)


async def test_the_versions_of_a_resource_are_served_by_one_definition(kcp_cluster: LogicalCluster) -> None:
    name = "horizontalpodautoscalers"
    async with negotiating(kcp_cluster, auto_publish=True) as plane:
        await plane.register("east", RecordedCluster("1.36"), f"{name}.autoscaling")
        await plane.register("west", RecordedCluster("1.20"), f"{name}.autoscaling")
        for version in ("v1", "v2"):
            await plane.import_is(f"{name}.east.{version}.autoscaling", Available="True")
        for version in ("v1", "v2beta1", "v2beta2"):
            await plane.import_is(f"{name}.west.{version}.autoscaling", Available="True")

        def versions(found: dict[str, Any]) -> dict[str, tuple[bool, bool]]:
            return {each["name"]: (each["served"], each["storage"]) for each in found["spec"]["versions"]}

        expected = {"v2": (True, True), "v1": (True, False), "v2beta2": (True, False), "v2beta1": (True, False)}
        definition = await plane.definition_is(lambda found: versions(found) == expected, f"{name}.autoscaling")
        assert len(definition["metadata"]["ownerReferences"]) == 4

        await plane.unregister("east")
        await plane.vanishes(plane.negotiated, f"{name}.v2.autoscaling")
        kept = await plane.definitions.get(f"{name}.autoscaling")
        # objects may be stored in versions that were the storage version once
        assert "v2" not in versions(kept) or versions(kept)["v2"] == (False, False)
        assert versions(kept)["v1"] == (True, True)
        await plane.unregister("west")
        await plane.vanishes(plane.definitions, f"{name}.autoscaling")


async def test_many_clusters_of_different_releases_have_one_api(kcp_cluster: LogicalCluster) -> None:
    names = [import_name("widgets", f"cluster-{number}", "v1", "example.com") for number in range(60)]
    async with negotiating(kcp_cluster, auto_publish=True) as plane:
        for number, name in enumerate(names):
            spec = {
                **fields("a", f"b{number}"),
                "location": f"cluster-{number}",
                "schemaUpdateStrategy": "UpdatePublished",
            }
            await plane.imports.create({"metadata": {"name": name}, "spec": spec})
        for name in names:
            await plane.import_is(name, Compatible="True", Available="True")
        negotiated = await plane.negotiated.get("widgets.v1.example.com")
        assert list(negotiated["spec"]["openAPIV3Schema"]["properties"]["spec"]["properties"]) == ["a"]


async def test_logical_clusters_are_negotiated_apart(kcp_server: Server) -> None:
    first, second = kcp_server.logical_cluster(), kcp_server.logical_cluster()
    async with (
        negotiating(first, auto_publish=True) as plane,
        Client(load_configuration(second.kubeconfig)) as client,
    ):
        other = ControlPlane(client)
        await plane.register("us-east1", RecordedCluster("1.36"))
        await other.register("us-west1", older_cluster())
        await plane.import_is(EAST, Available="True")
        await other.import_is(WEST, Available="True")
        assert field_at(await plane.negotiated.get(DEPLOYMENTS), FIELD) is not None
        assert field_at(await other.negotiated.get(DEPLOYMENTS), FIELD) is None


async def test_a_controller_goes_on_where_another_has_ended(kcp_cluster: LogicalCluster) -> None:
    async with negotiating(kcp_cluster, auto_publish=True) as plane:
        await plane.register("us-east1", RecordedCluster("1.36"))
        await plane.register("us-west1", older_cluster(), strategy=negotiation.UpdateStrategy.PUBLISHED)
        await plane.import_is(WEST, Available="True")
        await plane.import_is(EAST, Available="True")
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        plane = ControlPlane(client)
        await plane.unregister("us-west1")
        assert field_at(await plane.definitions.get("deployments.apps"), FIELD) is None
    async with negotiating(kcp_cluster, auto_publish=True) as plane:
        await plane.definition_is(lambda found: field_at(found, FIELD) is not None)
        await plane.unregister("us-east1")
        await plane.vanishes(plane.negotiated, DEPLOYMENTS)


class DeletingClient(Client):
    """A client beside which a user deletes an import, before each write of its status."""

    def logical_cluster(self, name: str, namespace: str = "default") -> Client:
        other = super().logical_cluster(name, namespace)
        other.__class__ = DeletingClient
        return other

    def resource(self, resource: APIResource, namespace: str | None = None) -> Any:
        verbs = super().resource(resource, namespace)
        if resource == IMPORTS:
            patched = verbs.patch

            async def patch(name: str, *arguments: Any, **options: Any) -> Any:
                await verbs.delete(name)
                return await patched(name, *arguments, **options)

            verbs.patch = patch  # type: ignore[method-assign]
        return verbs


async def test_an_import_that_is_deleted_meanwhile_is_no_failure(
    kcp_cluster: LogicalCluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with DeletingClient(load_configuration(kcp_cluster.kubeconfig)) as client:
        plane = ControlPlane(client)
        with caplog.at_level(logging.WARNING, "kcp"):
            async with negotiation.NegotiationController(client).running():
                spec = {**fields("a"), "location": "east"}
                await plane.imports.create({"metadata": {"name": "widgets.east.v1.example.com"}, "spec": spec})
                await plane.vanishes(plane.imports, "widgets.east.v1.example.com")
                await plane.vanishes(plane.negotiated, "widgets.v1.example.com")
        assert [message for record in caplog.records if HELD not in (message := record.getMessage())] == []


async def test_nothing_is_written_again_when_nothing_has_changed(kcp_cluster: LogicalCluster) -> None:
    async def versions(plane: ControlPlane) -> dict[str, str]:
        found = {}
        for resource in (plane.imports, plane.negotiated, plane.definitions):
            for each in (await resource.list_all()).items:
                found[each["metadata"]["name"]] = each["metadata"]["resourceVersion"]
        return found

    async with negotiating(kcp_cluster, auto_publish=True) as plane:
        await plane.register("us-east1", RecordedCluster("1.36"))
        # an import that comes before the first is published would still narrow the schema
        await plane.import_is(EAST, Available="True")
        await plane.register("us-west1", older_cluster())
        await plane.import_is(WEST, Compatible="False")
        imported = await plane.register("us-east1", RecordedCluster("1.36"))
        assert (imported.written, imported.unchanged) == ([], [EAST])
    async with negotiating(kcp_cluster, auto_publish=True) as plane:
        before = await versions(plane)
        # a change that the controller has to look at, after which it has looked at everything before
        await plane.register("marker", RecordedCluster("1.36"), "replicasets.apps")
        await plane.import_is("replicasets.marker.v1.apps", Available="True")
        after = await versions(plane)
        assert {name: after[name] for name in before} == before


async def test_several_candidates_negotiate_once_and_take_over(kcp_cluster: LogicalCluster) -> None:
    configuration = load_configuration(kcp_cluster.kubeconfig)
    async with Client(configuration) as client:
        plane = ControlPlane(client)
        candidates = [asyncio.create_task(negotiation.run(configuration)) for _ in range(2)]
        leases = client.resource(APIResource("coordination.k8s.io", "v1", "leases", "Lease"), "kube-system")

        async def holder() -> str:
            found = await plane.get(leases, "api-negotiation")
            return str((found or {}).get("spec", {}).get("holderIdentity") or "")

        try:
            first = await eventually(holder, "a candidate leads")
            await plane.register("us-east1", RecordedCluster("1.36"))
            await plane.import_is(EAST, Compatible="True")
            for number, task in enumerate(candidates):
                # the identity does not say which task it is, so both may have to end
                task.cancel()
                await asyncio.wait((task,))
                if number == 0:
                    await plane.register("us-west1", older_cluster())
                    await plane.import_is(WEST, Compatible="True")
            assert first
        finally:
            for task in candidates:
                task.cancel()
            await asyncio.wait(candidates)
