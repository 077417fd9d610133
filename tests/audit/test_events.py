"""The events of requests to a real server: stages, levels and what each event holds."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kcp.embedding import Exchange, Mount, Parts, RequestInfo
from tests.audit.audited_server import EVERYTHING, AuditedServer, audited
from tests.support.objects import DEFINITIONS, config_map, definition, widget
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

MAPS = "/api/v1/namespaces/default/configmaps"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
APPLY = "application/apply-patch+yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def failing_mount(_: object) -> list[Mount]:
    async def fail(exchange: Exchange, info: RequestInfo) -> None:
        raise RuntimeError("the inner-secret is out")

    return [Mount("/fail", fail)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    with audited(tmp_path_factory.mktemp("audit"), EVERYTHING, Parts(mounts=failing_mount)) as running:
        assert running.running.post(DEFINITIONS, definition("widgets", "Widget")).status == 201
        yield running


@pytest.fixture
def ask(server: AuditedServer) -> Any:
    return server.running.ask


def test_a_create_has_an_event_when_it_is_received_and_one_when_it_is_complete(server: AuditedServer, ask: Any) -> None:
    before = dt.datetime.now(dt.UTC)
    ask(
        "POST",
        f"/clusters/one{MAPS}",
        config_map("a"),
        Audit_ID="create",
        User_Agent="tester/1",
        X_Forwarded_For="10.1.2.3",
    )
    complete = server.complete("create")
    received = server.events("create")[0]
    assert received["stage"] == "RequestReceived"
    assert "responseStatus" not in received
    assert received["stageTimestamp"] == received["requestReceivedTimestamp"]
    assert complete["kind"] == "Event"
    assert complete["apiVersion"] == "audit.k8s.io/v1"
    assert complete["level"] == "RequestResponse"
    assert complete["requestURI"] == f"/clusters/one{MAPS}"
    assert complete["verb"] == "create"
    assert complete["user"] == {"username": "admin", "groups": ["system:masters", "system:authenticated"]}
    assert complete["sourceIPs"] == ["10.1.2.3", "127.0.0.1"]
    assert complete["userAgent"] == "tester/1"
    assert complete["objectRef"] == {
        "resource": "configmaps",
        "namespace": "default",
        "name": "a",
        "apiVersion": "v1",
    }
    assert complete["responseStatus"] == {"metadata": {}, "code": 201}
    assert complete["requestObject"] == config_map("a")
    assert complete["responseObject"]["metadata"]["uid"]
    assert complete["annotations"] == {
        "kcp.io/cluster": "one",
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": complete["annotations"]["authorization.k8s.io/reason"],
    }
    times = [dt.datetime.fromisoformat(complete[name]) for name in ("requestReceivedTimestamp", "stageTimestamp")]
    assert before <= times[0] <= times[1] <= dt.datetime.now(dt.UTC)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps(config_map("indented"), indent=2).encode() + b"\r\n"),
        ("application/yaml", b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata: {a: 'line\\n'}\n"),
    ],
)
def test_a_body_is_recorded_as_json_in_one_line(
    server: AuditedServer, ask: Any, content_type: str, body: bytes
) -> None:
    audit_id = content_type.replace("/", "-")
    assert ask("POST", MAPS, body, Content_Type=content_type, Audit_ID=audit_id).status == 201
    complete = server.complete(audit_id)
    assert complete["requestObject"]["kind"] == "ConfigMap"
    assert complete["objectRef"]["name"] == complete["requestObject"]["metadata"]["name"]


def test_a_body_in_protobuf_is_recorded_as_json(server: AuditedServer, ask: Any) -> None:
    from kcp.api import protobuf

    body = protobuf.encode_body(config_map("proto"))
    headers = {"Content_Type": PROTOBUF, "Accept": PROTOBUF, "Audit_ID": "protobuf"}
    assert ask("POST", MAPS, body, **headers).type == PROTOBUF
    complete = server.complete("protobuf")
    assert complete["requestObject"]["data"] == {"a": "1"}
    assert complete["responseObject"]["metadata"]["name"] == "proto"


@pytest.mark.parametrize(
    "form", ["application/json", "application/yaml", "application/json;as=Table;g=meta.k8s.io;v=v1"]
)
def test_a_list_is_recorded_as_json(server: AuditedServer, ask: Any, form: str) -> None:
    audit_id = f"list-{form[12:]}".replace(";", "-").replace("=", "-").lower()
    assert ask("POST", f"/clusters/lists{MAPS}", config_map(audit_id)).status == 201
    assert ask("GET", f"/clusters/lists{MAPS}", Accept=form, Audit_ID=audit_id).status == 200
    complete = server.complete(audit_id)
    assert complete["verb"] == "list"
    assert complete["responseObject"]["kind"] in ("ConfigMapList", "Table")


def test_patches_and_applies_are_recorded(server: AuditedServer, ask: Any) -> None:
    assert ask("POST", WIDGETS, widget("patched")).status == 201
    patch = [{"op": "replace", "path": "/spec/size", "value": 3}]
    headers = {"Content_Type": "application/json-patch+json", "Audit_ID": "json-patch"}
    assert ask("PATCH", f"{WIDGETS}/patched", json.dumps(patch).encode(), **headers).status == 200
    complete = server.complete("json-patch")
    assert complete["requestObject"] == patch
    assert complete["responseObject"]["spec"] == {"size": 3}
    assert complete["verb"] == "patch"
    applied = b"apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: patched}\nspec: {size: 4}\n"
    headers = {"Content_Type": APPLY, "Audit_ID": "apply"}
    ask("PATCH", f"{WIDGETS}/patched?fieldManager=t&force=true", applied, **headers)
    assert server.complete("apply")["requestObject"]["spec"] == {"size": 4}


def test_the_options_of_a_delete_and_its_answer_are_recorded(server: AuditedServer, ask: Any) -> None:
    assert ask("POST", MAPS, config_map("deleted")).status == 201
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
    assert ask("DELETE", f"{MAPS}/deleted", options, Audit_ID="delete").status == 200
    complete = server.complete("delete")
    assert complete["requestObject"] == options
    assert complete["responseObject"]["status"] == "Success"


def test_a_watch_has_an_event_when_its_response_starts(server: AuditedServer) -> None:
    with server.running.watch(f"{MAPS}?watch=true&timeoutSeconds=600", Audit_ID="watch"):
        started = wait_until(lambda: server.events("watch")[1:], "the response has started")
        assert [event["stage"] for event in started] == ["ResponseStarted"]
        assert started[0]["responseStatus"]["code"] == 200
    complete = server.complete("watch")
    assert complete["verb"] == "watch"
    assert "responseObject" not in complete


def test_a_request_that_is_not_authenticated_has_one_event(server: AuditedServer, ask: Any) -> None:
    assert ask("GET", MAPS, token="wrong-token", Audit_ID="unknown").status == 401
    (event,) = wait_until(lambda: server.events("unknown"), "the event")
    assert event["stage"] == "ResponseStarted"
    assert event["user"] == {}
    assert event["responseStatus"]["code"] == 401
    assert event["responseStatus"]["message"] == "Unauthorized"


def test_a_refused_request_says_why(server: AuditedServer, ask: Any) -> None:
    assert ask("GET", MAPS, token="jane-token", Audit_ID="forbidden").status == 403
    complete = server.complete("forbidden")
    assert complete["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert complete["user"]["username"] == "jane"
    status = complete["responseStatus"]
    assert (status["code"], status["reason"], status["status"]) == (403, "Forbidden", "Failure")
    assert 'User "jane" cannot list resource "configmaps"' in status["message"]


def test_the_impersonated_user_is_named(server: AuditedServer, ask: Any) -> None:
    ask("GET", MAPS, Audit_ID="impersonated", Impersonate_User="joe", Impersonate_Group="devs")
    complete = server.complete("impersonated")
    assert complete["user"]["username"] == "admin"
    assert complete["impersonatedUser"] == {"username": "joe", "groups": ["devs", "system:authenticated"]}
    ask("GET", MAPS, token="jane-token", Audit_ID="not-allowed", Impersonate_User="joe")
    refused = server.complete("not-allowed")
    assert refused["user"]["username"] == "jane"
    assert "impersonatedUser" not in refused
    assert refused["annotations"]["authorization.k8s.io/decision"] == "forbid"


def test_a_fault_of_the_server_is_a_panic_without_its_message(server: AuditedServer, ask: Any) -> None:
    assert ask("GET", "/fail", Audit_ID="fault").status == 500
    event = wait_until(lambda: server.events("fault")[1:], "the event")[0]
    assert event["stage"] == "Panic"
    assert event["responseStatus"]["code"] == 500
    assert "inner-secret" not in "".join(server.lines())


def test_a_request_over_a_path_that_is_no_resource_has_no_object(server: AuditedServer, ask: Any) -> None:
    ask("GET", "/version?timeout=32s", Audit_ID="version")
    complete = server.complete("version")
    assert complete["verb"] == "get"
    assert complete["requestURI"] == "/version?timeout=32s"
    assert "objectRef" not in complete


def test_a_list_that_is_streamed_is_left_out(server: AuditedServer, ask: Any) -> None:
    for number in range(12):
        big = config_map(f"big-{number}", a="x" * 60_000)
        assert ask("POST", f"/clusters/large{MAPS}", big).status == 201
    assert ask("GET", f"/clusters/large{MAPS}", Audit_ID="large").status == 200
    complete = server.complete("large")
    assert "responseObject" not in complete
    assert complete["annotations"]["audit.k8s.io/truncated"] == "true"


def test_a_body_that_does_not_decode_is_not_recorded(server: AuditedServer, ask: Any) -> None:
    assert ask("POST", MAPS, b'{"apiVersion": ', Content_Type="application/json", Audit_ID="broken").status == 400
    complete = server.complete("broken")
    assert "requestObject" not in complete
    assert complete["responseObject"]["code"] == 400


def test_levels_stages_and_managed_fields_follow_the_rule(tmp_path: Path) -> None:
    rules = [
        {"level": "None", "verbs": ["get"]},
        {"level": "Metadata", "verbs": ["list"], "omitStages": ["RequestReceived"]},
        {"level": "Request", "verbs": ["delete"]},
        {"level": "RequestResponse", "omitManagedFields": True},
    ]
    with audited(tmp_path, {"rules": rules}) as server:
        ask = server.running.ask
        made = ask("POST", MAPS, config_map("a"), Audit_ID="create").json
        assert made["metadata"]["managedFields"]
        ask("PUT", f"{MAPS}/a", {**made, "data": {"b": "2"}}, Audit_ID="update")
        ask("GET", f"{MAPS}/a", Audit_ID="get")
        ask("GET", MAPS, Audit_ID="list")
        ask("DELETE", f"{MAPS}/a", Audit_ID="delete")
        for audit_id in ("create", "update"):
            complete = server.complete(audit_id)
            assert complete["responseObject"]["metadata"]["name"] == "a"
            assert "managedFields" not in complete["responseObject"]["metadata"]
            assert "managedFields" not in complete["requestObject"]["metadata"]
        assert server.complete("update")["objectRef"]["uid"] == made["metadata"]["uid"]
        server.complete("delete")
        assert server.events("get") == []
        (listed,) = server.events("list")
        assert listed["stage"] == "ResponseComplete"
        assert not {"requestObject", "responseObject"} & set(listed)
        assert "responseObject" not in server.events("delete")[1]
        counts = metrics_of(server.running)
        assert counts['apiserver_audit_level_total{level="None"}'] >= 1
        assert counts['apiserver_audit_level_total{level="Metadata"}'] == 1
        assert counts["apiserver_audit_event_total"] >= 7
        assert counts['apiserver_audit_error_total{plugin="log"}'] == 0


def metrics_of(server: RunningServer) -> dict[str, float]:
    lines = server.get("/metrics").body.decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if line.startswith("apiserver_audit")]
    return {name: float(value) for name, _, value in pairs}
