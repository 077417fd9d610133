"""Services: an empty list, until a CustomResourceDefinition takes the names."""

from __future__ import annotations

from typing import Any

from tests.support.objects import DEFINITIONS, config_map, definition
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

SERVICES = definition("services", "Service", group="")
SERVICES["metadata"]["name"] = "services.core"


def service(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}


def resource(server: RunningServer, cluster: str) -> dict[str, Any]:
    found = [entry for entry in server.get(f"{cluster}/api/v1").json["resources"] if entry["name"] == "services"]
    assert len(found) == 1, found
    return found[0]  # type: ignore[no-any-return]


def test_the_list_is_empty_and_can_only_be_read(server: RunningServer, cluster: str) -> None:
    for path in ("/api/v1/services", "/api/v1/namespaces/kube-system/services?labelSelector=a%3Db"):
        answer = server.get(cluster + path)
        assert (answer.status, answer.json["kind"], answer.json["items"]) == (200, "ServiceList", [])
    assert server.get(f"{cluster}/api/v1/namespaces/default/services/a").json["reason"] == "NotFound"
    assert resource(server, cluster)["verbs"] == ["get", "list"]
    assert "categories" not in resource(server, cluster)
    tabled = server.get(f"{cluster}/api/v1/services", Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert (tabled.json["kind"], tabled.json["rows"]) == ("Table", [])


def test_writes_and_watches_are_405_with_advice(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}/api/v1/namespaces/default/services"
    for method, place in (("POST", ""), ("PUT", "/a"), ("DELETE", "/a"), ("DELETE", ""), ("GET", "?watch=true")):
        answer = server.ask(method, path + place, service("a") if method in ("POST", "PUT") else None)
        assert (answer.status, answer.json["reason"]) == (405, "MethodNotAllowed"), answer.body
        assert "CustomResourceDefinition named services.core" in answer.json["message"]


def test_the_placeholder_gives_way_to_a_definition_and_returns_after_it(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}/api/v1/namespaces/default/services"
    created = server.post(cluster + DEFINITIONS, SERVICES)
    assert created.status == 201, created.body
    conditions = {entry["type"]: entry["status"] for entry in created.json["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert "create" in resource(server, cluster)["verbs"]
    assert server.post(path, service("web")).status == 201
    assert [item["metadata"]["name"] for item in server.get(path).json["items"]] == ["web"]
    everywhere = server.get("/clusters/*/api/v1/services").json["items"]
    assert "web" in {item["metadata"]["name"] for item in everywhere}
    assert server.get("/clusters/another-one/api/v1/services").json["items"] == []
    assert server.ask("DELETE", f"{cluster}{DEFINITIONS}/services.core").status == 200
    wait_until(lambda: resource(server, cluster)["verbs"] == ["get", "list"], "the placeholder is back")
    assert server.get(path).json["items"] == []


def test_the_kind_of_the_placeholder_can_be_used_by_a_definition(server: RunningServer, cluster: str) -> None:
    other = definition("facilities", "Service", group="")
    other["metadata"]["name"] = "facilities.core"
    assert server.post(cluster + DEFINITIONS, other).status == 201
    resources = {entry["name"]: entry["kind"] for entry in server.get(f"{cluster}/api/v1").json["resources"]}
    assert resources["facilities"] == "Service"
    assert "services" not in resources


def test_dependents_of_a_service_are_not_garbage_collected(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}/api/v1/namespaces/default/configmaps"
    for name, kind in (("kept", "Service"), ("collected", "ConfigMap")):
        body = config_map(name)
        body["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": kind, "name": "x", "uid": "none"}]
        assert server.post(path, body).status == 201
    wait_until(lambda: server.get(f"{path}/collected").status == 404, "the other dependent is collected")
    assert server.get(f"{path}/kept").status == 200


def test_a_namespace_is_deleted_although_its_services_cannot_be(server: RunningServer, cluster: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going"}}
    assert server.post(f"{cluster}/api/v1/namespaces", body).status == 201
    assert server.ask("DELETE", f"{cluster}/api/v1/namespaces/going").status == 200
    wait_until(lambda: server.get(f"{cluster}/api/v1/namespaces/going").status == 404, "the namespace is deleted")
