"""When requests are removed: by their age after a decision, without one, and when their certificate expires."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import pytest

from kcp.auth import certificates
from kcp.auth.signing import sign_client_certificate
from kcp.controllers.certificates import CertificateController, end_of
from kcp.logical_clusters import DEFAULT
from tests.certificates.requests import Applicant, Object, decided
from tests.support.registry_client import RegistryClient, client  # noqa: F401 - a fixture
from tests.support.waiting import eventually

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def request(created: dt.datetime, **conditions: dt.datetime) -> Object:
    made = [{"type": type_, "status": "True", "lastUpdateTime": text(when)} for type_, when in conditions.items()]
    return {"metadata": {"name": "a", "creationTimestamp": text(created)}, "spec": {}, "status": {"conditions": made}}


@pytest.mark.parametrize(
    ("conditions", "lifetime"),
    [
        ({}, 24 * HOUR),
        ({"Approved": NOW + HOUR}, 2 * HOUR),
        ({"Denied": NOW + HOUR}, 2 * HOUR),
        ({"Approved": NOW + HOUR, "Failed": NOW + 2 * HOUR}, 2 * HOUR),
        ({"Other": NOW}, None),
    ],
)
def test_a_request_ends_an_hour_after_its_decision_and_a_day_without_one(
    conditions: dict[str, dt.datetime], lifetime: dt.timedelta | None
) -> None:
    assert end_of(request(NOW, **conditions)) == (None if lifetime is None else NOW + lifetime)


def test_a_request_ends_with_its_certificate() -> None:
    authority = certificates.new_authority("ca")
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    signed = sign_client_certificate(authority, Applicant.of("joe").request, DEFAULT, ["client auth"], 600, now)
    obj = request(now, Approved=now)
    obj["status"]["certificate"] = base64.b64encode(signed).decode()
    assert end_of(obj) == now + dt.timedelta(minutes=10)


@pytest.mark.parametrize("value", [None, 5, "yesterday"])
def test_times_and_certificates_that_cannot_be_read_end_nothing(value: Any) -> None:
    obj = request(NOW, Approved=NOW)
    obj["status"]["conditions"][0]["lastUpdateTime"] = value
    obj["status"]["certificate"] = base64.b64encode(b"nothing").decode()
    assert end_of(obj) is None


class Controlled:
    """The requests of a registry with a controller whose clock a test sets."""

    def __init__(self, client: RegistryClient) -> None:  # noqa: F811 - the fixture of this name
        self.client = client
        self.type = client.type("certificatesigningrequests", "certificates.k8s.io")
        self.now = dt.datetime.now(dt.UTC)

    async def create(self, name: str, *decisions: str) -> None:
        made = await self.client.create(self.type, Applicant.of("joe").csr(name, signer="example.com/signer"), "")
        for decision in decisions:
            made = await self.client.update(self.type, decided(made, decision), "approval")

    async def run(self) -> None:
        """Run a controller until it has seen everything, an hour later than any time before."""
        controller = CertificateController(self.client.registry, never_sign, lambda: self.now)
        await controller.start()
        try:
            await eventually(lambda: not controller._queue._pending and not controller._queue._processing, "idle")
        finally:
            await controller.stop()

    async def names(self) -> list[str]:
        return [*await self.client.names(self.type)]


def never_sign(*_: object) -> bytes:
    raise AssertionError("no request is for a signer of the server")


@pytest.fixture
def controlled(client: RegistryClient) -> Controlled:  # noqa: F811 - the fixture of this name
    return Controlled(client)


async def test_old_requests_are_removed(controlled: Controlled) -> None:
    await controlled.create("approved", "Approved")
    await controlled.create("denied", "Denied")
    await controlled.create("pending")
    await controlled.run()
    assert await controlled.names() == ["approved", "denied", "pending"]
    controlled.now += HOUR + dt.timedelta(minutes=10)
    await controlled.run()
    assert await controlled.names() == ["pending"]
    controlled.now += 22 * HOUR
    await controlled.run()
    assert await controlled.names() == ["pending"]
    controlled.now += 2 * HOUR
    await controlled.run()
    assert await controlled.names() == []


async def test_a_request_is_removed_in_its_logical_cluster_only(controlled: Controlled) -> None:
    await controlled.create("a", "Denied")
    other = Controlled(controlled.client.at("other"))
    await other.create("a")
    controlled.now += 2 * HOUR
    await controlled.run()
    assert await controlled.names() == []
    assert await other.names() == ["a"]
