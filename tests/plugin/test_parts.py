"""Servers with parts of their own: a real server calls each part."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kcp.embedding import (
    AdmissionRequest,
    AuditEvent,
    Configuration,
    Credentials,
    Decision,
    Exchange,
    Mount,
    Parts,
    Registry,
    RequestContext,
    RequestInfo,
    RequestRecord,
    ResourceType,
    Rules,
    StatusError,
    Target,
    User,
    authenticated,
    default_authenticators,
    default_authorizers,
    default_controllers,
    open_storage,
)
from kcp.testing import Server
from tests.support.objects import config_map

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"
MAPS = "/api/v1/namespaces/default/configmaps"


def ask(url: str, authority: Path, token: str = "", body: Any = None, **headers: str) -> tuple[int, str, Any]:
    """Send one request; return its status, its body, and its header fields."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    if data is not None:
        sent["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data, sent)
    context = ssl.create_default_context(cafile=str(authority))
    try:
        with urllib.request.urlopen(request, context=context) as response:
            return response.status, response.read().decode(), response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def asking(server: Server) -> Callable[..., tuple[int, str, Any]]:
    def asked(path: str, token: str = "", **more: Any) -> tuple[int, str, Any]:
        return ask(server.url + path, server.certificate_authority, token or server.token, **more)

    return asked


class BadgeHeader:
    """Authenticates by a header field of its own."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        badge = credentials.headers.get(b"x-badge")
        return authenticated(badge.decode()) if badge else None


class FixedToken:
    """Authenticates one token."""

    async def authenticate_token(self, token: bytes, cluster: str) -> User | None:
        return authenticated("guest") if token == b"guest-token" else None


class Asked:
    """An authorizer that records requests, and allows users with a badge to read."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    async def decide(self, user: User, attributes: Any) -> Decision:
        self.seen.append((user.name, attributes.verb, attributes.resource))
        return Decision(user.name == "visitor" and attributes.verb in ("list", "impersonate"))

    async def rules_for(self, *_: object) -> Rules:
        return Rules((), ())


def test_authenticators_and_authorizers_are_asked_beside_the_server_s_own() -> None:
    asked = Asked()
    parts = Parts(
        authenticators=lambda environment: [*default_authenticators(environment), BadgeHeader()],
        token_authenticators=lambda _: [FixedToken()],
        authorizers=lambda environment: [*default_authorizers(environment), asked],
    )
    with Server(parts=parts) as server:

        def get(path: str, token: str = "", **headers: str) -> tuple[int, str, Any]:
            return ask(server.url + path, server.certificate_authority, token, **headers)

        assert get(MAPS, X_Badge="visitor")[0] == 200
        assert get(MAPS, X_Badge="other")[0] == 403
        assert get(MAPS, "guest-token")[0] == 403
        assert get(MAPS, server.token)[0] == 401, "the default token authenticator was replaced"
        status, body, _ = get(MAPS, X_Badge="visitor", Impersonate_User="guest")
        assert status == 403
        assert 'User "guest" cannot list' in json.loads(body)["message"]
    assert ("visitor", "impersonate", "users") in asked.seen
    assert ("guest", "list", "configmaps") in asked.seen


class Probe:
    """An admission plugin that labels each object and refuses one name."""

    def handles(self, type_: ResourceType, operation: str, subresource: str) -> bool:
        return type_.plural == "configmaps" and operation in ("CREATE", "DELETE")

    async def mutate(self, attributes: AdmissionRequest) -> None:
        if attributes.object is not None and attributes.operation == "CREATE":
            attributes.object["metadata"].setdefault("labels", {})["probed"] = "yes"

    async def validate(self, attributes: AdmissionRequest) -> None:
        if attributes.object is not None and attributes.object["metadata"].get("name") == "bad":
            raise StatusError(403, "Forbidden", "refused by the probe")


def test_admission_plugins_change_and_refuse_writes() -> None:
    with Server(parts=Parts(admission_plugins=lambda _: [Probe()])) as server:
        request = asking(server)
        status, body, _ = request(MAPS, body=config_map("good"))
        assert (status, json.loads(body)["metadata"]["labels"]) == (201, {"probed": "yes"})
        status, body, _ = request(MAPS, body=config_map("bad"))
        assert (status, json.loads(body)["message"]) == (403, "refused by the probe")


def test_filters_see_authorized_requests_and_sinks_see_complete_ones() -> None:
    records: list[RequestRecord] = []

    class Sink:
        def record(self, record: RequestRecord) -> None:
            records.append(record)

    async def closed(exchange: Exchange, info: RequestInfo) -> None:
        exchange.warnings.append("the office closes at five")
        if info.resource == "secrets":
            raise StatusError(403, "Forbidden", "no secrets here")

    parts = Parts(filters=lambda _: [closed], audit_sinks=lambda _: [Sink()])
    with Server(parts=parts) as server:
        request = asking(server)
        _, _, headers = request(MAPS, Audit_ID="my-audit")
        assert headers["Warning"] == '299 - "the office closes at five"'
        status, body, _ = request("/api/v1/secrets")
        assert (status, json.loads(body)["message"]) == (403, "no secrets here")
    listed = next(record for record in records if record.audit_id == "my-audit")
    assert (listed.verb, listed.resource, listed.namespace, listed.status) == ("list", "configmaps", "default", 200)
    assert listed.user.name == "admin"
    refused = next(record for record in records if record.resource == "secrets")
    assert (refused.status, refused.namespace) == (403, "")


def test_mounts_are_served_listed_and_replace_the_server_s_own() -> None:
    async def echo(exchange: Exchange, info: RequestInfo) -> None:
        await exchange.send(200, "/".join(info.parts).encode(), b"text/plain")

    mounts = [
        Mount("/echo", echo, methods=frozenset({"GET", "POST"}), subpaths=True),
        Mount("/echo/exact", echo),
        Mount("/version", echo),
    ]
    with Server(parts=Parts(mounts=lambda _: mounts)) as server:
        request = asking(server)
        assert request("/echo")[:2] == (200, "echo")
        assert request("/echo/a/b", body={})[:2] == (200, "echo/a/b")
        assert request("/echo/exact", body={})[0] == 405
        assert request("/version")[:2] == (200, "version")
        assert request("/version/x")[0] == 404
        paths = json.loads(request("/")[1])["paths"]
        assert {"/echo", "/echo/exact", "/version", "/metrics", "/api/v1", "/openapi/v3/api/v1"} <= set(paths)
        assert paths == sorted(paths)


def test_a_mount_reads_and_writes_objects_through_the_registry() -> None:
    def mounts(registry: Registry) -> Sequence[Mount]:
        async def note(exchange: Exchange, info: RequestInfo) -> None:
            maps = registry.find_type(info.cluster, "", "v1", "configmaps")
            assert maps is not None
            context = RequestContext(exchange.user, info.cluster)
            await registry.create(context, Target(maps, "default"), config_map("noted"))
            await exchange.send(200, await registry.get(context, Target(maps, "default", "noted")), b"application/json")

        return [Mount("/note", note)]

    with Server(parts=Parts(mounts=mounts)) as server:
        request = asking(server)
        status, text, _ = request("/note")
        assert (status, json.loads(text)["metadata"]["name"]) == (200, "noted")
        assert request(f"{MAPS}/noted")[0] == 200


def test_controllers_are_started_in_order_and_stopped_the_other_way_round() -> None:
    events: list[str] = []

    class Recorded:
        def __init__(self, name: str) -> None:
            self.name = name

        async def start(self) -> None:
            events.append(f"start {self.name}")

        async def stop(self) -> None:
            events.append(f"stop {self.name}")

    def controllers(registry: Any) -> Sequence[Any]:
        return [*default_controllers(registry), Recorded("a"), Recorded("b")]

    with Server(parts=Parts(controllers=controllers)):
        assert events == ["start a", "start b"]
    assert events[2:] == ["stop b", "stop a"]


def test_the_backend_is_opened_by_its_part() -> None:
    opened: list[Configuration] = []

    async def backend(configuration: Configuration, stack: Any) -> Any:
        opened.append(configuration)
        return await open_storage(configuration, stack)

    with Server(parts=Parts(backend=backend)) as server:
        assert asking(server)(MAPS)[0] == 200
    assert len(opened) == 1


def test_a_separate_process_cannot_have_parts() -> None:
    with pytest.raises(ValueError, match="in_process=True"):
        Server(parts=Parts(), in_process=False)


def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "program.py"
    path.write_text(program)
    root = tmp_path / "root"
    command = [sys.executable, str(path), str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        authority = root / "data" / "ca.crt"
        assert ask(f"{url}/hello", authority, "robot-token")[:2] == (200, "hello, robot\n")
        assert ask(url + MAPS, authority, "robot-token")[0] == 200
        assert ask(url + MAPS, authority, "robot-token", config_map("a"))[0] == 403
        assert ask(f"{url}/hello", authority, "other-token")[0] == 401
        process.communicate("\n")
    assert process.returncode == 0


def test_every_part_is_on_the_page() -> None:
    text = PAGE.read_text()
    for name in Parts.__dataclass_fields__:
        assert f"| `{name}` |" in text


def test_audit_backends_get_the_events_of_the_policy(tmp_path: Path) -> None:
    class Kept:
        def __init__(self) -> None:
            self.lines: list[Any] = []

        async def start(self) -> None:
            self.lines.append("started")

        def accept(self, event: AuditEvent) -> None:
            self.lines.append(json.loads(event.encode()))

        async def stop(self) -> None:
            self.lines.append("stopped")

    kept = Kept()
    policy = tmp_path / "policy.yaml"
    policy.write_text('{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}')
    parts = Parts(audit_backends=lambda _: [kept])
    with Server(parts=parts, arguments=["--audit-policy-file", str(policy)]) as server:
        assert asking(server)("/version", Audit_ID="mine")[0] == 200
    assert kept.lines[0] == "started"
    assert kept.lines[-1] == "stopped"
    assert [event["stage"] for event in kept.lines[1:-1] if event["auditID"] == "mine"] == [
        "RequestReceived",
        "ResponseComplete",
    ]
