"""kubectl in a Pod: without a kubeconfig it takes the account, the namespace and the server that the Pod has."""

from __future__ import annotations

from pathlib import Path

from tests.clients.pods import Pod
from tests.clients.teams import Team, refusal
from tests.support.kubectl import CURRENT

WIDGET = Path(__file__).parents[2] / "examples" / "1-first-crd" / "widget.yaml"


def test_kubectl_works_with_the_roles_of_its_account(team: Team, pod: Pod) -> None:
    team.grant("widgets", without="delete widgets")
    assert "system:serviceaccount:team:bot" in pod.succeeds(CURRENT, "auth", "whoami")
    assert pod.succeeds(CURRENT, "apply", "-f", WIDGET) == "widget.example.com/first created\n"
    assert pod.succeeds(CURRENT, "apply", "--server-side", "--force-conflicts", "-f", WIDGET) == (
        "widget.example.com/first serverside-applied\n"
    )
    assert pod.succeeds(CURRENT, "scale", "widget/first", "--replicas=2") == "widget.example.com/first scaled\n"
    assert "small   2" in pod.succeeds(CURRENT, "get", "widgets")
    assert "FIELD: size" in pod.succeeds(CURRENT, "explain", "widgets.spec.size")
    assert pod.succeeds(CURRENT, "auth", "can-i", "create", "widgets") == "yes\n"
    assert refusal("delete widgets", "example.com") in pod.fails(CURRENT, "delete", "widget/first")
    assert refusal("list widgets", "example.com", everywhere=True) in pod.fails(CURRENT, "get", "widgets", "-A")
