"""Events sent to a real webhook server: batches, limits, failures, and requests that wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kcp.server.audit import webhook_backend
from kcp.server.audit.options import AuditOptions
from kcp.server.audit.webhook_backend import Throttle
from kcp.server.process.errors import ConfigurationError
from tests.audit.audited_server import EVERYTHING, policy_text
from tests.audit.test_events import metrics_of
from tests.support.https_server import HTTPSServer, json_answer
from tests.support.objects import config_map
from tests.support.running_server import RunningServer
from tests.support.waiting import PATIENCE, wait_until

MAPS = "/api/v1/namespaces/default/configmaps"


class Webhook(HTTPSServer):
    """A server that keeps the lists of events that it gets, unless it is told to fail."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, self.take)
        self.lists: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.failures = 0
        """How many of the next requests fail."""
        self.answers = asyncio.Event()
        self.answers.set()

    async def take(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        await self.answers.wait()
        if self.failures:
            self.failures -= 1
            return json_answer({}, 503)
        self.lists.append(json.loads(body))
        self.sizes.append(len(body))
        return json_answer({})

    def hold(self) -> None:
        """Do not answer until `release`."""
        self._loop.call_soon_threadsafe(self.answers.clear)

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self.answers.set)

    def events(self) -> list[dict[str, Any]]:
        return [event for found in [*self.lists] for event in found["items"]]

    def complete(self, audit_id: str) -> dict[str, Any]:
        def arrived() -> list[dict[str, Any]]:
            return [
                event
                for event in self.events()
                if event["auditID"] == audit_id and event["stage"] == "ResponseComplete"
            ]

        (event,) = wait_until(arrived, f"the event of {audit_id}")
        return event


@pytest.fixture(autouse=True)
def patient_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server on a busy machine send what waits for longer than the 5 s that it has to stop."""
    monkeypatch.setattr(webhook_backend, "_STOP_TIMEOUT", PATIENCE)


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[Webhook]:
    with Webhook(tmp_path / "webhook") as server:
        yield server


def audited(folder: Path, webhook: Webhook, **options: Any) -> RunningServer:
    """A server that sends its events to a webhook, in batches of short waits unless the options say otherwise."""
    policy = folder / "policy.yaml"
    policy.write_text(policy_text(EVERYTHING))
    chosen = {"webhook_batch_max_wait": 0.05, "webhook_batch_throttle_enable": False, **options}
    kubeconfig = webhook.kubeconfig("audit.kubeconfig", "/events", {"token": "webhook-token"})
    audit = AuditOptions(policy_file=policy, webhook_config_file=kubeconfig, **chosen)
    return RunningServer(folder / ".kcp", audit=audit)


def test_events_arrive_in_lists(tmp_path: Path, webhook: Webhook) -> None:
    with audited(tmp_path, webhook) as server:
        server.post(MAPS, config_map("a"), Audit_ID="create")
        event = webhook.complete("create")
    assert event["requestObject"]["metadata"]["name"] == "a"
    (first, *_) = webhook.lists
    assert (first["kind"], first["apiVersion"]) == ("EventList", "audit.k8s.io/v1")
    assert {path for _, path in webhook.requests} == {"/events"}
    assert {headers["authorization"] for headers in webhook.headers} == {"Bearer webhook-token"}


def test_a_batch_has_a_maximum_size_and_is_sent_when_it_is_full(tmp_path: Path, webhook: Webhook) -> None:
    options = {"webhook_batch_max_wait": 3600.0, "webhook_batch_max_size": 5}
    with audited(tmp_path, webhook, **options) as server:
        for _ in range(10):
            server.get("/version")
        wait_until(lambda: len(webhook.events()) == 20, "all events")
    assert {len(found["items"]) for found in webhook.lists} == {5}


def test_the_events_that_wait_are_sent_when_the_server_stops(tmp_path: Path, webhook: Webhook) -> None:
    with audited(tmp_path, webhook, webhook_batch_max_wait=3600.0) as server:
        server.get("/version", Audit_ID="last")
    webhook.complete("last")


def test_a_failed_batch_is_sent_again(tmp_path: Path, webhook: Webhook) -> None:
    webhook.failures = 2
    with audited(tmp_path, webhook, webhook_initial_backoff=0.01) as server:
        server.get("/version", Audit_ID="retried")
        webhook.complete("retried")
        assert metrics_of(server)['apiserver_audit_error_total{plugin="webhook"}'] == 0


def test_events_that_cannot_be_sent_are_counted_and_logged_once(
    tmp_path: Path, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.failures = 1_000_000
    with audited(tmp_path, webhook, webhook_initial_backoff=0.001) as server:
        for _ in range(3):
            assert server.get("/version").status == 200

        def lost() -> bool:
            return metrics_of(server)['apiserver_audit_error_total{plugin="webhook"}'] >= 6

        wait_until(lost, "the events are lost")
        webhook.failures = 0
        server.get("/version", Audit_ID="after")
        webhook.complete("after")
    lines = [record.message for record in caplog.records if "events are lost" in record.message]
    assert len(lines) == 1
    assert "answered with status 503" in lines[0]


def test_requests_do_not_wait_for_a_webhook_that_does_not_answer(tmp_path: Path, webhook: Webhook) -> None:
    webhook.hold()
    options = {"webhook_batch_buffer_size": 10, "webhook_batch_max_size": 2}
    with audited(tmp_path, webhook, **options) as server:
        for _ in range(40):
            assert server.get("/version").status == 200
        assert metrics_of(server)['apiserver_audit_error_total{plugin="webhook"}'] > 0
        webhook.release()
        server.get("/version")


@pytest.mark.parametrize("mode", ["blocking", "blocking-strict"])
def test_a_request_waits_until_its_event_is_sent(tmp_path: Path, webhook: Webhook, mode: str) -> None:
    with audited(tmp_path, webhook, webhook_mode=mode) as server:
        assert server.get("/version", Audit_ID="blocked").status == 200
        received = [event["stage"] for event in webhook.events() if event["auditID"] == "blocked"]
        assert received[0] == "RequestReceived"
        assert all(len(found["items"]) == 1 for found in webhook.lists)


@pytest.mark.parametrize(("mode", "status"), [("blocking", 200), ("blocking-strict", 500)])
def test_only_a_strict_webhook_refuses_requests(tmp_path: Path, webhook: Webhook, mode: str, status: int) -> None:
    webhook.failures = 1_000_000
    with audited(tmp_path, webhook, webhook_mode=mode, webhook_initial_backoff=0.001) as server:
        assert server.get("/version").status == status
        webhook.failures = 0


def test_large_events_are_truncated_and_large_batches_are_split(tmp_path: Path, webhook: Webhook) -> None:
    options = {
        "webhook_truncate_enabled": True,
        "webhook_truncate_max_event_size": 8_000,
        "webhook_truncate_max_batch_size": 12_000,
        "webhook_batch_max_wait": 3600.0,
    }
    with audited(tmp_path, webhook, **options) as server:
        server.post(MAPS, config_map("large", a="x" * 10_000), Audit_ID="large")
        for number in range(10):
            server.post(MAPS, config_map(f"m-{number}", a="x" * 1500), Audit_ID=f"m-{number}")
    large = webhook.complete("large")
    assert "requestObject" not in large
    assert large["annotations"]["audit.k8s.io/truncated"] == "true"
    assert webhook.complete("m-9")["requestObject"]["data"] == {"a": "x" * 1500}
    assert len(webhook.sizes) > 1
    assert max(webhook.sizes) < 12_000 + 1_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such kubeconfig"),
        ("clusters: []", "--audit-webhook-config-file: "),
        ("a: [", "--audit-webhook-config-file: "),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_ends_the_start(tmp_path: Path, content: str | None, message: str) -> None:
    kubeconfig, policy = tmp_path / "webhook.kubeconfig", tmp_path / "policy.yaml"
    policy.write_text(policy_text(EVERYTHING))
    if content is not None:
        kubeconfig.write_text(content)
    audit = AuditOptions(policy_file=policy, webhook_config_file=kubeconfig)
    with pytest.raises(ConfigurationError, match=message):
        RunningServer(tmp_path / ".kcp", audit=audit)


def test_a_throttle_allows_a_burst_and_then_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("kcp.server.audit.webhook_backend.time.monotonic", lambda: now)
    throttle = Throttle(10.0, 3)
    assert [throttle.delay() for _ in range(5)] == pytest.approx([0, 0, 0, 0.1, 0.2])
    now += 10.0
    assert [throttle.delay() for _ in range(4)] == pytest.approx([0, 0, 0, 0.1])
