"""Recording of clusters: everything that changes is recorded, and nothing is forgotten because it could not be read."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.api.kinds import GroupResource
from kcp.client import Client, load_configuration
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.negotiation import UpdateStrategy, import_apis, remove_imports
from kcp.multicluster.negotiation.api import IMPORTS
from kcp.testing import LogicalCluster, Server
from tests.multicluster.negotiation.control_plane import field_at
from tests.multicluster.recorded_clusters import RecordedCluster, serving
from tests.support.objects import definition

EAST = "deployments.east.v1.apps"


class Importer:
    """The imports of one cluster in a logical cluster."""

    def __init__(self, client: Client, cluster: RecordedCluster) -> None:
        self.client = client
        self.cluster = cluster
        self.imports = client.resource(IMPORTS)

    async def record(self, *names: str, **options: Any) -> Any:
        """Record the cluster once."""
        async with serving(self.cluster) as server, server.client(retries=0) as source:
            return await import_apis(source, self.client, "east", names, **options)

    async def names(self) -> set[str]:
        return {each["metadata"]["name"] for each in (await self.imports.list_all()).items}


@pytest.fixture
def importer(kcp_cluster: LogicalCluster, enter: Any) -> Importer:
    return Importer(enter(Client(load_configuration(kcp_cluster.kubeconfig))), RecordedCluster("1.36"))


async def test_an_import_says_all_that_the_cluster_serves(importer: Importer) -> None:
    imported = await importer.record("deployments.apps", strategy=UpdateStrategy.NEVER)
    assert (imported.written, imported.skipped, imported.missing) == ([EAST], {}, [])
    found = await importer.imports.get(EAST)
    spec = found["spec"]
    assert spec.pop("openAPIV3Schema")["properties"]["spec"]["required"] == ["selector", "template"]
    columns = {column["name"] for column in spec.pop("columnDefinitions")}
    assert "Up-to-date" in columns
    assert [column["name"] for column in spec.pop("computedColumns")["columns"]][:2] == ["Ready", "Up-to-date"]
    assert spec == {
        "location": "east",
        "schemaUpdateStrategy": "UpdateNever",
        "groupVersion": {"group": "apps", "version": "v1"},
        "scope": "Namespaced",
        "plural": "deployments",
        "singular": "deployment",
        "kind": "Deployment",
        "listKind": "DeploymentList",
        "shortNames": ["deploy"],
        "categories": ["all"],
        "subResources": [
            {"name": "status"},
            {"name": "scale", "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        ],
    }
    assert len(found["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:openAPIV3Schema"]) == 0


async def test_an_import_follows_the_cluster_and_keeps_what_a_user_has_set(importer: Importer) -> None:
    await importer.record("deployments.apps")
    await importer.imports.patch(EAST, {"spec": {"schemaUpdateStrategy": "UpdatePublished"}})
    before = await importer.imports.get(EAST)
    assert (await importer.record("deployments.apps")).unchanged == [EAST]
    assert await importer.imports.get(EAST) == before

    importer.cluster.drop_field("DeploymentSpec", "paused")
    documents = importer.cluster.documents["apps/v1"]["resources"]
    (deployment,) = (each for each in documents if each["name"] == "deployments")
    deployment["shortNames"] = ["dep"]
    documents[:] = [each for each in documents if each["name"] != "deployments/scale"]
    imported = await importer.record("deployments.apps", strategy=UpdateStrategy.NEVER)
    assert imported.written == [EAST]
    after = await importer.imports.get(EAST)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert (field_at(before, "spec.paused"), field_at(after, "spec.paused")) == ({"type": "boolean"}, None)
    assert (after["spec"]["shortNames"], after["spec"]["subResources"]) == (["dep"], [{"name": "status"}])
    assert after["spec"]["schemaUpdateStrategy"] == "UpdatePublished"


async def test_an_import_keeps_the_strategy_that_it_was_made_with_until_a_user_sets_another(importer: Importer) -> None:
    async def recorded(field: str, **options: Any) -> str:
        importer.cluster.drop_field("DeploymentSpec", field)
        assert (await importer.record("deployments.apps", **options)).written == [EAST]
        strategy: str = (await importer.imports.get(EAST))["spec"]["schemaUpdateStrategy"]
        return strategy

    assert await recorded("paused", strategy=UpdateStrategy.PUBLISHED) == "UpdatePublished"
    assert await recorded("minReadySeconds", strategy=UpdateStrategy.PUBLISHED) == "UpdatePublished"
    assert await recorded("revisionHistoryLimit") == "UpdatePublished"
    await importer.imports.patch(EAST, {"spec": {"schemaUpdateStrategy": "UpdateNever"}})
    assert await recorded("progressDeadlineSeconds", strategy=UpdateStrategy.PUBLISHED) == "UpdateNever"


async def test_each_version_is_recorded_and_one_that_goes_is_deleted(importer: Importer) -> None:
    name = "horizontalpodautoscalers"
    await importer.record(f"{name}.autoscaling")
    assert await importer.names() == {f"{name}.east.v1.autoscaling", f"{name}.east.v2.autoscaling"}
    importer.cluster.drop_resource("autoscaling/v1", name)
    assert (await importer.record(f"{name}.autoscaling")).deleted == [f"{name}.east.v1.autoscaling"]
    assert await importer.names() == {f"{name}.east.v2.autoscaling"}
    del importer.cluster.documents["autoscaling/v2"]
    imported = await importer.record(f"{name}.autoscaling")
    assert (imported.deleted, imported.missing) == ([f"{name}.east.v2.autoscaling"], [f"{name}.autoscaling"])
    assert await importer.names() == set()


async def test_what_cannot_be_read_is_kept(importer: Importer) -> None:
    await importer.record("deployments.apps", "pods")
    both = {EAST, "pods.east.v1.core"}
    importer.cluster.unavailable.add("apps/v1")
    imported = await importer.record("deployments.apps", "pods")
    assert (imported.deleted, imported.missing) == ([], ["deployments.apps"])
    assert await importer.names() == both
    importer.cluster.unavailable.clear()
    del importer.cluster.schemas["io.k8s.api.apps.v1.Deployment"]  # discovery has it, OpenAPI does not
    imported = await importer.record("deployments.apps", "pods")
    assert (imported.deleted, list(imported.skipped)) == ([], ["deployments.apps"])
    assert await importer.names() == both


async def test_a_resource_that_is_not_named_any_more_is_deleted(importer: Importer) -> None:
    await importer.record("deployments.apps", "pods")
    assert (await importer.record("pods")).deleted == [EAST]


async def test_a_name_that_is_not_served_keeps_what_is_not_named(importer: Importer) -> None:
    await importer.record("deployments.apps", "pods")
    imported = await importer.record("deploy", "pods")
    assert (imported.missing, imported.deleted) == (["deploy"], [])
    importer.cluster.drop_resource("v1", "pods")
    assert (await importer.record("deploy", "pods")).deleted == ["pods.east.v1.core"]
    assert (await importer.record("deployments.apps")).deleted == []
    assert await importer.names() == {EAST}


async def test_imports_of_other_locations_are_left_alone(importer: Importer) -> None:
    await importer.record("deployments.apps")
    async with serving(importer.cluster) as server, server.client() as source:
        await import_apis(source, importer.client, "east-2", ("pods",))
    importer.cluster.documents.clear()
    assert await remove_imports(importer.client, "east") == [EAST]
    assert await importer.names() == {"pods.east-2.v1.core"}


async def test_a_logical_cluster_that_never_had_imports_has_none_to_remove(kcp_cluster: LogicalCluster) -> None:
    async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
        assert await remove_imports(client, "east") == []


async def test_without_names_all_that_kcp_does_not_serve_is_recorded(importer: Importer) -> None:
    served = {GroupResource("", "configmaps"), GroupResource("", "secrets")}
    imported = await importer.record(served=served)
    assert len(imported.written) > 60
    assert list(imported.skipped) == ["customresourcedefinitions.apiextensions.k8s.io"]
    assert not {"configmaps.east.v1.core", "secrets.east.v1.core"} & set(imported.written)


async def test_an_import_belongs_to_its_owner(importer: Importer) -> None:
    owner = {"apiVersion": "example.com/v1", "kind": "Cluster", "name": "east", "uid": "1234"}
    await importer.record("deployments.apps")
    assert (await importer.record("deployments.apps", owner=owner)).written == [EAST]
    assert (await importer.imports.get(EAST))["metadata"]["ownerReferences"] == [owner]
    assert (await importer.record("deployments.apps", owner=owner)).unchanged == [EAST]


async def test_the_versions_of_a_custom_resource_are_recorded_with_its_columns(kcp_server: Server) -> None:
    source, target = (Client(load_configuration(kcp_server.logical_cluster().kubeconfig)) for _ in range(2))
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1}]
    made = definition("widgets", "Widget", version={"additionalPrinterColumns": columns})
    made["spec"]["versions"].append({**made["spec"]["versions"][0], "name": "v2", "storage": False})
    made["spec"]["versions"].append({**made["spec"]["versions"][0], "name": "v3", "storage": False, "served": False})
    async with source, target:
        await source.resource(CUSTOM_RESOURCE_DEFINITIONS).create(made)
        imported = await import_apis(source, target, "east", ["widgets"])
        assert sorted(imported.written) == ["widgets.east.v1.example.com", "widgets.east.v2.example.com"]
        found = await target.resource(IMPORTS).get("widgets.east.v2.example.com")
        assert found["spec"]["columnDefinitions"] == columns
        assert found["spec"]["openAPIV3Schema"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


async def test_a_malformed_import_is_refused_with_its_field(importer: Importer) -> None:
    await importer.record("deployments.apps")
    spec = (await importer.imports.get(EAST))["spec"]
    for field, value in (("schemaUpdateStrategy", "Always"), ("scope", "Global"), ("location", "")):
        with pytest.raises(Exception, match=rf"spec\.{field}"):
            await importer.imports.create({"metadata": {"name": "other"}, "spec": {**spec, field: value}})


async def test_imports_are_printed_in_columns(importer: Importer) -> None:
    await importer.record("deployments.apps")
    found = await importer.imports.table()
    assert [column.name for column in found.columns] == [
        "Name",
        "Location",
        "Schema update strategy",
        "API Version",
        "API Resource",
        "Compatible",
        "Available",
        "Age",
    ]
    assert found.rows[0][:5] == [EAST, "east", "UpdateUnpublished", "apps/v1", "deployments"]
