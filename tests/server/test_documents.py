"""Discovery, OpenAPI, version, health and metrics over HTTP."""

from __future__ import annotations

import gzip

import pytest

from tests.support.objects import DEFINITIONS, definition
from tests.support.running_server import RunningServer

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
SWAGGER_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def test_the_root_lists_the_paths(server: RunningServer) -> None:
    paths = server.get("/").json["paths"]
    assert paths == sorted(paths)
    assert {"/api", "/api/v1", "/apis/apiextensions.k8s.io/v1", "/livez/ping", "/version", "/openapi/v3/api/v1"} <= set(
        paths
    )


def test_unaggregated_discovery(server: RunningServer) -> None:
    versions = server.get("/api").json
    assert (versions["kind"], versions["versions"]) == ("APIVersions", ["v1"])
    assert versions["serverAddressByClientCIDRs"][0]["serverAddress"] == f"127.0.0.1:{server.port}"
    assert server.get("/apis").json["kind"] == "APIGroupList"
    assert server.get("/apis/rbac.authorization.k8s.io").json["kind"] == "APIGroup"
    assert server.get("/api/v1").json["groupVersion"] == "v1"
    resources = server.get("/apis/rbac.authorization.k8s.io/v1").json["resources"]
    assert "clusterroles" in {resource["name"] for resource in resources}


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery(server: RunningServer, cluster: str, path: str) -> None:
    answer = server.get(cluster + path, Accept=AGGREGATED)
    assert answer.type == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    assert answer.json["kind"] == "APIGroupDiscoveryList"
    assert answer.headers["Vary"] == "Accept"
    again = server.get(cluster + path, Accept=AGGREGATED, If_None_Match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert server.get(cluster + path, Accept=AGGREGATED, If_None_Match='"other"').status == 200


def test_openapi_version_3(server: RunningServer, cluster: str) -> None:
    index = server.get(f"{cluster}/openapi/v3").json["paths"]
    url = index["api/v1"]["serverRelativeURL"]
    assert url.startswith(f"{cluster}/openapi/v3/api/v1?hash=")
    document = server.get(url)
    assert document.json["openapi"].startswith("3.")
    assert "immutable" in document.headers["Cache-Control"]
    assert server.get(url, If_None_Match=document.headers["ETag"]).status == 304
    stale = server.get(f"{cluster}/openapi/v3/api/v1?hash=OLD")
    assert (stale.status, stale.headers["Location"]) == (301, url)
    assert "immutable" not in server.get(f"{cluster}/openapi/v3/api/v1").headers["Cache-Control"]
    assert server.get(f"{cluster}/openapi/v3/api/v9").status == 404


def test_openapi_version_2(server: RunningServer) -> None:
    answer = server.get("/openapi/v2")
    assert answer.json["swagger"] == "2.0"
    packed = server.get("/openapi/v2", Accept=SWAGGER_PROTOBUF)
    assert packed.type == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert packed.body.startswith(b"\n\x032.0")
    assert server.get("/openapi/v2", Accept=SWAGGER_PROTOBUF, If_None_Match=packed.headers["ETag"]).status == 304
    assert server.get("/openapi/v2", Accept="text/html").status == 406


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3/api/v1"])
def test_openapi_is_the_same_with_and_without_gzip_and_never_indented(server: RunningServer, path: str) -> None:
    plain = server.get(f"{path}?pretty=true")
    packed = server.get(path, Accept_Encoding="gzip")
    assert (packed.headers["Content-Encoding"], packed.headers["ETag"]) == ("gzip", plain.headers["ETag"])
    assert gzip.decompress(packed.body) == plain.body
    assert int(plain.headers["Content-Length"]) == len(plain.body)
    assert b"\n" not in plain.body
    head = server.ask("HEAD", path)
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", plain.headers["ETag"])


def test_the_version(server: RunningServer, cluster: str) -> None:
    version = server.get(f"{cluster}/version").json
    assert (version["major"], version["minor"]) == ("1", "37")
    assert version["gitVersion"].startswith("v1.37.0+kcp-")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/livez?exclude=ping"])
def test_a_healthy_server_says_ok_to_everybody(server: RunningServer, path: str) -> None:
    answer = server.get(path, token=None)
    assert (answer.status, answer.body, answer.type) == (200, b"ok", "text/plain; charset=utf-8")


@pytest.mark.parametrize("path", ["/livez/ping", "/readyz/shutdown"])
def test_single_checks_are_for_those_who_may_monitor(server: RunningServer, path: str) -> None:
    assert server.get(path, token=None).status == 403
    answer = server.get(path, token="probe-token")
    assert (answer.status, answer.body, answer.type) == (200, b"ok", "text/plain; charset=utf-8")


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "PUT", "DELETE"])
def test_a_health_check_may_use_any_method(server: RunningServer, method: str) -> None:
    answer = server.ask(method, "/livez")
    assert (answer.status, answer.body) == (200, b"ok")


def test_verbose_lists_each_check(server: RunningServer) -> None:
    lines = server.get("/readyz?verbose").body.decode().splitlines()
    assert lines[0] == "[+]ping ok"
    assert lines[-1] == "readyz check passed"
    assert "[+]shutdown ok" in lines
    excluded = server.get("/readyz?verbose&exclude=ping&exclude=none").body.decode()
    assert "[+]ping excluded: ok" in excluded
    assert 'no matches for "none"' in excluded


def test_a_stopping_server_is_live_and_not_ready(server: RunningServer) -> None:
    server.process.stopping = True
    try:
        answer = server.get("/readyz")
        assert answer.status == 500
        assert "[-]shutdown failed: process is shutting down" in answer.body.decode()
        assert server.get("/livez").status == 200
        assert server.get("/readyz?exclude=shutdown").status == 200
    finally:
        server.process.stopping = False


def test_metrics_have_kubernetes_names_and_no_tenants(server: RunningServer, cluster: str) -> None:
    server.get(f"{cluster}/api/v1/namespaces")
    server.get(f"{cluster}/apis/tenant-group.example.com/v1/tenantthings")
    answer = server.get("/metrics", token="probe-token")
    assert answer.type.startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    for name in (
        "apiserver_request_total",
        "apiserver_request_duration_seconds_bucket",
        'apiserver_current_inflight_requests{request_kind="readOnly"}',
        "apiserver_longrunning_requests",
        "process_resident_memory_bytes",
        "apiserver_storage_size_bytes",
        "kcp_store_revision",
    ):
        assert name in text
    assert 'resource="namespaces"' in text
    assert cluster.removeprefix("/clusters/") not in text
    assert "tenant" not in text


def test_discovery_across_logical_clusters_names_custom_resources(server: RunningServer, cluster: str) -> None:
    server.post(f"{cluster}{DEFINITIONS}", definition("beacons", "Beacon", group="lights.example.com"))
    answer = server.get("/clusters/*/apis/lights.example.com/v1")
    assert [entry["name"] for entry in answer.json["resources"]] == ["beacons"]
    assert server.get("/clusters/*/apis/lights.example.com/v1/beacons").json["kind"] == "BeaconList"


@pytest.mark.parametrize("written", ["spec.v3@v1.0", "spec.v3.v1.0"])
def test_openapi_version_3_as_protobuf(server: RunningServer, cluster: str, written: str) -> None:
    accept = f"application/com.github.proto-openapi.{written}+protobuf"
    answer = server.get(f"{cluster}/openapi/v3/api/v1", Accept=accept)
    assert (answer.status, answer.type) == (200, "application/com.github.proto-openapi.spec.v3.v1.0+protobuf")
    assert answer.body.startswith(b"\x0a\x053.0.0")
    assert server.get(f"{cluster}/openapi/v3", Accept=accept).type == "application/json"
