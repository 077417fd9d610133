"""Responses in Kubernetes protobuf, for built-in types and for clients that accept nothing else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import IO, Any

import pytest

from kcp.api.protobuf import MAGIC, decode_body, encode_body, wire
from kcp.api.protobuf.decoding import decode_message
from kcp.builtin.registration import declare
from tests.support.objects import DEFINITIONS, config_map, definition
from tests.support.running_server import Answer, RunningServer

declare()  # the messages, for reading answers

PROTOBUF = "application/vnd.kubernetes.protobuf"
MAPS = "/api/v1/namespaces/default/configmaps"


def ask(server: RunningServer, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """Send a request that accepts only protobuf."""
    sent: dict[str, Any] = {"Accept": PROTOBUF, "Content_Type": PROTOBUF, **headers}
    return server.ask(method, path, body, **sent)


def read(answer: Answer) -> dict[str, Any]:
    assert answer.type == PROTOBUF, (answer.type, answer.body)
    return decode_body(answer.body)


def read_kind(answer: Answer) -> str:
    """The kind of an object or list."""
    assert answer.type == PROTOBUF, (answer.type, answer.body)
    return dict(parts(dict(parts(answer.body.removeprefix(MAGIC)))[1]))[2].decode()


def read_list(answer: Answer, message: str) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """The kind, the metadata and the items of a list."""
    assert answer.type == PROTOBUF, (answer.type, answer.body)
    envelope = dict(parts(answer.body.removeprefix(MAGIC)))
    kind = read_kind(answer)
    contents = parts(envelope[2])
    (metadata,) = [decode_message(value, "meta.ListMeta") for number, value in contents if number == 1]
    return kind, metadata, [decode_message(value, message) for number, value in contents if number == 2]


def parts(data: bytes) -> list[tuple[int, bytes]]:
    return [(number, value) for number, _, value in wire.fields(data) if isinstance(value, bytes)]


def events(stream: IO[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Parse the events of a watch, each after its length."""
    while head := stream.read(4):
        event = dict(parts(stream.read(int.from_bytes(head, "big"))))
        yield event[1].decode(), decode_body(dict(parts(event[2]))[1])


@contextlib.contextmanager
def watch(
    server: RunningServer, path: str, accept: str = f"{PROTOBUF};stream=watch"
) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    connection = server.connect()
    with contextlib.closing(connection):
        connection.request("GET", path, headers=server.headers(Accept=accept))
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Type"]) == (200, f"{PROTOBUF};stream=watch")
        yield events(response)


def test_an_object_is_created_read_and_deleted(server: RunningServer, cluster: str) -> None:
    created = ask(
        server, "POST", cluster + MAPS, encode_body({**config_map("a", key="value"), "binaryData": {"b": "AP8="}})
    )
    assert created.status == 201
    assert read(created) == server.get(f"{cluster}{MAPS}/a").json
    assert read(ask(server, "GET", f"{cluster}{MAPS}/a", User_Agent="curl/8.0")) == read(created)
    merge = {"Content_Type": "application/merge-patch+json"}
    assert read(ask(server, "PATCH", f"{cluster}{MAPS}/a", b'{"data":{"key":"new"}}', **merge))["data"] == {
        "key": "new"
    }
    options = encode_body({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})
    deleted = read(ask(server, "DELETE", f"{cluster}{MAPS}/a", options))
    assert (deleted["kind"], deleted["status"]) == ("Status", "Success")
    assert deleted["details"] == {"name": "a", "kind": "configmaps", "uid": read(created)["metadata"]["uid"]}


def test_a_list_is_paged(server: RunningServer, cluster: str) -> None:
    for name in ("a", "b", "c"):
        assert server.post(cluster + MAPS, config_map(name)).status == 201
    kind, first, items = read_list(ask(server, "GET", f"{cluster}{MAPS}?limit=2"), "core.ConfigMap")
    assert (kind, [item["metadata"]["name"] for item in items]) == ("ConfigMapList", ["a", "b"])
    assert first["remainingItemCount"] == 1
    more = f"{cluster}{MAPS}?limit=2&continue={first['continue']}"
    _, last, rest = read_list(ask(server, "GET", more), "core.ConfigMap")
    assert [item["metadata"]["name"] for item in rest] == ["c"]
    assert last == {"resourceVersion": first["resourceVersion"]}


def test_a_large_list_is_complete(server: RunningServer, cluster: str) -> None:
    for number in range(4):
        assert server.post(cluster + MAPS, config_map(f"big-{number}", text="x" * 300_000)).status == 201
    _, _, items = read_list(ask(server, "GET", cluster + MAPS), "core.ConfigMap")
    assert [len(item["data"]["text"]) for item in items] == [300_000] * 4


def test_objects_of_all_logical_clusters_have_the_annotation(server: RunningServer, cluster: str) -> None:
    assert server.post(cluster + MAPS, config_map("here")).status == 201
    _, _, items = read_list(ask(server, "GET", "/clusters/*/api/v1/configmaps"), "core.ConfigMap")
    owners = {item["metadata"]["annotations"]["kcp.io/cluster"] for item in items}
    assert cluster.removeprefix("/clusters/") in owners


def test_a_watch_gives_events_and_bookmarks(server: RunningServer, cluster: str) -> None:
    assert server.post(cluster + MAPS, config_map("before", key="1")).status == 201
    initial = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    with watch(server, f"{cluster}{MAPS}?{initial}") as seen:
        kind, obj = next(seen)
        assert (kind, obj["metadata"]["name"]) == ("ADDED", "before")
        assert obj == server.get(f"{cluster}{MAPS}/before").json
        kind, obj = next(seen)
        assert (kind, obj["kind"]) == ("BOOKMARK", "ConfigMap")
        assert obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert server.ask("DELETE", f"{cluster}{MAPS}/before").status == 200
        kind, obj = next(seen)
        assert (kind, obj["metadata"]["name"]) == ("DELETED", "before")


def test_a_watch_from_an_unavailable_revision_gets_an_error_event(server: RunningServer, cluster: str) -> None:
    with watch(server, f"{cluster}{MAPS}?watch=true&resourceVersion=99999999") as seen:
        kind, status = next(seen)
        assert (kind, status["kind"], status["code"], status["reason"]) == ("ERROR", "Status", 410, "Expired")
        assert next(seen, None) is None


def test_json_and_protobuf_watchers_get_the_same_events(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}{MAPS}?watch=true&resourceVersion=0"
    with watch(server, path) as binary, server.watch(path) as text:
        for number in range(3):
            assert server.post(cluster + MAPS, config_map(f"m-{number}", key="1")).status == 201
        for _ in range(3):
            kind, obj = next(binary)
            assert {"type": kind, "object": obj} == next(text)


def test_refusals_are_protobuf_too(server: RunningServer, cluster: str) -> None:
    missing = ask(server, "GET", f"{cluster}{MAPS}/none")
    assert (missing.status, read(missing)["message"]) == (404, 'configmaps "none" not found')
    invalid = ask(server, "POST", cluster + MAPS, encode_body(config_map("A B")))
    assert (invalid.status, read(invalid)["details"]["causes"][0]["field"]) == (422, "metadata.name")


def test_custom_resources_have_no_protobuf_form(server: RunningServer, cluster: str) -> None:
    assert server.post(cluster + DEFINITIONS, definition("widgets", "Widget")).status == 201
    path = f"{cluster}/apis/example.com/v1/namespaces/default/widgets"
    for place in (path, f"{path}?watch=true", f"{path}/a"):
        answer = ask(server, "GET", place)
        assert (answer.status, read(answer)["reason"]) == (406, "NotAcceptable")
    assert server.get(path, Accept=f"{PROTOBUF}, */*").json["kind"] == "WidgetList"


def test_a_kind_of_kubernetes_that_a_definition_serves_has_a_protobuf_form(server: RunningServer, cluster: str) -> None:
    of_apps = definition("deployments", "Deployment", group="apps")
    of_apps["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://example.com/approved"}
    assert server.post(cluster + DEFINITIONS, of_apps).status == 201
    path = f"{cluster}/apis/apps/v1/namespaces/default/deployments"
    sent = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 3}}
    with watch(server, f"{path}?watch=true") as seen:
        created = read(ask(server, "POST", path, encode_body(sent)))
        assert created["spec"] == {"replicas": 3}
        assert next(seen) == ("ADDED", created)
        assert read(ask(server, "GET", f"{path}/web")) == created
        kind, _, items = read_list(ask(server, "GET", path), "apps.Deployment")
        assert (kind, [item["spec"] for item in items]) == ("DeploymentList", [{"replicas": 3}])
        sent["metadata"], sent["spec"] = {"name": "odd"}, {"replicas": "many"}
        assert server.post(path, sent).status == 201
        assert next(seen)[0] == "ERROR"
    for place in (path, f"{path}/odd"):
        refused = ask(server, "GET", place)
        assert (refused.status, read(refused)["reason"]) == (406, "NotAcceptable")
        assert 'Deployment "odd" cannot be encoded as a protobuf message: field replicas' in read(refused)["message"]
    assert server.get(path).json["items"][0]["spec"] == {"replicas": "many"}


@pytest.mark.parametrize(
    "accept", [f"{PROTOBUF},application/json", f"{PROTOBUF}, */*", f"{PROTOBUF};q=1,application/json;q=0.1"]
)
def test_clients_that_accept_json_too_get_json(server: RunningServer, accept: str) -> None:
    answer = server.get("/api/v1/namespaces/default", Accept=accept)
    assert (answer.type, answer.json["kind"]) == ("application/json", "Namespace")


@pytest.mark.parametrize("form", ["Table", "PartialObjectMetadata"])
def test_other_representations_are_json_where_the_client_accepts_it(server: RunningServer, form: str) -> None:
    only = f"{PROTOBUF};as={form};g=meta.k8s.io;v=v1"
    answer = server.get("/api/v1/namespaces/default", Accept=f"{only},application/json;as={form};g=meta.k8s.io;v=v1")
    assert (answer.status, answer.json["kind"]) == (200, form)


def test_a_table_has_no_protobuf_form(server: RunningServer) -> None:
    assert server.get("/api/v1/namespaces/default", Accept=f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1").status == 406


def metadata_accept(kind: str, version: str = "v1") -> str:
    return f"{PROTOBUF};as={kind};g=meta.k8s.io;v={version}"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize("custom", [False, True])
def test_metadata_of_any_type_has_a_protobuf_form(
    server: RunningServer, cluster: str, version: str, custom: bool
) -> None:
    path, body = cluster + MAPS, config_map("a", key="value")
    if custom:
        assert server.post(cluster + DEFINITIONS, definition("widgets", "Widget")).status == 201
        path = f"{cluster}/apis/example.com/v1/namespaces/default/widgets"
        body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}
    stored = server.post(path, body).json["metadata"]
    shown = read(server.get(f"{path}/a", Accept=metadata_accept("PartialObjectMetadata", version)))
    assert shown == {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": stored}
    listed = server.get(path, Accept=metadata_accept("PartialObjectMetadataList", version))
    kind, _, items = read_list(listed, "meta.PartialObjectMetadata")
    assert (kind, items) == ("PartialObjectMetadataList", [{"metadata": stored}])


def test_a_watch_of_metadata_is_protobuf(server: RunningServer, cluster: str) -> None:
    stored = server.post(cluster + MAPS, config_map("a", key="value")).json["metadata"]
    initial = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    accept = f"{metadata_accept('PartialObjectMetadata')};stream=watch"
    with watch(server, f"{cluster}{MAPS}?{initial}", accept) as seen:
        kind, obj = next(seen)
        assert (kind, obj["kind"], obj["metadata"]) == ("ADDED", "PartialObjectMetadata", stored)
        kind, obj = next(seen)
        assert (kind, obj["kind"], obj["apiVersion"]) == ("BOOKMARK", "PartialObjectMetadata", "meta.k8s.io/v1")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api", "APIVersions"),
        ("/apis", "APIGroupList"),
        ("/apis/coordination.k8s.io", "APIGroup"),
        ("/api/v1", "APIResourceList"),
        ("/apis/coordination.k8s.io/v1", "APIResourceList"),
    ],
)
def test_discovery_is_the_same_in_both_forms(server: RunningServer, path: str, kind: str) -> None:
    found = read(ask(server, "GET", path))
    assert found["kind"] == kind
    assert found == {"apiVersion": "", **server.get(path).json}


def test_every_built_in_type_can_be_listed(server: RunningServer, cluster: str) -> None:
    groups = server.get(f"{cluster}/apis").json["groups"]
    places = ["/api/v1", *(f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"])]
    listed = 0
    for place in places:
        for resource in server.get(cluster + place).json["resources"]:
            if "list" not in resource["verbs"]:
                continue
            answer = ask(server, "GET", f"{cluster}{place}/{resource['name']}")
            assert answer.status == 200, (place, resource, answer.body)
            assert read_kind(answer) == f"{resource['kind']}List"
            listed += 1
    assert listed > 15


def test_a_review_is_answered(server: RunningServer) -> None:
    body = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    answer = ask(server, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", encode_body(body))
    assert (answer.status, read(answer)["status"]["userInfo"]["username"]) == (201, "admin")


def test_a_form_that_is_not_served_is_406_in_json(server: RunningServer) -> None:
    answer = server.get("/api/v1/namespaces/none", Accept="text/html")
    assert (answer.status, answer.type, json.loads(answer.body)["reason"]) == (406, "application/json", "NotAcceptable")
