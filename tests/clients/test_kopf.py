"""An operator with kopf in a Pod, with the roles that kopf's documentation asks for: peering, events, finalizers, status."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.pods import Pod
from tests.clients.teams import Team, refusal
from tests.support.waiting import wait_until

OPERATOR = Path(__file__).with_name("programs") / "kopf_operator.py"
COMMAND: list[str | Path] = [sys.executable, "-m", "kopf", "run", "--namespace=team", "--peering=parts", OPERATOR]
WIDGET = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": "small"}}


def peering(kind: str, scope: str) -> dict[str, Any]:
    """The definition of a type of peerings, as in kopf's ``peering.yaml``."""
    plural = f"{kind.lower()}s"
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"status": status}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.kopf.dev"},
        "spec": {
            "group": "kopf.dev",
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.fixture
def peers(team: Team) -> Team:
    """A team whose operators find each other by the peering ``parts``."""
    if importlib.util.find_spec("kopf") is None:
        pytest.skip("kopf is not installed")
    if importlib.util.find_spec("kubernetes") is None:
        pytest.skip(
            "kopf takes the server's address from the environment with the kubernetes client, which is not installed"
        )
    team.define(peering("KopfPeering", "Namespaced"))
    team.define(peering("ClusterKopfPeering", "Cluster"))
    body = {"apiVersion": "kopf.dev/v1", "kind": "KopfPeering", "metadata": {"name": "parts"}}
    team.create(team.path("kopfpeerings", group="kopf.dev/v1"), body)
    return team


@contextlib.contextmanager
def running(pod: Pod, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the operator for the duration of the block."""
    with pod.start(log, *COMMAND) as operator:
        try:
            yield operator
        finally:
            operator.terminate()


def test_an_operator_works_with_the_documented_roles(peers: Team, pod: Pod, tmp_path: Path) -> None:
    peers.grant("kopf")
    log, widgets = tmp_path / "operator.log", peers.path("widgets")
    with running(pod, log) as operator:
        peers.create(widgets, WIDGET)

        def status() -> Any:
            assert operator.poll() is None, log.read_text()
            return peers.read(f"{widgets}/w").get("status", {}).get("message")

        wait_until(lambda: status() == "1 parts", "the operator reports in the status")
        known = peers.read(peers.path("kopfpeerings", "parts", "kopf.dev/v1"))["status"]
        assert len(known) == 1
        events = peers.path("events", group="v1")
        wait_until(lambda: peers.read(events)["items"], "the operator posts an event")
        assert [each["reason"] for each in peers.read(events)["items"]] == ["Assembled"]
        peers.tenant.server.ask("DELETE", f"{peers.tenant.prefix}{widgets}/w")
        wait_until(lambda: not peers.read(widgets)["items"], "the operator releases the Widget")
    said = log.read_text()
    assert "widget w is dismantled" in said
    assert "orbidden" not in said


@pytest.mark.parametrize(
    ("missing", "group"), [("list widgets", "example.com"), ("patch widgets", "example.com"), ("create events", "")]
)
def test_an_operator_without_one_of_its_rules_is_told_which(
    missing: str, group: str, peers: Team, pod: Pod, tmp_path: Path
) -> None:
    peers.grant("kopf", without=missing)
    peers.create(peers.path("widgets"), WIDGET)
    log, wanted = tmp_path / "operator.log", refusal(missing, group)
    with running(pod, log):
        wait_until(lambda: wanted in log.read_text().replace('\\"', '"'), f"{wanted} in {log}")
