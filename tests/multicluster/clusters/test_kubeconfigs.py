"""Kubeconfigs of Clusters: they must be complete in themselves, and their secrets appear in no message."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from kcp.auth.certificates import new_authority
from kcp.client import ConfigurationError, StatusError
from kcp.client.errors import described
from kcp.multicluster.clusters.kubeconfigs import configuration_of, flattened, secrets_of

SOURCE = "spec.kubeconfig"


def kubeconfig(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> str:
    """A kubeconfig with further fields of its cluster and its user."""
    content = {
        "clusters": [{"name": "c", "cluster": {"server": "https://east.example.com", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {"token": "hidden-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    text: str = yaml.dump(content)
    return text


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"certificate-authority": "/etc/passwd"}, {}, 'cluster "c": certificate-authority names a file'),
        ({}, {"client-certificate": "a", "client-key-data": "YQ=="}, 'user "u": client-certificate names a file'),
        ({}, {"client-certificate-data": "YQ==", "client-key": "a"}, 'user "u": client-key names a file'),
        ({}, {"tokenFile": "/etc/shadow"}, 'user "u": tokenFile names a file'),
        (
            {},
            {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "id"]}},
            'user "u": exec is not allowed',
        ),
        ({}, {"auth-provider": {"name": "gcp"}}, 'auth-provider "gcp" is not supported'),
        ({"server": "ftp://east"}, {}, "server must be a URL"),
        ({"server": "https://u:hidden-token@east"}, {}, "server must not contain credentials"),
        ({"server": ""}, {}, "server must be a URL"),
    ],
)
def test_a_kubeconfig_that_needs_this_host_is_refused(
    cluster: dict[str, Any], user: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        configuration_of(kubeconfig(cluster, user), SOURCE)
    assert message in str(refusal.value)
    assert "hidden-token" not in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["hello", "", "[]", "a: b: c", "{", "kind: Pod", "users: [{name: u, user: hidden-token}]"]
)
def test_what_is_no_kubeconfig_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=SOURCE) as refusal:
        configuration_of(text, SOURCE)
    assert "hidden-token" not in str(refusal.value)


def test_a_kubeconfig_that_is_complete_is_used() -> None:
    configuration = configuration_of(kubeconfig({"tls-server-name": "east"}), SOURCE)
    assert configuration.server == "https://east.example.com"
    assert configuration.tls_server_name == "east"
    assert configuration.retries == 0


def test_a_server_cannot_make_a_message_repeat_credentials() -> None:
    secrets = secrets_of(kubeconfig(user={"username": "jane", "password": "hidden-password"}), SOURCE)
    encoded = base64.b64encode(b"jane:hidden-password").decode()
    echo = StatusError(403, "Forbidden", f"no: hidden-password, Basic {encoded}", details={"kind": "nodes"})
    assert secrets.described(echo) == "no: <removed>, Basic <removed>"
    assert "hidden" not in repr(
        secrets_of(kubeconfig(), SOURCE).described(StatusError(403, "F", "hidden-token", details={}))
    )


def test_what_is_no_status_of_kubernetes_is_not_repeated() -> None:
    assert described(StatusError(404, "NotFound", "internal page")) == "the server answered 404 NotFound"


def test_a_registered_kubeconfig_has_the_contents_of_its_files(tmp_path: Path) -> None:
    certificate, key = new_authority("jane")
    for name, content in (
        ("ca.crt", certificate),
        ("jane.crt", certificate),
        ("jane.key", key),
        ("token", b"secret\n"),
    ):
        (tmp_path / name).write_bytes(content)
    user = {"client-certificate": "jane.crt", "client-key": "jane.key", "tokenFile": "token", "as": "other"}
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig({"certificate-authority": "ca.crt", "tls-server-name": "east"}, user))
    text = flattened(file)
    configuration = configuration_of(text, SOURCE)
    assert configuration.certificate_authority == certificate
    assert configuration.tls_server_name == "east"
    assert configuration.impersonation is not None
    (entry,) = yaml.safe_load(text)["users"]
    assert base64.b64decode(entry["user"]["client-key-data"]) == key
    assert entry["user"]["token"] == "secret"
    for file_ in ("ca.crt", "jane.crt", "jane.key", "token"):
        (tmp_path / file_).unlink()
    assert configuration_of(text, SOURCE).server == configuration.server


def test_one_context_is_registered(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    content = yaml.safe_load(kubeconfig())
    content["clusters"].append({"name": "d", "cluster": {"server": "https://west.example.com"}})
    content["contexts"].append({"name": "other", "context": {"cluster": "d", "user": "u"}})
    file.write_text(yaml.dump(content))
    assert configuration_of(flattened(file, "other"), SOURCE).server == "https://west.example.com"
    assert "east" not in flattened(file, "other")
    with pytest.raises(ConfigurationError, match='context "missing" does not exist'):
        flattened(file, "missing")
