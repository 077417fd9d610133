"""The commands and the configuration of `docs/authorization.md`, run as the page has them, with kubectl and a real webhook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kcp.testing import Server
from tests.documentation.test_authentication import kubectl_of, shell
from tests.documentation.test_readme import ROOT, blocks
from tests.support.commands import call
from tests.support.https_server import HTTPSServer, json_answer
from tests.support.kubectl import Kubectl
from tests.support.objects import definition

PAGE = ROOT / "docs" / "authorization.md"
AUTHENTICATION = ROOT / "docs" / "authentication.md"
TOKENS = "jane-token,jane,u-jane\nzoe-token,zoe,u-zoe\n"


def block(begin: str, language: str = "sh") -> str:
    """Return the one block of the page that begins with this text."""
    (found,) = [text for text in blocks(PAGE, language) if text.startswith(begin)]
    return found


class Webhook:
    """Allows zoe to get Secrets, denies her ConfigMaps, and has no opinion on anything else."""

    def __init__(self, folder: Path) -> None:
        self.specs: list[dict[str, Any]] = []
        self.server = HTTPSServer(folder, self._answer)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        review = await request.json()
        self.specs.append(review["spec"])
        asked = review["spec"]["resourceAttributes"]["resource"]
        allowed = review["spec"]["user"] == "zoe" and asked == "secrets"
        status = {"allowed": allowed, "denied": asked == "configmaps", "reason": "the company says so"}
        return json_answer({**review, "status": status})


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[Webhook]:
    made = Webhook(tmp_path / "webhook")
    with made.server:
        yield made


def as_user(kubectl: Kubectl, name: str) -> None:
    """Add a context for a user of the token file."""
    kubectl("config", "set-credentials", name, f"--token={name}-token")
    kubectl("config", "set-context", name, "--cluster=root", f"--user={name}")


def test_a_team_administers_its_logical_cluster_and_no_other(tmp_path: Path) -> None:
    (file,) = blocks(AUTHENTICATION, "csv")
    (tmp_path / "tokens.csv").write_text(file)
    arguments = ["--token-auth-file", str(tmp_path / "tokens.csv")]
    with Server(root_directory=tmp_path / ".kcp", arguments=arguments) as server:
        kubectl = kubectl_of(server, tmp_path / "home")
        script = block("kubectl config set-cluster team-a").replace("https://127.0.0.1:6443", server.url)
        shown = shell(script, kubectl, tmp_path)
        assert ["Groups", "[team-a", "devs", "system:authenticated]"] in [line.split() for line in shown.splitlines()]
        assert kubectl("--context", "jane", "auth", "can-i", "*", "*") == "yes\n"
        kubectl("--context", "jane", "create", "namespace", "apps")
        kubectl("config", "set-context", "elsewhere", "--cluster=user", "--user=jane")
        assert "Forbidden" in kubectl.fails("--context", "elsewhere", "create", "namespace", "apps")


def test_a_role_and_its_binding_are_in_force_for_the_next_request(tmp_path: Path) -> None:
    (tmp_path / "tokens.csv").write_text(TOKENS)
    arguments = ["--token-auth-file", str(tmp_path / "tokens.csv")]
    with Server(root_directory=tmp_path / "server", arguments=arguments) as server:
        kubectl = kubectl_of(server, tmp_path / "home")
        shown = shell(block("kubectl create namespace team"), kubectl, tmp_path)
        decision, table = re.split(r"(?<=\n)(?=Resources )", shown)
        assert decision.splitlines()[-1] == "yes"
        assert ["configmaps", "[]", "[]", "[get", "list", "watch]"] in [line.split() for line in table.splitlines()]
        as_user(kubectl, "jane")
        assert "kube-root-ca.crt" in kubectl("--context", "jane", "get", "configmaps", "-n", "team")
        assert 'cannot list resource "configmaps"' in kubectl.fails("--context", "jane", "get", "configmaps")
        kubectl("config", "set-context", "elsewhere", "--cluster=user", "--user=jane")
        assert "Forbidden" in kubectl.fails("--context", "elsewhere", "get", "configmaps", "-n", "team")


def test_a_labelled_role_joins_the_role_view(tmp_path: Path) -> None:
    with Server(root_directory=tmp_path / "server") as server:
        kubectl = kubectl_of(server, tmp_path / "home")
        kubectl("create", "clusterrolebinding", "zoe", "--clusterrole=view", "--user=zoe")
        asked = ("auth", "can-i", "list", "widgets.example.com", "--as=zoe", "--all-namespaces")
        kubectl.fails(*asked)
        kubectl("create", "-f", "-", stdin=json.dumps(definition("widgets", "Widget")))
        kubectl.established("widgets.example.com")
        shell(block("kubectl create clusterrole widgets-view"), kubectl, tmp_path)
        assert kubectl(*asked) == "yes\n"
        assert "example.com" in kubectl("get", "clusterrole", "view", "-o", "yaml")


def test_a_deleted_default_role_is_back_at_once(tmp_path: Path) -> None:
    with Server(root_directory=tmp_path / "server") as server:
        kubectl = kubectl_of(server, tmp_path / "home")
        reading = ("get", "clusterrole", "system:discovery", "-o", "jsonpath={.rules}")
        before = kubectl(*reading)
        kubectl("patch", *reading[1:3], "--type=json", "--patch", '[{"op": "remove", "path": "/rules/0"}]')
        assert kubectl(*reading) != before
        kubectl("delete", *reading[1:3])
        assert kubectl(*reading) == before


def test_the_configuration_of_the_page_asks_the_webhook(tmp_path: Path, hook: Webhook) -> None:
    (tmp_path / "tokens.csv").write_text(TOKENS)
    text = block("apiVersion", "yaml")
    assert text.count("/etc/kcp/authorization.kubeconfig") == 1
    kubeconfig = hook.server.kubeconfig("authorization.kubeconfig")
    file = tmp_path / "authorization.yaml"
    file.write_text(text.replace("/etc/kcp/authorization.kubeconfig", str(kubeconfig)))
    arguments = ["--token-auth-file", str(tmp_path / "tokens.csv"), "--authorization-config", str(file)]
    with Server(root_directory=tmp_path / "server", arguments=arguments) as server:
        kubectl = kubectl_of(server, tmp_path / "home")
        as_user(kubectl, "zoe")
        kubectl("--context", "zoe", "get", "secrets")
        assert "the company says so" in kubectl.fails("--context", "zoe", "get", "configmaps")
        assert {spec["resourceAttributes"]["resource"] for spec in hook.specs} == {"secrets", "configmaps"}
        assert hook.specs[0]["extra"] == {"authorization.kubernetes.io/cluster-name": ["root"]}
        asked = len(hook.specs)
        account = ("--as=system:serviceaccount:default:default", "--as-group=system:serviceaccounts")
        kubectl.fails("get", "configmaps", *account)
        assert len(hook.specs) == asked, "the match conditions leave service accounts out"


def test_the_flags_of_the_page_exist() -> None:
    shown = call("start", "--help").stdout
    named = set(re.findall(r"`(--[a-z-]+)", PAGE.read_text()))
    assert len(named) == 6
    assert {flag for flag in named if flag not in shown} == set()
