"""What is wrong with a kubeconfig is said with the file, the entry and the field, and never with a secret."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kcp.client import ConfigurationError, load_configuration
from kcp.client.kubeconfig.parsing import parse
from kcp.client.kubeconfig.resolving import resolve

SECRET = "hunter2-do-not-show"
GOOD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "dev",
    "clusters": [{"name": "c", "cluster": {"server": "https://host:6443"}}],
    "users": [{"name": "u", "user": {"token": SECRET}}],
    "contexts": [{"name": "dev", "context": {"cluster": "c", "user": "u"}}],
}


def cluster(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["clusters"][0]["cluster"].update({k.replace("_", "-"): v for k, v in fields.items()})


def user(**fields: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        config["users"][0]["user"] = {key.replace("_", "-"): value for key, value in fields.items()}

    return change


def plugin(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return user(exec={"apiVersion": "client.authentication.k8s.io/v1", "command": "plugin", **fields})


CASES: list[tuple[str, Callable[[dict[str, Any]], None]]] = [
    ('context "dev": cluster: cluster "x" does not exist', lambda c: c["contexts"][0]["context"].update(cluster="x")),
    ('context "dev": user: user "x" does not exist', lambda c: c["contexts"][0]["context"].update(user="x")),
    ('context "other" does not exist; there are: dev', lambda c: c.update({"current-context": "other"})),
    ("current-context is not set", lambda c: c.pop("current-context")),
    ("not a kubeconfig: expected kind Config", lambda c: c.update(kind="Pod")),
    ('cluster "c" is there twice', lambda c: c["clusters"].append(c["clusters"][0])),
    ("the kubeconfig: clusters must be a list", lambda c: c.update(clusters={})),
    ("the kubeconfig: users[0] must be a mapping", lambda c: c.update(users=["text"])),
    ('context "dev", cluster "c": server must be a URL', cluster(server="host:6443")),
    ('cluster "c": server must be a string', cluster(server=17)),
    ('context "dev", cluster "c": proxy-url must be a URL', cluster(proxy_url=f"socks5://me:{SECRET}@proxy")),
    ('cluster "c": certificate-authority-data must be base64', cluster(certificate_authority_data="~")),
    ("insecure-skip-tls-verify must be true or false", cluster(insecure_skip_tls_verify="yes")),
    (
        "insecure-skip-tls-verify excludes certificate-authority",
        cluster(insecure_skip_tls_verify=True, certificate_authority_data="UEVN"),
    ),
    ("/nowhere.crt: No such file", cluster(certificate_authority="nowhere.crt")),
    (
        "certificate-authority-data and certificate-authority are both there",
        cluster(certificate_authority="a", certificate_authority_data="UEVN"),
    ),
    ('context "dev", cluster "c": server must not contain credentials', cluster(server=f"https://me:{SECRET}@host")),
    ('user "u": token must be a string', user(token=12345)),
    ('user "u": token must consist of printable ASCII', user(token=f"{SECRET}\nX-Header: x")),
    ('user "u": tokenFile: ', user(tokenFile="nowhere")),
    ("client-key or client-key-data is required", user(client_certificate_data="UEVN")),
    ("client-certificate or client-certificate-data is required", user(client_key_data="UEVN")),
    ("client-key-data must be base64", user(client_certificate_data="UEVN", client_key_data=SECRET + "~")),
    ("token and username/password exclude each other", user(token=SECRET, username="x", password=SECRET)),
    ("username must not contain a colon", user(username="a:b", password=SECRET)),
    ('auth-provider "gcp" is not supported', user(auth_provider={"name": "gcp", "config": {"access-token": SECRET}})),
    ("as is required with as-groups", user(token=SECRET, as_groups=["x"])),
    ("as-groups must be a list of strings", user(token=SECRET, **{"as": "x", "as_groups": [1]})),
    ("exec.command is required", plugin(command="")),
    ("exec.apiVersion must be one of client.authentication.k8s.io/v1", plugin(apiVersion="v1")),
    ("exec.interactiveMode must be one of Never, IfAvailable, Always", plugin(interactiveMode="Sometimes")),
    ("exec.args must be a list of strings", plugin(args=[SECRET, 1])),
    ("exec.env[0].name is required", plugin(env=[{"value": SECRET}])),
]


@pytest.mark.parametrize(("message", "change"), CASES, ids=[message for message, _ in CASES])
def test_a_fault_is_named(message: str, change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    content = copy.deepcopy(GOOD)
    change(content)
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_what_is_no_yaml_is_said_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("clusters: [\n}")
    with pytest.raises(ConfigurationError, match=r"config: not a YAML document: yaml: line \d"):
        load_configuration(path)


def test_no_representation_shows_a_secret() -> None:
    parsed = parse(yaml.safe_dump(GOOD).encode(), Path("config"))
    assert SECRET not in repr(parsed)
    assert SECRET not in repr(resolve(parsed))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["server", "token", "exec", "cluster", "user", "certificate-authority-data", "as-groups"])


@given(st.sampled_from(["clusters", "users", "contexts"]), names, values, values)
def test_no_content_is_anything_but_a_kubeconfig_or_a_configuration_error(
    section: str, name: str, value: Any, other: Any
) -> None:
    content = copy.deepcopy(GOOD)
    kind = section.removesuffix("s")
    content[section][0][kind] = {**content[section][0][kind], name: value}
    content[section].append(other)
    with contextlib.suppress(ConfigurationError):
        resolve(parse(yaml.safe_dump(content).encode(), Path("/config")))


def test_an_unquoted_password_that_begins_with_an_asterisk_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(f"users:\n- name: u\n  user: {{username: u, password: *{SECRET}}}\n")
    with pytest.raises(ConfigurationError, match="not a YAML document: yaml: unknown anchor") as caught:
        load_configuration(path)
    assert SECRET not in str(caught.value)
