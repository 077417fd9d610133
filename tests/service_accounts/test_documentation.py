"""The commands of docs/service-accounts.md, run as the page has them."""

from __future__ import annotations

import re
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from kcp.testing import Server
from tests.service_accounts.signing import parts
from tests.support.kcp_process import run
from tests.support.kubectl import CURRENT, Kubectl
from tests.support.waiting import PATIENCE

PAGE = Path(__file__).parents[2] / "docs" / "service-accounts.md"


def commands(program: str) -> list[list[str]]:
    """The arguments of each command of a program in the page."""
    return [words[1:] for words in lines_of_page() if words[0] == program]


def lines_of_page() -> list[list[str]]:
    """The words of each command of the page."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line.split() for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def test_the_page_has_commands_of_these_programs_only() -> None:
    assert {words[0] for words in lines_of_page()} == {"kubectl", "kcp"}


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(root_directory=tmp_path / ".kcp")


def published(server: Server) -> list[int]:
    """The statuses with which a client without credentials gets the documents that publish the keys."""
    trust = ssl.create_default_context(cafile=str(server.certificate_authority))
    statuses = []
    for path in ("/.well-known/openid-configuration", "/openid/v1/jwks"):
        try:
            with urllib.request.urlopen(server.url + path, context=trust, timeout=PATIENCE) as answer:
                statuses.append(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                statuses.append(error.code)
    return statuses


def test_the_commands_of_the_page(server: Server, tmp_path: Path) -> None:
    with server:
        kubectl = Kubectl(CURRENT, server.kubeconfig, tmp_path)
        assert all(status == 403 for status in published(server))
        printed = {" ".join(command): kubectl(*command) for command in commands("kubectl")}
        assert all(status == 200 for status in published(server))
        tokens = {
            command: parts(text.strip())[1]
            for command, text in printed.items()
            if "create token" in f"kubectl {command}"
        }
        assert [claims["sub"] for claims in tokens.values()] == ["system:serviceaccount:default:bot"] * 3
        hour, bound = list(tokens.values())[1:]
        assert (hour["exp"] - hour["iat"], hour["aud"]) == (3600, ["https://registry.example.com"])
        assert bound["kubernetes.io"]["secret"]["name"] == "session"
        for arguments in commands("kcp"):
            own = [str(server.kubeconfig) if each.endswith("admin.kubeconfig") else each for each in arguments]
            done = run(*own)
            assert done.returncode == 0, done.stderr
            assert "signs" in done.stdout


def test_kubectl_acts_as_the_account_of_a_token(server: Server, tmp_path: Path) -> None:
    with server:
        kubectl = Kubectl(CURRENT, server.kubeconfig, tmp_path)
        token = kubectl("create", "token", "default").strip()
        kubectl("config", "set-credentials", "bot", f"--token={token}")
        kubectl("config", "set-context", "--current", "--user=bot")
        assert "system:serviceaccount:default:default" in kubectl("auth", "whoami")
        assert "system:serviceaccounts" in kubectl("auth", "whoami")
