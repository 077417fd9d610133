"""Requests of several tenants on a real server: the order in which they are served, and what is refused."""

from __future__ import annotations

import math
import re

import pytest

from kcp.server.requests.fairness import dispatcher
from tests.fairness.conftest import Start, Tenants
from tests.support.http2_frames import Http2Connection
from tests.support.objects import config_map
from tests.support.waiting import PATIENCE, wait_until

PATH = "/api/v1/namespaces/default/configmaps"


def begin_first(tenants: Tenants) -> None:
    """Begin a write of the tenant that floods; it keeps the only seat until the gate opens."""
    tenants.create("flood")
    assert tenants.gate.entered.wait(PATIENCE)


def test_a_quiet_tenant_is_served_before_the_backlog_of_one_that_floods(start: Start) -> None:
    tenants = start(max_mutating_requests_inflight=1)
    begin_first(tenants)
    flood = [tenants.create("flood") for _ in range(30)]
    tenants.wait_for_queued(30)
    quiet = [tenants.create("quiet") for _ in range(3)]
    tenants.wait_for_queued(33)
    tenants.gate.open()
    assert {future.result().status for future in (*flood, *quiet)} == {201}
    served = tenants.gate.order[1:]
    assert len(served) == 33
    last = max(place for place, user in enumerate(served) if user == "quiet")
    assert served[: last + 1].count("flood") < 30  # in the order of arrival, all of them


def test_two_tenants_with_a_backlog_are_served_alike_however_much_they_send(start: Start) -> None:
    tenants = start(max_mutating_requests_inflight=1)
    begin_first(tenants)
    futures = [tenants.create("flood") for _ in range(50)]
    tenants.wait_for_queued(50)
    futures += [tenants.create("third") for _ in range(10)]
    tenants.wait_for_queued(60)
    tenants.gate.open()
    assert {future.result().status for future in futures} == {201}
    served = tenants.gate.order[1:]
    last = max(place for place, user in enumerate(served) if user == "third")
    assert served[: last + 1].count("flood") < 50  # in the order of arrival, all of them


def test_a_tenant_leaves_seats_to_others(start: Start) -> None:
    tenants = start(max_mutating_requests_inflight=8)
    tenants.gate.holds_all_of = "flood"
    flood = [tenants.create("flood") for _ in range(10)]
    wait_until(lambda: tenants.gate.order.count("flood") == 6, "the tenant that floods has its seats")
    tenants.wait_for_queued(4)
    assert [tenants.create("quiet").result(PATIENCE).status for _ in range(3)] == [201] * 3
    assert tenants.gate.order.count("flood") == 6
    tenants.gate.open()
    assert {future.result().status for future in flood} == {201}


def test_requests_over_the_limit_of_a_user_are_429(start: Start) -> None:
    tenants = start(max_mutating_requests_inflight=1, max_queued_requests_per_user=2)
    begin_first(tenants)
    waiting = [tenants.create("flood") for _ in range(2)]
    tenants.wait_for_queued(2)
    refused = tenants.create("flood").result()
    assert (refused.status, refused.json["reason"]) == (429, "TooManyRequests")
    assert refused.json["message"] == "Too many requests, please try again later."
    assert refused.headers["Retry-After"] == str(refused.json["details"]["retryAfterSeconds"])
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    others = tenants.create("quiet")
    tenants.wait_for_queued(3)
    tenants.gate.open()
    assert {future.result().status for future in (*waiting, others)} == {201}


def test_when_the_queue_is_full_only_those_with_their_share_are_refused(start: Start) -> None:
    tenants = start(max_mutating_requests_inflight=1, max_queued_requests=4)
    begin_first(tenants)
    waiting = [tenants.create("flood") for _ in range(4)]
    tenants.wait_for_queued(4)
    assert tenants.create("flood").result().status == 429
    waiting.append(tenants.create("quiet"))
    tenants.wait_for_queued(5)
    tenants.gate.open()
    assert {future.result().status for future in waiting} == {201}


def test_a_request_that_waits_too_long_is_429(start: Start) -> None:
    tenants = start(max_mutating_requests_inflight=1, max_queue_wait=0.2)
    begin_first(tenants)
    refused = tenants.create("flood").result()
    assert (refused.status, refused.json["reason"], refused.headers["Retry-After"]) == (429, "TooManyRequests", "1")
    assert tenants.dispatcher.queues.queued == 0


def test_reads_health_and_members_of_system_masters_do_not_wait_for_writes(start: Start) -> None:
    tenants = start(max_mutating_requests_inflight=1)
    begin_first(tenants)
    waiting = tenants.create("flood")
    tenants.wait_for_queued(1)
    assert tenants.get(PATH, "flood").status == 200
    assert tenants.server.get("/livez", token=None).status == 200
    assert tenants.server.get("/readyz", token=None).status == 200
    assert tenants.server.post(PATH, config_map("administrators")).status == 201
    assert not waiting.done()


def test_a_client_that_leaves_no_longer_waits(start: Start) -> None:
    tenants = start(max_mutating_requests_inflight=1)
    begin_first(tenants)
    server = tenants.server
    authority = server.process.configuration.data_directory / "ca.crt"
    fields = [("authorization", "Bearer flood-token"), ("content-type", "application/json")]
    body = b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "left"}}'
    with Http2Connection("127.0.0.1", server.port, authority) as connection:
        stream = connection.request("POST", f"/clusters/flood{PATH}", fields, body)
        tenants.wait_for_queued(1)
        connection.reset(stream)
        tenants.wait_for_queued(0)
    tenants.gate.open()
    assert tenants.create("flood").result().status == 201
    assert tenants.get(f"{PATH}/left", "flood").status == 404


def test_every_seat_is_returned(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "_SWEEP", math.inf)  # flows that are idle for a second are kept
    tenants = start(max_mutating_requests_inflight=2, max_requests_inflight=2)
    tenants.gate.open()
    futures = [tenants.create(tenant) for tenant in ("flood", "quiet", "third") for _ in range(8)]
    assert {future.result().status for future in futures} == {201}
    assert tenants.get(f"{PATH}/none", "flood").status == 404
    assert tenants.get(PATH, "quiet").status == 200
    assert tenants.server.get(f"/clusters/quiet{PATH}", token="flood-token").status == 403
    assert tenants.server.get(f"/clusters/quiet{PATH}", token="unknown").status == 401
    kinds = [flow.kind for flow in tenants.dispatcher.queues._flows.values()]
    assert {kind.seats.count for kind in kinds} == {0}
    assert {flow.running for flow in tenants.dispatcher.queues._flows.values()} == {0}


def test_metrics_count_what_waits_by_kind_and_name_no_tenant(start: Start) -> None:
    tenants = start(max_mutating_requests_inflight=1, max_queued_requests_per_user=1)
    begin_first(tenants)
    waiting = tenants.create("flood")
    tenants.wait_for_queued(1)
    assert tenants.create("flood").result().status == 429
    labels = '{flow_schema="mutating",priority_level="global-default"}'
    assert f"apiserver_flowcontrol_current_inqueue_requests{labels} 1.0" in metrics(tenants)
    tenants.gate.open()
    assert waiting.result().status == 201
    after = metrics(tenants)
    assert f"apiserver_flowcontrol_dispatched_requests_total{labels} 2.0" in after
    assert f"apiserver_flowcontrol_request_wait_duration_seconds_count{labels} 1.0" in after
    rejected = '{flow_schema="mutating",priority_level="global-default",reason="queue-full"}'
    assert f"apiserver_flowcontrol_rejected_requests_total{rejected} 1.0" in after
    assert not re.search("flood|quiet", after)


def metrics(tenants: Tenants) -> str:
    tenants.server.process.composition.metrics._text_time = 0.0  # type: ignore[union-attr]
    return tenants.server.get("/metrics").body.decode()
