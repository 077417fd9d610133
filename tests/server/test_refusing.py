"""Unknown resources and unsupported methods: responses as recorded from kube-apiserver 1.20."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.objects import DEFINITIONS, definition
from tests.support.running_server import Answer, RunningServer
from tests.support.waiting import wait_until

NOT_FOUND = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "the server could not find the requested resource",
    "reason": "NotFound",
    "details": {},
    "code": 404,
}
NOT_ALLOWED = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "the server does not allow this method on the requested resource",
    "reason": "MethodNotAllowed",
    "details": {},
    "code": 405,
}
BODY = {"POST": b"{}", "PUT": b"{}"}


@pytest.fixture(scope="module")
def widgets(server: RunningServer) -> str:
    """A logical cluster with a custom type of each scope."""
    cluster = "/clusters/refusing"
    for more in ({"plural": "widgets", "kind": "Widget"}, {"plural": "gears", "kind": "Gear", "scope": "Cluster"}):
        answer = server.post(cluster + DEFINITIONS, definition(**more))  # type: ignore[arg-type]
        assert answer.status == 201, answer.body
    return f"{cluster}/apis/example.com"


def ask(server: RunningServer, method: str, path: str) -> Answer:
    return server.ask(method, path, BODY.get(method), Content_Type="application/json")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/nothings"),
        ("GET", "/api/v2"),
        ("GET", "/api/v2/things"),
        ("GET", "/api/v1/namespaces/default/nothings"),
        ("GET", "/api/v1/namespaces/default/configmaps/a/b"),
        ("GET", "/api/v1/namespaces/default/configmaps/a/status"),
        ("POST", "/api/v1/namespaces/default/configmaps/a/b"),
        ("GET", "/api/v1/namespaces/default/configmaps/a/b/c/d"),
        ("GET", "/api/v1/configmaps/a"),
        ("GET", "/api/v1/namespaces/default/namespaces/kube-system"),
        ("GET", "/apis/rbac.authorization.k8s.io/v9"),
        ("GET", "/apis/rbac.authorization.k8s.io/v9/roles"),
        ("GET", "/version/x"),
    ],
)
def test_an_unknown_resource_of_a_built_in_group_is_a_status(server: RunningServer, method: str, path: str) -> None:
    answer = ask(server, method, path)
    assert (answer.status, answer.type, answer.json) == (404, "application/json", NOT_FOUND)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("POST", "/nothing"),
        ("GET", "/apis/none"),
        ("GET", "/apis/none.example.com/v1/things"),
        ("GET", "/apis/none.example.com/v1/namespaces/a/things/b"),
        ("GET", "/livez/none"),
        ("GET", "/openapi/v1"),
        ("GET", "/openapi/v3/apis/none/v1"),
        ("GET", "/metrics/x"),
    ],
)
def test_404_of_other_paths_is_plain_text(server: RunningServer, method: str, path: str) -> None:
    answer = ask(server, method, path)
    assert (answer.status, answer.type, answer.body) == (404, "text/plain; charset=utf-8", b"404 page not found\n")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Audit-Id"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v9"),
        ("GET", "/v9/widgets"),
        ("GET", "/v1/nothings"),
        ("GET", "/v1/widgets/a"),
        ("POST", "/v1/widgets"),
        ("DELETE", "/v1/widgets"),
        ("GET", "/v1/namespaces/default/gears/a"),
        ("POST", "/v1/namespaces/default/gears"),
    ],
)
def test_404_of_unknown_custom_resources_is_plain_text(
    server: RunningServer, widgets: str, method: str, path: str
) -> None:
    answer = ask(server, method, widgets + path)
    assert (answer.status, answer.type, answer.body) == (404, "text/plain; charset=utf-8", b"404 page not found\n")


def test_an_unknown_subresource_of_a_custom_resource_is_404_of_the_object(server: RunningServer, widgets: str) -> None:
    answer = server.get(f"{widgets}/v1/namespaces/default/widgets/x/scale")
    assert (answer.status, answer.json["message"]) == (404, 'widgets.example.com "x" not found')
    assert answer.json["details"] == {"name": "x", "group": "example.com", "kind": "widgets"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/namespaces"),
        ("PATCH", "/api/v1/namespaces/default/configmaps"),
        ("POST", "/api/v1/namespaces/default"),
        ("POST", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/namespaces"),
        ("TRACE", "/api/v1/namespaces"),
        ("OPTIONS", "/api/v1/namespaces"),
        ("DELETE", "/api/v1/namespaces/default/status"),
        ("POST", "/version"),
        ("POST", "/api"),
    ],
)
def test_unsupported_methods_of_built_in_types_are_405(server: RunningServer, method: str, path: str) -> None:
    answer = ask(server, method, path)
    assert (answer.status, answer.json) == (405, NOT_ALLOWED)


@pytest.mark.parametrize(("method", "verb"), [("TRACE", "TRACE"), ("POST", "create")])
def test_unsupported_methods_of_custom_resources_are_405_worded_differently(
    server: RunningServer, widgets: str, method: str, verb: str
) -> None:
    answer = ask(server, method, f"{widgets}/v1/namespaces/default/widgets/x")
    assert (answer.status, answer.json["details"]) == (405, {"group": "example.com", "kind": "widgets"})
    assert answer.json["message"] == f'{verb} is not supported on resources of kind "widgets.example.com"'


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_custom_resource_without_its_name_is_400(server: RunningServer, widgets: str, method: str) -> None:
    answer = ask(server, method, f"{widgets}/v1/namespaces/default/widgets")
    assert (answer.status, answer.json["message"]) == (400, "name must be provided")


def test_forbidden_paths_have_empty_details(server: RunningServer) -> None:
    answer: Any = server.get("/nothing", token=None)
    assert (answer.status, answer.json["details"]) == (403, {})
    assert answer.json["message"].startswith('forbidden: User "system:anonymous" cannot get path "/nothing"')


def test_404_of_a_deleted_definition_is_plain_text(server: RunningServer) -> None:
    cluster = "/clusters/refusing-going"
    assert server.post(cluster + DEFINITIONS, definition("cogs", "Cog")).status == 201
    path = f"{cluster}/apis/example.com/v1/cogs"
    assert server.get(path).status == 200
    assert server.ask("DELETE", f"{cluster}{DEFINITIONS}/cogs.example.com").status == 200
    wait_until(lambda: server.get(path).status != 200, "the definition is gone")
    answer = server.get(path)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize("path", ["none", "none/status", "none/scale"])
def test_a_strategic_merge_patch_of_a_custom_resource_is_415(server: RunningServer, cluster: str, path: str) -> None:
    made = definition("dials", "Dial")
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    made["spec"]["versions"][0]["subresources"] = {"status": {}, "scale": scale}
    server.post(f"{cluster}{DEFINITIONS}", made)
    dials = f"{cluster}/apis/example.com/v1/namespaces/default/dials"
    strategic = "application/strategic-merge-patch+json"
    answer = server.ask("PATCH", f"{dials}/{path}", b"{}", Content_Type=strategic)
    assert (answer.status, answer.json["message"]) == (
        415,
        (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        ),
    )


@pytest.mark.parametrize("text", ["a: &x 1\nb: *%s"])
def test_a_body_of_a_secret_that_cannot_be_parsed_is_not_quoted(server: RunningServer, cluster: str, text: str) -> None:
    body = (text % "correct-horse").encode()
    answers = {
        kind: server.post(f"{cluster}/api/v1/namespaces/default/{kind}", body, Content_Type="application/yaml")
        for kind in ("configmaps", "secrets")
    }
    assert [answer.status for answer in answers.values()] == [400, 400]
    assert "correct-horse" in answers["configmaps"].json["message"]
    assert "correct-horse" not in answers["secrets"].json["message"]


def test_a_resource_version_from_the_future_is_504_with_retry_after(server: RunningServer) -> None:
    answer = server.get("/api/v1/namespaces/default/configmaps?resourceVersion=99999999999")
    assert (answer.status, answer.json["reason"], answer.headers["Retry-After"]) == (504, "Timeout", "1")
    assert answer.json["message"].startswith("Timeout: Too large resource version: 99999999999, current: ")
    assert answer.json["details"] == {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
