"""The Python clients kubernetes, kr8s and lightkube, of an account in a Pod and of a user, with just the roles they need."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.pods import Pod
from tests.clients.teams import ACCOUNT, JANE, Team, refusal
from tests.multicluster.conftest import pulled_definitions
from tests.support.running_server import TOKENS

PROGRAMS = Path(__file__).with_name("programs")
JANE_TOKEN = TOKENS.split(",")[0]
WIDGET = {"size": "medium", "replicas": 2, "message": "done"}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
DONE: dict[str, dict[str, Any]] = {
    "kubernetes": {**WIDGET, "version": "1", "left": [], "events": ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED"]},
    "kr8s": {**WIDGET, "namespace": "team", "data": "v", "left": [], "events": [["ADDED", "w"]]},
    "lightkube": {
        **WIDGET,
        "namespace": "team",
        "names": ["c0", "c1", "c2"],
        "left": 0,
        "events": ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED"],
    },
}


def program(client: str, *arguments: str | Path) -> list[str | Path]:
    """The command of a client's program."""
    if importlib.util.find_spec(client) is None:
        pytest.skip(f"the client is not installed (pip install {client})")
    return [sys.executable, PROGRAMS / f"with_{client}.py", *arguments]


@pytest.mark.parametrize("client", DONE)
def test_a_program_in_a_pod_works_with_the_roles_of_its_account(client: str, team: Team, pod: Pod) -> None:
    team.grant("widgets")
    assert json.loads(pod.succeeds(*program(client, "widgets"))) == DONE[client]


@pytest.mark.parametrize("client", DONE)
def test_a_program_of_a_user_works_with_a_kubeconfig(client: str, team: Team, pod: Pod, tmp_path: Path) -> None:
    team.grant("widgets", JANE)
    kubeconfig = team.kubeconfig(tmp_path / "kubeconfig", JANE_TOKEN)
    assert json.loads(pod.succeeds(*program(client, "widgets", kubeconfig))) == DONE[client]


@pytest.mark.parametrize(
    ("client", "missing", "group"),
    [
        ("kubernetes", "watch widgets", "example.com"),
        ("kr8s", "patch widgets/status", "example.com"),
        ("lightkube", "patch configmaps", ""),
    ],
)
def test_a_program_without_one_of_its_rules_is_told_which(
    client: str, missing: str, group: str, team: Team, pod: Pod
) -> None:
    team.grant("widgets", without=missing)
    assert refusal(missing, group) in pod.fails(*program(client, "widgets"))


def test_the_example_of_kubernetes_lists_pods_with_the_role_it_asks_for(team: Team, pod: Pod) -> None:
    [definition] = [each for each in pulled_definitions() if each["metadata"]["name"] == "pods.core"]
    team.define(definition)
    command = program("kubernetes", "pods")
    assert refusal("list pods", everywhere=True) in pod.fails(*command)
    team.grant("pods-list")
    spec = {"containers": [{"name": "main", "image": "example.com/main"}]}
    team.create(team.path("pods", group="v1"), {**POD, "spec": spec})
    assert json.loads(pod.succeeds(*command)) == ["p"]


def test_kr8s_asks_who_it_is_with_the_role_system_auth_delegator(team: Team, pod: Pod) -> None:
    command = program("kr8s", "whoami")
    assert refusal("create tokenreviews", "authentication.k8s.io", everywhere=True) in pod.fails(*command)
    team.bind("ClusterRole", "system:auth-delegator", ACCOUNT, namespaced=False)
    assert json.loads(pod.succeeds(*command)) == "system:serviceaccount:team:bot"
