"""Helm 4 as a user and as an account in a Pod, with the roles of its documentation (topics/rbac) and no others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.go_programs import helm
from tests.clients.pods import Pod
from tests.clients.teams import ACCOUNT, JANE, Object, Team, refusal
from tests.support.running_server import TOKENS

CHARTS = Path(__file__).with_name("charts")
WIDGETS, GADGETS = CHARTS / "widgets", CHARTS / "gadgets"
JANE_TOKEN = TOKENS.split(",")[0]
RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Helm:
    """Helm as one user runs it, in the namespace of the team."""

    pod: Pod
    team: Team
    subject: Object
    flags: tuple[str, ...] = ()

    def __call__(self, *words: str | Path) -> str:
        return self.pod.succeeds(helm(), *words, *self.flags)

    def json(self, *words: str | Path) -> Any:
        return json.loads(self(*words, "--output=json"))

    def fails(self, *words: str | Path) -> str:
        return self.pod.fails(helm(), *words, *self.flags)

    @property
    def name(self) -> str:
        """The user's name in refusals."""
        return "jane" if self.subject is JANE else "system:serviceaccount:team:bot"


@pytest.fixture(params=["an account in a Pod", "a user"])
def deployer(request: pytest.FixtureRequest, team: Team, pod: Pod, tmp_path: Path) -> Helm:
    """A user of Helm without roles, and a type Widget that the roles ``view``, ``edit`` and ``admin`` cover."""
    team.add_roles("widgets-for-all")
    if request.param == "a user":
        return Helm(pod, team, JANE, ("--kubeconfig", str(team.kubeconfig(tmp_path / "kubeconfig", JANE_TOKEN))))
    return Helm(pod, team, ACCOUNT)


@pytest.fixture
def account(team: Team, pod: Pod) -> Helm:
    """The account of a Pod, as above."""
    team.add_roles("widgets-for-all")
    return Helm(pod, team, ACCOUNT)


def replicas(team: Team) -> str:
    """What the chart's ConfigMap says."""
    found: str = team.read(team.path("configmaps", "shop", "v1"))["data"]["replicas"]
    return found


def test_a_release_lives_with_the_role_edit(deployer: Helm) -> None:
    helm, team = deployer, deployer.team
    team.bind("ClusterRole", "edit", helm.subject)
    assert "STATUS: deployed" in helm("install", "shop", WIDGETS, "--wait")
    assert replicas(team) == "1"
    helm("upgrade", "shop", WIDGETS, "--set=replicas=2,password=second")
    assert replicas(team) == "2"
    assert team.read(team.path("configmaps", "shop", "v1"))["data"]["before"] != "{}", "the template reads the cluster"
    assert team.read(team.path("widgets", "shop"))["spec"]["replicas"] == 2
    helm("rollback", "shop", "1")
    assert replicas(team) == "1"
    assert team.read(team.path("widgets", "shop"))["spec"]["replicas"] == 1
    assert [each["status"] for each in helm.json("history", "shop")] == ["superseded", "superseded", "deployed"]
    assert [(each["name"], each["namespace"]) for each in helm.json("list")] == [("shop", "team")]
    assert helm.json("get", "values", "shop", "--revision=2") == {"password": "second", "replicas": 2}
    assert helm("uninstall", "shop", "--wait") == 'release "shop" uninstalled\n'
    assert team.read(team.path("widgets"))["items"] == []
    assert {each["type"] for each in team.read(team.path("secrets", group="v1"))["items"]} == set()


def test_a_dry_run_on_the_server_leaves_nothing(account: Helm) -> None:
    account.team.bind("ClusterRole", "edit", ACCOUNT)
    assert "kind: Widget" in account("install", "shop", WIDGETS, "--dry-run=server")
    assert account.team.read(account.team.path("widgets"))["items"] == []
    assert account.json("list") == []


def test_view_alone_does_not_show_releases(deployer: Helm) -> None:
    deployer.team.bind("ClusterRole", "view", deployer.subject)
    assert refusal("list secrets", user=deployer.name) in deployer.fails("list")


def test_reading_takes_view_and_secret_reader_and_does_not_write(account: Helm) -> None:
    team = account.team
    [(kind, name)] = team.add_roles("secret-reader")
    team.bind("ClusterRole", "view", ACCOUNT)
    team.bind(kind, name, ACCOUNT)
    assert account.json("list") == []
    assert refusal("create secrets") in account.fails("install", "shop", WIDGETS)
    assert refusal("list secrets", everywhere=True) in account.fails("list", "--all-namespaces")
    team.bind(kind, name, ACCOUNT, namespaced=False)
    assert account.json("list", "--all-namespaces") == []


def test_a_chart_with_roles_takes_admin(account: Helm) -> None:
    team, chart = account.team, (WIDGETS, "--set=role=true")
    team.bind("ClusterRole", "edit", ACCOUNT)
    assert refusal("get roles", RBAC) in account.fails("install", "shop", *chart)
    account("uninstall", "shop", "--ignore-not-found")
    team.bind("ClusterRole", "admin", ACCOUNT)
    account("install", "shop", *chart)
    assert team.read(team.path("rolebindings", "shop", f"{RBAC}/v1"))["roleRef"]["name"] == "shop"


def test_a_chart_with_definitions_takes_a_role_of_the_cluster(account: Helm) -> None:
    team = account.team
    team.bind("ClusterRole", "edit", ACCOUNT)
    wanted = refusal("patch customresourcedefinitions", "apiextensions.k8s.io", everywhere=True)
    assert wanted in account.fails("install", "shop", GADGETS)
    team.grant("definitions")
    account("install", "shop", GADGETS)
    assert [each["metadata"]["name"] for each in team.read(team.path("gadgets"))["items"]] == ["shop"]
