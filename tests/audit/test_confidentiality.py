"""No secret value and no credential is ever in an audit event or a log line, at any level, whatever is sent."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kcp.server.audit.redaction import redacted_uri
from tests.audit.audited_server import EVERYTHING, AuditedServer, audited
from tests.support.objects import DEFINITIONS, definition
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

SECRETS = "/api/v1/namespaces/default/secrets"
MAPS = "/api/v1/namespaces/default/configmaps"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
TOKENS = "/api/v1/namespaces/default/serviceaccounts/default/token"
SAFES = "/apis/example.com/v1/namespaces/default/safes"
FORMS = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
SAFE = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {"combination": {"type": "string", "format": "password", "maxLength": 64}},
        }
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    with audited(tmp_path_factory.mktemp("audit"), EVERYTHING) as running:
        assert running.running.post(DEFINITIONS, definition("safes", "Safe", schema=SAFE)).status == 201
        yield running


class Sender:
    """Sends values in every place of requests where a secret may be, and checks what was recorded."""

    def __init__(self, server: AuditedServer) -> None:
        self.server = server
        self.ask = server.running.ask
        self.name = f"s-{uuid.uuid4().hex[:8]}"

    def secret(self, value: str, **more: Any) -> dict[str, Any]:
        data = {"key": base64.b64encode(value.encode()).decode()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.name}, "data": data, **more}

    def writes_of_secrets(self, value: str) -> None:
        ask, path = self.ask, f"{SECRETS}/{self.name}"
        ask("POST", SECRETS, self.secret(value))
        ask("POST", SECRETS, self.secret(value))
        ask("PUT", path, self.secret(value, stringData={"other": value}))
        ask("PUT", path, self.secret(value, type=f"other/{value}"))
        merge, strategic = "application/merge-patch+json", "application/strategic-merge-patch+json"
        for content_type in (merge, strategic):
            ask("PATCH", path, encoded({"stringData": {"key": value}}), Content_Type=content_type)
            ask("PATCH", path, encoded({"data": {"key": value}}), Content_Type=content_type)
        moved = [
            {"op": "add", "path": "/data/new", "value": value},
            {"op": "copy", "from": "/data/key", "path": "/metadata/name"},
        ]
        ask("PATCH", path, encoded(moved), Content_Type="application/json-patch+json")
        applied = self.secret(value, unknown={"field": value})
        for query in ("", "?fieldManager=t", "?fieldManager=t&force=true&fieldValidation=Strict", "?dryRun=All"):
            ask("PATCH", path + query, encoded(applied), Content_Type="application/apply-patch+yaml")

    def broken_writes(self, value: str) -> None:
        ask = self.ask
        for form in FORMS:
            ask("POST", SECRETS, encoded(self.secret(value))[:-1], Content_Type=form)
        ask("POST", MAPS, self.secret(value))
        ask("POST", f"{MAPS}?fieldValidation=Strict", self.secret(value))
        ask("PUT", f"{MAPS}/a", {**self.secret(value), "kind": "SecretList"})
        ask("POST", "/api/v1/namespaces/default/nothing", self.secret(value))
        ask("POST", SECRETS, self.secret(value, immutable=value))

    def reads_of_secrets(self) -> None:
        for form in (*FORMS, METADATA_ONLY, "application/json;as=Table;g=meta.k8s.io;v=v1"):
            for path in (SECRETS, f"{SECRETS}/{self.name}", "/api/v1/secrets", "/clusters/*/api/v1/secrets"):
                self.ask("GET", f"{path}?includeObject=Object", Accept=form)
                self.ask("GET", path, Accept=form, User_Agent="curl/8")
        with contextlib.suppress(AssertionError), self.server.running.watch(f"{SECRETS}?watch=true") as events:
            next(events)
        self.ask("DELETE", f"{SECRETS}/{self.name}")
        self.ask("DELETE", SECRETS)

    def credentials(self, value: str) -> None:
        ask = self.ask
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": value}}
        ask("POST", REVIEWS, review)
        ask("POST", REVIEWS, {**review, "spec": {"token": {"of": value}}})
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": [value]}}
        ask("POST", TOKENS, request)
        ask("GET", MAPS, token=value)
        ask("GET", "/version", token=None, Authorization=f"Basic {value}")
        for name in ("token", "access_token", "id%5Ftoken", "x-Amz-Security-Token", "client_secret", "PASSWORD"):
            ask("GET", f"{MAPS}?{name}={value}&limit=1")
            ask("GET", f"/version?a=b;{name}={value}")
        protocol = (
            f"base64url.bearer.authorization.k8s.io.{base64.urlsafe_b64encode(value.encode()).decode().rstrip('=')}"
        )
        headers: dict[str, Any] = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec_WebSocket_Version": "13",
            "Sec_WebSocket_Key": base64.b64encode(b"0123456789abcdef").decode(),
            "Sec_WebSocket_Protocol": f"{protocol}, v1.k8s.io",
        }
        with contextlib.suppress(http.client.HTTPException, OSError):
            ask("GET", f"{MAPS}?watch=true", token=None, **headers)

    def custom_resources_with_passwords(self, value: str) -> None:
        safe = {"apiVersion": "example.com/v1", "kind": "Safe", "metadata": {"name": self.name}}
        path, ask = f"{SAFES}/{self.name}", self.ask
        ask("POST", SAFES, {**safe, "spec": {"combination": value}})
        ask("POST", SAFES, {**safe, "spec": {"combination": value * 9}})
        ask("POST", f"{SAFES}?fieldValidation=Strict", {**safe, "spec": {"combination": value, "x": value}})
        patch = encoded({"spec": {"combination": [value]}})
        ask("PATCH", path, patch, Content_Type="application/merge-patch+json")
        ask("GET", path)
        ask("DELETE", path)


def encoded(obj: Any) -> bytes:
    return json.dumps(obj).encode()


def forms_of(value: str) -> list[str]:
    """How a value may be written: as it is, as base64 with and without padding and of both alphabets."""
    packed = base64.b64encode(value.encode()).decode().rstrip("=")
    return [value, packed, packed.replace("+", "-").replace("/", "_")]


# long enough that it is found by chance nowhere, without characters that JSON or URLs escape
VALUES = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=24, max_size=40)


@given(VALUES)
@settings(
    max_examples=6,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_secret_value_is_in_an_event_or_a_log_line(
    server: AuditedServer, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    caplog.set_level(logging.DEBUG)
    sender = Sender(server)
    sender.writes_of_secrets(value)
    sender.broken_writes(value)
    sender.reads_of_secrets()
    sender.credentials(value)
    sender.custom_resources_with_passwords(value)
    last = uuid.uuid4().hex
    server.running.get("/version", Audit_ID=last)
    server.complete(last)
    text = server.log.read_text() + caplog.text
    assert "/secrets" in text
    assert not [form for form in forms_of(value) if form in text]


def test_a_token_that_is_issued_is_in_no_event(server: AuditedServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ask = server.running.post
    requested = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = ask(TOKENS, requested, Audit_ID="token-request")
    assert answer.status == 201
    token = answer.json["status"]["token"]
    assert ask(REVIEWS, {"kind": "TokenReview", "spec": {"token": token}}).json["status"]["authenticated"]
    server.running.get(f"{MAPS}?token={token}", token=token, Audit_ID="with-token")
    assert server.complete("with-token")["user"]["username"] == "system:serviceaccount:default:default"
    assert server.complete("token-request")["level"] == "Metadata"
    text = server.log.read_text() + caplog.text
    assert token not in text
    assert token.rpartition(".")[2] not in text


@pytest.mark.parametrize("level", ["Metadata", "Request", "RequestResponse"])
def test_events_of_secrets_are_cut_to_the_level_metadata(tmp_path: Path, level: str) -> None:
    with audited(tmp_path, {"rules": [{"level": level}]}) as server:
        sender = Sender(server)
        assert server.running.post(SECRETS, sender.secret("value"), Audit_ID="create").status == 201
        complete = server.complete("create")
        assert complete["level"] == "Metadata"
        assert complete["objectRef"]["name"] == sender.name
        assert complete["responseStatus"] == {"metadata": {}, "code": 201}
        assert not {"requestObject", "responseObject"} & set(complete)


def test_a_type_without_confidential_fields_beside_one_with_them_is_recorded(server: AuditedServer) -> None:
    assert server.running.post(DEFINITIONS, definition("boxes", "Box")).status == 201
    box = {"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "b"}, "spec": {"a": 1}}
    boxes = SAFES.replace("safes", "boxes")
    assert server.running.post(boxes, box, Audit_ID="box").status == 201
    assert server.complete("box")["requestObject"] == box
    safe = {"apiVersion": "example.com/v1", "kind": "Safe", "metadata": {"name": "s"}, "spec": {"combination": "123"}}
    assert server.running.post(SAFES, safe, Audit_ID="safe").status == 201
    assert server.complete("safe")["level"] == "Metadata"


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (b"limit=5&continue=abc", "limit=5&continue=abc"),
        (b"token=a", "token=REDACTED"),
        (b"limit=5&access_token=a%20b&x=y", "limit=5&access_token=REDACTED&x=y"),
        (b"%74oken=a", "%74oken=REDACTED"),
        (b"to+ken=a", "to+ken=a"),
        (b"labelSelector=a%3Dtoken", "labelSelector=a%3Dtoken"),
        (b"API_KEY=a;token=b", "API_KEY=REDACTED;token=REDACTED"),
        (b"token", "token"),
        (b"", ""),
    ],
)
def test_values_of_parameters_that_are_credentials_are_replaced(query: bytes, shown: str) -> None:
    assert redacted_uri(b"/version", query) == (f"/version?{shown}" if shown else "/version")


def test_the_request_log_shows_no_query(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kcp.requests")
    with RunningServer(tmp_path, log_requests=True) as running:
        running.get("/version?token=hidden-value")
        wait_until(lambda: [record for record in caplog.records if record.name == "kcp.requests"], "the log line")
    assert "hidden-value" not in "".join(str(vars(record)) for record in caplog.records)
