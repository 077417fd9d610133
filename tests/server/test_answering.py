"""Properties of every response, and the content of refusals."""

from __future__ import annotations

import gzip
import itertools
import json
import uuid
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
import yaml

from kcp.registry.representations import whole_objects
from kcp.registry.requests import Written
from kcp.server.requests.inflight import Slot
from kcp.store.contract import StoreUnavailableError
from tests.support.objects import config_map
from tests.support.running_server import RunningServer


def test_a_response_has_cache_control_and_an_audit_id(server: RunningServer) -> None:
    answer = server.get("/api/v1/namespaces/default")
    assert (answer.status, answer.type) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-cache, private"
    assert uuid.UUID(answer.headers["Audit-Id"]).version == 4


def test_a_given_audit_id_is_kept(server: RunningServer) -> None:
    assert server.get("/version", Audit_Id="abc-123").headers["Audit-Id"] == "abc-123"


def test_a_refusal_is_a_status(server: RunningServer, cluster: str) -> None:
    answer = server.get(f"{cluster}/api/v1/namespaces/default/configmaps/none")
    assert answer.status == 404
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "none" not found',
        "reason": "NotFound",
        "details": {"name": "none", "kind": "configmaps"},
        "code": 404,
    }


@pytest.mark.parametrize(
    "path",
    ["/api/v1//namespaces", "/api/v1/namespaces/%2e%2e/secrets", "/api/v1/namespaces/a%2fb", "/api/v1/namespaces/a%00"],
)
def test_an_ambiguous_path_is_400(server: RunningServer, path: str) -> None:
    answer = server.get(path)
    assert (answer.status, answer.json["reason"]) == (400, "BadRequest")


def test_a_bad_name_of_a_logical_cluster_is_refused_with_the_rule(server: RunningServer) -> None:
    answer = server.get("/clusters/Team_1/api/v1/namespaces")
    assert (answer.status, answer.json["kind"]) == (404, "Status")
    assert "^[a-z0-9]" in answer.json["message"]
    assert server.get("/api/v1/namespaces", X_Kubernetes_Cluster="a.b").status == 404


def test_logical_clusters_are_isolated_and_selected_by_path_or_header(server: RunningServer, cluster: str) -> None:
    name = cluster.removeprefix("/clusters/")
    created = server.post(f"{cluster}/api/v1/namespaces/default/configmaps", config_map("mine"))
    assert created.status == 201, created.body
    path = "/api/v1/namespaces/default/configmaps/mine"
    assert server.get(path).status == 404
    assert server.get(path, X_Kubernetes_Cluster=name).json["metadata"]["uid"] == created.json["metadata"]["uid"]


def test_only_lists_and_watches_span_logical_clusters(server: RunningServer, cluster: str) -> None:
    server.post(f"{cluster}/api/v1/namespaces/default/configmaps", config_map("mine"))
    items = server.get("/clusters/*/api/v1/configmaps").json["items"]
    owners = {item["metadata"]["annotations"]["kcp.io/cluster"] for item in items}
    assert cluster.removeprefix("/clusters/") in owners
    assert server.get("/clusters/*/api/v1/namespaces/default/configmaps/mine").status == 405


def test_yaml_is_sent_on_request_for_errors_too(server: RunningServer) -> None:
    answer = server.get("/api/v1/namespaces/default", Accept="application/yaml")
    assert answer.type == "application/yaml"
    assert yaml.safe_load(answer.body)["metadata"]["name"] == "default"
    refusal = server.get("/api/v1/namespaces/none", Accept="application/yaml")
    assert (refusal.type, yaml.safe_load(refusal.body)["code"]) == ("application/yaml", 404)


def test_nothing_acceptable_is_406_in_json(server: RunningServer) -> None:
    answer = server.get("/api/v1/namespaces", Accept="text/html")
    assert (answer.status, answer.type, answer.json["reason"]) == (406, "application/json", "NotAcceptable")


def test_json_is_indented_with_pretty_and_for_curl_and_browsers(server: RunningServer) -> None:
    path = "/api/v1/namespaces/default"
    plain = server.get(path).body
    assert b"\n  " not in plain
    assert server.get(f"{path}?pretty=true").body.startswith(b'{\n  "')
    assert server.get(path, User_Agent="curl/8.0").body.startswith(b'{\n  "')
    assert b"\n  " not in server.get(f"{path}?pretty=false", User_Agent="curl/8.0").body
    assert json.loads(server.get(f"{path}?pretty=true").body) == json.loads(plain)


def test_head_has_the_head_only(server: RunningServer) -> None:
    answer = server.ask("HEAD", "/api/v1/namespaces/default")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 100


def test_a_table_has_columns_and_rows(server: RunningServer, cluster: str) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = server.get(f"{cluster}/api/v1/namespaces", Accept=accept).json
    assert table["kind"] == "Table"
    assert [row["cells"][0] for row in table["rows"]] == ["default", "kube-public", "kube-system"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    bare = server.get(f"{cluster}/api/v1/namespaces?includeObject=None", Accept=accept).json
    assert "object" not in bare["rows"][0]


def test_a_table_across_logical_clusters_names_the_logical_cluster_first(server: RunningServer, cluster: str) -> None:
    name = f"map-{uuid.uuid4().hex[:8]}"
    assert server.post(f"{cluster}/api/v1/namespaces/default/configmaps", config_map(name)).status == 201
    query = f"fieldSelector=metadata.name%3D{name}"
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = server.get(f"/clusters/*/api/v1/configmaps?{query}", Accept=accept).json
    assert [column["name"] for column in table["columnDefinitions"]] == ["Cluster", "Name", "Data", "Age"]
    (row,) = table["rows"]
    assert row["cells"][:2] == [cluster.removeprefix("/clusters/"), name]
    alone = server.get(f"{cluster}/api/v1/configmaps?{query}", Accept=accept).json
    assert [column["name"] for column in alone["columnDefinitions"]] == ["Name", "Data", "Age"]


def test_a_review_has_no_table(server: RunningServer) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"nonResourceAttributes": {"path": "/healthz", "verb": "get"}},
    }
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    refused = server.post(path, review, Accept=table)
    assert (refused.status, refused.json["reason"]) == (406, "NotAcceptable")
    assert server.post(path, review, Accept=f"{table},application/json").json["status"]["allowed"] is True


def fill(server: RunningServer, cluster: str, count: int, size: int) -> None:
    for number in range(count):
        path = f"{cluster}/api/v1/namespaces/default/configmaps"
        assert server.post(path, config_map(f"big-{number:03}", text="x" * size)).status == 201


def test_large_answers_are_compressed_and_small_ones_are_not(server: RunningServer, cluster: str) -> None:
    fill(server, cluster, 3, 60_000)
    path = f"{cluster}/api/v1/configmaps"
    plain = server.get(path)
    packed = server.get(path, Accept_Encoding="gzip, deflate")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in server.get(f"{path}/", Accept_Encoding="gzip;q=0").headers
    one = server.get(f"{cluster}/api/v1/namespaces/default/configmaps/big-000", Accept_Encoding="gzip")
    assert "Content-Encoding" not in one.headers


def test_a_list_that_streams_is_the_same_list(server: RunningServer, cluster: str) -> None:
    fill(server, cluster, 4, 400_000)
    path = f"{cluster}/api/v1/configmaps"
    plain = server.get(path)
    assert plain.headers["Transfer-Encoding"] == "chunked"
    assert [item["metadata"]["name"] for item in plain.json["items"]] == [f"big-{number:03}" for number in range(4)]
    packed = server.get(path, Accept_Encoding="gzip")
    assert gzip.decompress(packed.body) == plain.body


def test_a_list_that_fails_on_the_way_is_truncated(
    server: RunningServer, cluster: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(server, cluster, 6, 900_000)
    copied, calls = whole_objects._copied, itertools.count()

    def failing(*args: Any) -> list[bytes]:
        if next(calls) == 4:
            raise AssertionError
        return copied(*args)

    monkeypatch.setattr(whole_objects, "_copied", failing)
    with pytest.raises((HTTPException, OSError)):
        server.get(f"{cluster}/api/v1/namespaces/default/configmaps")
    assert "a response was truncated: AssertionError()" in caplog.text


def test_a_body_over_the_limit_is_413(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}/api/v1/namespaces/default/configmaps"
    answer = server.post(path, config_map("big", text="x" * (3 * 1024 * 1024)))
    assert (answer.status, answer.json["reason"]) == (413, "RequestEntityTooLarge")


def test_a_body_of_an_unknown_type_is_415_and_says_which_are_known(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}/api/v1/namespaces/default/configmaps"
    answer = server.post(path, b"<a/>", Content_Type="application/xml")
    assert (answer.status, answer.json["reason"]) == (415, "UnsupportedMediaType")
    assert "application/yaml" in answer.json["message"]
    refused = server.ask("PATCH", f"{path}/a", b"{}", Content_Type="application/json")
    assert (refused.status, refused.json["message"]) == (
        415,
        (
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
            "application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
        ),
    )
    assert server.post(path, b"x", Content_Type="application/json", Content_Encoding="gzip").status == 415


@pytest.mark.parametrize("body", [b"", b"  ", b"{", b"[]", b'"text"', b"\xff"])
def test_a_body_that_is_no_object_is_400(server: RunningServer, cluster: str, body: bytes) -> None:
    path = f"{cluster}/api/v1/namespaces/default/configmaps"
    answer = server.post(path, body, Content_Type="application/json")
    assert (answer.status, answer.json["reason"]) == (400, "BadRequest")


def test_bodies_may_be_yaml(server: RunningServer, cluster: str) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  on: 'yes'\n"
    path = f"{cluster}/api/v1/namespaces/default/configmaps"
    answer = server.post(path, body, Content_Type="application/yaml")
    assert answer.status == 201, answer.body
    assert answer.json["metadata"]["name"] == "a"


def test_warnings_are_sent_as_warning_headers(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}/api/v1/namespaces/default/configmaps"
    body = {**config_map("a"), "extra": 1, 'quo"te\\': 2}
    answer = server.post(path, body)
    assert answer.status == 201, answer.body
    warnings = answer.headers.get_all("Warning")
    assert warnings is not None
    assert '299 - "unknown field \\"extra\\""' in warnings
    assert any('quo\\"te\\\\' in warning for warning in warnings)
    strict = server.post(f"{path}?fieldValidation=Strict", {**config_map("b"), "extra": 1})
    assert strict.status == 400


def test_a_deletion_is_answered_with_a_status_that_names_the_object(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}/api/v1/namespaces/default/configmaps"
    uid = server.post(path, config_map("a")).json["metadata"]["uid"]
    dry = server.ask("DELETE", f"{path}/a?dryRun=All")
    assert (dry.status, server.get(f"{path}/a").status) == (200, 200)
    answer = server.ask("DELETE", f"{path}/a")
    assert answer.status == 200
    assert answer.json["status"] == "Success"
    assert answer.json["details"] == {"name": "a", "kind": "configmaps", "uid": uid}
    assert server.get(f"{path}/a").status == 404


def test_a_collection_is_deleted_by_selection(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}/api/v1/namespaces/default/configmaps"
    for name in ("a", "b"):
        body = config_map(name)
        body["metadata"]["labels"] = {"name": name}
        assert server.post(path, body).status == 201
    answer = server.ask("DELETE", f"{path}?labelSelector=name%3Da")
    assert [item["metadata"]["name"] for item in answer.json["items"]] == ["a"]
    assert server.get(f"{path}/b").status == 200


def test_an_unexpected_error_is_a_500_status_and_is_logged(fresh_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = RunningServer(fresh_root)
    try:
        composition = server.process.composition
        assert composition is not None
        registry = composition.registry

        async def broken(*_: object) -> bytes:
            raise ZeroDivisionError("a secret of the server")

        registry.get = broken  # type: ignore[method-assign, assignment]
        answer = server.get("/api/v1/namespaces/default")
    finally:
        server.stop()
    assert (answer.status, answer.json["reason"]) == (500, "InternalError")
    assert "secret" not in answer.json["message"]
    assert any("a request failed" in record.message for record in caplog.records)


def test_an_unavailable_store_is_503(fresh_root: Path) -> None:
    server = RunningServer(fresh_root)
    try:
        composition = server.process.composition
        assert composition is not None
        registry = composition.registry

        async def full(*_: object) -> Written:
            raise StoreUnavailableError("database or disk is full")

        registry.create = full  # type: ignore[method-assign, assignment]
        answer = server.post("/api/v1/namespaces/default/configmaps", config_map("a"))
    finally:
        server.stop()
    assert (answer.status, answer.json["reason"]) == (503, "ServiceUnavailable")
    assert "disk is full" in answer.json["message"]
    assert answer.headers["Retry-After"] == "1"


def test_requests_over_the_in_flight_limit_are_429_with_retry_after(fresh_root: Path) -> None:
    server = RunningServer(fresh_root, max_requests_inflight=1, enable_priority_and_fairness=False)
    try:
        composition = server.process.composition
        assert composition is not None
        slot = Slot(composition.in_flight.reading)
        slot.enter()
        answer = server.get("/api/v1/namespaces")
        assert (answer.status, answer.json["reason"], answer.headers["Retry-After"]) == (429, "TooManyRequests", "1")
        assert server.get("/livez").status == 200
        slot.leave()
        assert server.get("/api/v1/namespaces").status == 200
    finally:
        server.stop()
