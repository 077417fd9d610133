"""An operator with controller-runtime in a Pod, with the roles that kubebuilder generates: leases, status, events, metrics."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.ports import free_ports
from tests.clients.go_programs import go_program
from tests.clients.pods import Pod
from tests.clients.teams import ACCOUNT, Team, refusal
from tests.support.waiting import PATIENCE, wait_until

WIDGET = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": "small"}}
COORDINATION = "coordination.k8s.io/v1"


@contextlib.contextmanager
def running(pod: Pod, log: Path, port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Run the operator for the duration of the block; it serves metrics on the port."""
    address = f"127.0.0.1:{port}" if port else "0"
    with pod.start(log, go_program("controller"), "--namespace=team", f"--metrics={address}") as operator:
        try:
            yield operator
        finally:
            operator.terminate()


def scrape(port: int, token: str) -> int:
    """Ask for the operator's metrics; return the status."""
    # the operator signs its own certificate
    untrusting = ssl._create_unverified_context()
    with contextlib.closing(
        http.client.HTTPSConnection("127.0.0.1", port, context=untrusting, timeout=PATIENCE)
    ) as connection:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status


def test_an_operator_works_with_the_generated_roles(team: Team, pod: Pod, tmp_path: Path) -> None:
    team.grant("kubebuilder")
    team.tenant.create("serviceaccounts", "scraper", "team")
    team.grant("metrics-reader", {**ACCOUNT, "name": "scraper"})
    log, [port] = tmp_path / "operator.log", free_ports(1)
    widgets, maps = team.path("widgets"), team.path("configmaps", "w-parts", "v1")
    with running(pod, log, port) as operator:
        team.create(widgets, WIDGET)

        def status() -> Any:
            assert operator.poll() is None, log.read_text()
            return team.read(f"{widgets}/w").get("status", {}).get("message")

        wait_until(lambda: status() == "1 parts", "the operator reports in the status")
        owner = team.read(maps)["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["controller"], owner["blockOwnerDeletion"]) == ("Widget", True, True)
        events = team.path("events", group="events.k8s.io/v1")
        wait_until(lambda: "Assembled" in {each["reason"] for each in team.read(events)["items"]}, "it records events")
        assert team.read(team.path("leases", "widgets.example.com", COORDINATION))["spec"]["holderIdentity"]

        wait_until(lambda: "Serving metrics server" in log.read_text(), "the operator serves metrics")
        assert scrape(port, team.tenant.token("bot", "team")) == 403
        assert scrape(port, team.tenant.token("scraper", "team")) == 200

        team.server.ask("DELETE", f"{team.tenant.prefix}{widgets}/w")
        wait_until(lambda: not team.read(widgets)["items"], "the operator releases the Widget")
    lease = team.read(team.path("leases", "widgets.example.com", COORDINATION))
    assert lease["spec"]["holderIdentity"] == "", "it gives the lease up at its end"
    assert "orbidden" not in log.read_text()


@pytest.mark.parametrize(
    ("missing", "group"),
    [
        ("create leases", "coordination.k8s.io"),
        ("watch configmaps", ""),
        ("patch widgets/status", "example.com"),
        ("create events", "events.k8s.io"),
    ],
)
def test_an_operator_without_one_of_its_rules_is_told_which(
    missing: str, group: str, team: Team, pod: Pod, tmp_path: Path
) -> None:
    team.grant("kubebuilder", without=missing)
    team.create(team.path("widgets"), WIDGET)
    log, wanted = tmp_path / "operator.log", refusal(missing, group)
    with running(pod, log):
        wait_until(lambda: wanted in log.read_text().replace('\\"', '"'), f"{wanted} in {log}")
