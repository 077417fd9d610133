"""API negotiation as users see it: import and publish, the lowest common API of two clusters, and an API that is enforced."""

from __future__ import annotations

import asyncio
import json

from kcp.testing import LogicalCluster
from tests.multicluster.negotiation.control_plane import condition, field_at, negotiating
from tests.multicluster.recorded_clusters import RecordedCluster
from tests.support.kubectl import CURRENT, Kubectl

EAST, WEST = "deployments.us-east1.v1.apps", "deployments.us-west1.v1.apps"
FIELD = "spec.template.spec.ephemeralContainers"


def kubectl(cluster: LogicalCluster) -> Kubectl:
    return Kubectl(CURRENT, cluster.kubeconfig, home=cluster.kubeconfig.parent)


def older_cluster() -> RecordedCluster:
    """A cluster whose Pods have no ephemeral containers yet."""
    cluster = RecordedCluster("1.36")
    cluster.drop_field("PodSpec", "ephemeralContainers")
    return cluster


async def test_an_imported_api_is_served_when_it_is_published(kcp_cluster: LogicalCluster) -> None:
    async with negotiating(kcp_cluster) as plane:
        await plane.register("us-east1", RecordedCluster("1.36"))
        await plane.import_is(EAST, Compatible="True", Available="NotPublished")
        negotiated = await plane.negotiated_is(Submitted="NotRequested", Published="False", Enforced="False")
        assert negotiated["spec"]["publish"] is False
        run = kubectl(kcp_cluster)
        assert "deployments" not in await asyncio.to_thread(run, "api-resources")

        await plane.publish()
        await plane.negotiated_is(Submitted="True", Published="True", Enforced="False")
        await plane.import_is(EAST, Compatible="True", Available="True")
        definition = await plane.definitions.get("deployments.apps")
        (owner,) = definition["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("NegotiatedAPIResource", "deployments.v1.apps")
        explained = await asyncio.to_thread(run, "explain", "deployment.spec.template.spec.containers")
        assert "KIND:       Deployment" in explained
        assert "imagePullPolicy" in explained
        assert "No resources found" in (await asyncio.to_thread(run.run, "get", "deploy")).stderr
        await asyncio.to_thread(run, "create", "deployment", "web", "--image=web", "--replicas=3")
        header, row = (await asyncio.to_thread(run, "get", "deploy")).splitlines()
        assert header.split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
        assert row.split()[:4] == ["web", "0/3", "0", "0"]


async def test_an_older_cluster_narrows_a_published_api_only_if_it_may(kcp_cluster: LogicalCluster) -> None:
    async with negotiating(kcp_cluster, auto_publish=True) as plane:
        await plane.register("us-east1", RecordedCluster("1.36"))
        await plane.import_is(EAST, Available="True")
        await plane.register("us-west1", older_cluster())
        found = await plane.import_is(WEST, Compatible="IncompatibleSchema", Available="False")
        path = "spec.openAPIV3Schema.properties[spec].properties[template].properties[spec].properties[ephemeralContainers]"
        assert condition(found, "Compatible")["message"].startswith(f"{path}: the property was removed")
        assert field_at(await plane.definitions.get("deployments.apps"), FIELD) is not None

        await plane.set_strategy(WEST, "UpdatePublished")
        await plane.import_is(WEST, Compatible="True", Available="True")
        await plane.definition_is(lambda found: field_at(found, FIELD) is None)
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {
                        "containers": [{"name": "web", "image": "web"}],
                        "ephemeralContainers": [{"name": "debug", "image": "debug"}],
                    },
                },
            },
        }
        run = kubectl(kcp_cluster)
        created = await asyncio.to_thread(run.run, "create", "-f", "-", stdin=json.dumps(deployment))
        assert 'unknown field "spec.template.spec.ephemeralContainers"' in created.stderr

        assert await plane.unregister("us-west1") == [WEST]
        await plane.definition_is(lambda found: field_at(found, FIELD) is not None)
        await plane.import_is(EAST, Compatible="True", Available="True")
        await plane.unregister("us-east1")
        await plane.vanishes(plane.definitions, "deployments.apps")
        await plane.vanishes(plane.negotiated, "deployments.v1.apps")
        assert (await plane.imports.list_all()).items == []
        assert "deployments" not in await asyncio.to_thread(run, "api-resources")


async def test_a_definition_that_a_user_applies_is_enforced(kcp_cluster: LogicalCluster) -> None:
    async with negotiating(kcp_cluster) as plane:
        await plane.register("us-west1", older_cluster())
        negotiated = await plane.negotiated_is()
        names = {field: negotiated["spec"][field] for field in ("plural", "singular", "kind", "listKind")}
        await plane.unregister("us-west1")
        await plane.vanishes(plane.negotiated, "deployments.v1.apps")
        schema = negotiated["spec"]["openAPIV3Schema"]
        schema["properties"]["spec"]["properties"]["team"] = {"type": "string"}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        version["subresources"] = {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        }
        made = await plane.definitions.create(
            {
                "metadata": {
                    "name": "deployments.apps",
                    "annotations": {"api-approved.kubernetes.io": "https://example.com"},
                },
                "spec": {"group": "apps", "scope": "Namespaced", "names": names, "versions": [version]},
            }
        )
        await plane.register("us-east1", RecordedCluster("1.36"))
        await plane.register("us-west1", older_cluster())
        await plane.negotiated_is(Enforced="True", Published="True")
        for name in (EAST, WEST):
            found = await plane.import_is(name, Compatible="IncompatibleSchema", Available="False")
            assert "properties[team]: the property was removed" in condition(found, "Compatible")["message"]
        await plane.set_strategy(WEST, "UpdatePublished")
        await plane.import_is(WEST, Compatible="IncompatibleSchema")
        present = await plane.definitions.get("deployments.apps")
        assert (present["metadata"]["uid"], present["spec"]) == (made["metadata"]["uid"], made["spec"])

        await plane.definitions.delete("deployments.apps")
        negotiated = await plane.negotiated_is(Enforced="False", Published="False")
        assert negotiated["spec"]["publish"] is False
        assert field_at(negotiated, "spec.team") is None
        await plane.import_is(EAST, Compatible="True", Available="False")
        await plane.import_is(WEST, Compatible="True", Available="False")
