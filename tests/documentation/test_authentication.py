"""The examples of `docs/authentication.md`, run as the page has them: with a real issuer, kubectl, openssl and a front proxy."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kcp.auth.certificates import new_authority, new_client_identity
from kcp.testing import Server
from tests.documentation.test_readme import ROOT, blocks
from tests.support.kubectl import CURRENT, Kubectl
from tests.support.oidc_issuer import Issuer
from tests.support.waiting import PATIENCE

PAGE = ROOT / "docs" / "authentication.md"


def block(begin: str, language: str = "sh") -> str:
    """Return the one block of the page that begins with this text."""
    (found,) = [text for text in blocks(PAGE, language) if text.startswith(begin)]
    return found


def arguments_of(text: str) -> list[str]:
    """The arguments of a `kcp start`, without the directory."""
    words = shlex.split(text.replace("\\\n", " "))
    assert words[:4] == ["kcp", "start", "--root-directory", "/var/lib/kcp"]
    return words[4:]


def kubectl_of(server: Server, home: Path) -> Kubectl:
    home.mkdir()
    kubeconfig = home / "config"
    kubeconfig.write_bytes(server.kubeconfig.read_bytes())
    return Kubectl(CURRENT, kubeconfig, home)


def shell(script: str, kubectl: Kubectl, folder: Path) -> str:
    """Return the output of a script, which must succeed."""
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(kubectl.kubeconfig), "HOME": str(kubectl.home)}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    made = Issuer(tmp_path / "issuer")
    with made.server:
        yield made


def test_kubectl_authenticates_by_an_issuer_and_an_exec_plugin(tmp_path: Path, issuer: Issuer) -> None:
    file = yaml.safe_load(block("apiVersion", "yaml").replace("https://issuer.example.com", issuer.url))
    file["jwt"][0]["issuer"]["certificateAuthority"] = issuer.server.authority.certificate.decode()
    path = tmp_path / "authentication.yaml"
    path.write_text(yaml.safe_dump(file))
    arguments = arguments_of(block("kcp start --root-directory /var/lib/kcp --authentication-config"))
    arguments = [str(path) if word == "/etc/kcp/authentication.yaml" else word for word in arguments]
    claims: dict[str, Any] = {"email": "jane@example.com", "email_verified": True, "groups": ["devs"], "tenant": "acme"}
    plugin = tmp_path / "issuer-token"
    plugin.write_text(
        "#!/bin/sh\n"
        'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "'
        f"{issuer.token(**claims)}\"}}}}'\n"
    )
    plugin.chmod(0o755)
    (tmp_path / "server").mkdir()
    with Server(root_directory=tmp_path / "server", in_process=False, arguments=arguments) as server:
        kubectl = kubectl_of(server, tmp_path / "home")
        shown = shell(block("kubectl config set-credentials jane --exec-command"), kubectl, tmp_path)
        (expected,) = blocks(PAGE, "text")
        assert shown.endswith(expected), shown
        unverified = issuer.token(**{**claims, "email_verified": False})
        plugin.write_text(re.sub(r'"token": "[^"]*"', f'"token": "{unverified}"', plugin.read_text()))
        refused = Kubectl(CURRENT, kubectl.kubeconfig, kubectl.home, environment={"PATH": f"{tmp_path}:/usr/bin:/bin"})
        assert "Unauthorized" in refused.fails("--context", "jane", "auth", "whoami")


def test_kubectl_authenticates_by_a_certificate_of_openssl_and_by_a_token(tmp_path: Path) -> None:
    authority = new_authority("clients")
    (tmp_path / "clients.crt").write_bytes(authority.certificate)
    (tmp_path / "clients.key").write_bytes(authority.key)
    (tmp_path / "tokens.csv").write_text('a-token,joe,u-joe,"ops"\n')
    arguments = ["--client-ca-file", str(tmp_path / "clients.crt"), "--token-auth-file", str(tmp_path / "tokens.csv")]
    with Server(root_directory=tmp_path / "server", arguments=arguments) as server:
        kubectl = kubectl_of(server, tmp_path / "home")
        script = block("openssl req -new -newkey rsa:2048 -nodes -keyout jane.key")
        shell(script, kubectl, tmp_path)
        kubectl("config", "set-context", "jane", "--cluster=root", "--user=jane")
        shown = kubectl("--context", "jane", "auth", "whoami", "-o", "yaml")
        user = yaml.safe_load(shown)["status"]["userInfo"]
        assert (user["username"], user["groups"]) == ("jane", ["devs", "system:authenticated"])
        kubectl("config", "set-credentials", "joe", "--token=a-token")
        kubectl("config", "set-context", "joe", "--cluster=root", "--user=joe")
        assert "u-joe" in kubectl("--context", "joe", "auth", "whoami")
        kubectl("config", "set-credentials", "joe", "--token=another")
        assert "Unauthorized" in kubectl.fails("--context", "joe", "auth", "whoami")
        assert "jane" in kubectl("auth", "whoami", "--as", "jane", "--as-group", "devs")
        refused = kubectl.fails("--context", "jane", "get", "--raw", "/api", "--as", "admin")
        assert 'User "jane" cannot impersonate-on:user-info:get path "/api"' in refused


def test_a_front_proxy_names_the_user(tmp_path: Path) -> None:
    proxies = new_authority("front proxies")
    bundle = tmp_path / "proxies.crt"
    bundle.write_bytes(proxies.certificate)
    arguments = arguments_of(block("kcp start --root-directory /var/lib/kcp --requestheader-client-ca-file"))
    arguments = [str(bundle) if word == "/etc/kcp/proxies.crt" else word for word in arguments]
    with Server(root_directory=tmp_path / "server", arguments=arguments) as server:
        pair = new_client_identity(proxies, "front-proxy", ())
        (tmp_path / "proxy.pem").write_bytes(pair.certificate + pair.key)
        asked = subprocess.run(
            [
                "curl", "--silent", "--show-error", "--cacert", str(server.certificate_authority),
                "--cert", str(tmp_path / "proxy.pem"), "--header", "X-Remote-User: jane", "--header", "X-Remote-Group: devs",
                "--header", "Content-Type: application/json", "--data",
                '{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}',
                f"{server.url}/apis/authentication.k8s.io/v1/selfsubjectreviews",
            ],
            capture_output=True, text=True, check=True, timeout=PATIENCE,
        )  # fmt: skip
        assert yaml.safe_load(asked.stdout)["status"]["userInfo"] == {
            "username": "jane",
            "groups": ["devs", "system:authenticated"],
        }
