"""Kubeconfig files: which are read, how several are merged, and what a context becomes. The rules are kubectl's."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kcp.client import ConfigurationError, load_configuration
from kcp.client.kubeconfig.loading import load
from tests.support.kubectl import CURRENT


def kubeconfig(name: str, server: str, token: str = "secret", **more: Any) -> dict[str, Any]:
    """A kubeconfig with one context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        **more,
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def environment(home: Path, *files: Path) -> dict[str, str]:
    found = {"HOME": str(home)}
    if files:
        found["KUBECONFIG"] = os.pathsep.join(map(str, files))
    return found


def test_without_a_variable_the_file_in_the_home_folder_counts(home: Path) -> None:
    write(home / ".kube" / "config", kubeconfig("a", "https://a", **{"current-context": "a"}))
    assert load_configuration(environment=environment(home)).server == "https://a"


def test_the_first_of_several_files_wins_whole_entries(home: Path) -> None:
    first = kubeconfig("red", "https://first", **{"current-context": ""})
    second = kubeconfig("red", "https://second", **{"current-context": "blue"})
    second["clusters"][0]["cluster"]["tls-server-name"] = "of-the-second"
    second["contexts"].append({"name": "blue", "context": {"cluster": "red", "namespace": "sky"}})
    third = kubeconfig("green", "https://third", **{"current-context": "green"})
    paths = [write(home / f"{number}", each) for number, each in enumerate((first, second, third))]
    found = load_configuration(environment=environment(home, paths[0], home / "missing", *paths[1:]))
    assert (found.server, found.namespace, found.tls_server_name) == ("https://first", "sky", "")
    merged = load(environment=environment(home, *paths))
    assert set(merged.clusters) == {"red", "green"}
    assert set(merged.contexts) == {"red", "blue", "green"}


def test_files_are_merged_as_kubectl_merges_them(home: Path) -> None:
    contents = [
        kubeconfig("one", "https://one:1", **{"current-context": "two"}),
        kubeconfig("two", "https://two:2", **{"current-context": "one"}),
        kubeconfig("one", "https://other:3"),
    ]
    paths = [write(home / f"{number}", each) for number, each in enumerate(contents)]
    variables = {**environment(home, *paths), "PATH": os.environ["PATH"]}
    shown = subprocess.run(
        [CURRENT, "config", "view", "--raw"],
        env=variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = yaml.safe_load(shown.stdout)
    merged = load(environment=variables)
    assert merged.current_context == expected["current-context"]
    assert {name: entry.server for name, entry in merged.clusters.items()} == {
        entry["name"]: entry["cluster"]["server"] for entry in expected["clusters"]
    }
    assert {name: entry.token for name, entry in merged.users.items()} == {
        entry["name"]: entry["user"]["token"] for entry in expected["users"]
    }


def test_an_explicit_file_is_read_alone_and_must_exist(home: Path) -> None:
    path = write(home / "own", kubeconfig("own", "https://own", **{"current-context": "own"}))
    other = write(home / "other", kubeconfig("other", "https://other", **{"current-context": "other"}))
    assert load_configuration(path, environment=environment(home, other)).server == "https://own"
    with pytest.raises(ConfigurationError, match="missing: there is no such kubeconfig"):
        load_configuration(home / "missing")


def test_a_context_by_name(home: Path) -> None:
    content = kubeconfig("a", "https://a", **{"current-context": "a"})
    content["contexts"].append({"name": "b", "context": {"cluster": "a", "user": "a", "namespace": "of-b"}})
    path = write(home / "config", content)
    assert load_configuration(path).namespace == "default"
    assert load_configuration(path, context="b").namespace == "of-b"


async def test_relative_paths_count_from_the_folder_of_their_file(home: Path) -> None:
    content = kubeconfig("a", "https://a", **{"current-context": "a"})
    content["clusters"][0]["cluster"]["certificate-authority"] = "authority.crt"
    content["users"][0]["user"] = {"tokenFile": "deep/token"}
    path = write(home / "sub" / "config", content)
    (path.parent / "deep").mkdir()
    (path.parent / "deep" / "token").write_text("from-file\n")
    (path.parent / "authority.crt").write_text("PEM")
    found = load_configuration(path)
    assert found.certificate_authority == b"PEM"
    assert (await found.credentials.current()).authorization == "Bearer from-file"


async def test_inline_data_is_base64_and_may_be_wrapped(home: Path) -> None:
    content = kubeconfig("a", "https://a", **{"current-context": "a"})
    encoded = base64.b64encode(b"certificate " * 20).decode()
    content["users"][0]["user"] = {
        "client-certificate-data": encoded[:76] + "\n" + encoded[76:],
        "client-key-data": base64.b64encode(b"key").decode(),
    }
    credential = await load_configuration(write(home / "config", content)).credentials.current()
    assert credential.certificate is not None
    assert credential.certificate.certificate == b"certificate " * 20
    assert credential.certificate.key == b"key"


async def test_a_user_name_and_a_password(home: Path) -> None:
    content = kubeconfig("a", "https://a", **{"current-context": "a"})
    content["users"][0]["user"] = {"username": "jane", "password": "pass:wörd"}
    credential = await load_configuration(write(home / "config", content)).credentials.current()
    assert base64.b64decode(credential.authorization.removeprefix("Basic ")).decode() == "jane:pass:wörd"


def test_the_fields_of_a_cluster(home: Path) -> None:
    content = kubeconfig("a", "https://a", **{"current-context": "a"})
    content["clusters"][0]["cluster"] |= {
        "tls-server-name": "inside",
        "insecure-skip-tls-verify": True,
        "proxy-url": "http://proxy:3128",
        "disable-compression": True,
    }
    content["users"][0]["user"] |= {
        "as": "jane",
        "as-groups": ["devs"],
        "as-uid": "7",
        "as-user-extra": {"scope": ["x"]},
    }
    found = load_configuration(write(home / "config", content))
    assert found.tls_server_name == "inside"
    assert found.insecure_skip_tls_verify
    assert found.proxy_url == "http://proxy:3128"
    assert not found.compression
    acting = found.impersonation
    assert acting is not None
    assert (acting.user, acting.groups, acting.uid, acting.extra) == ("jane", ("devs",), "7", {"scope": ("x",)})


def test_nothing_at_all_says_where_it_was_looked_for(home: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no kubeconfig: .*\.kube/config has no contexts, and this is no Pod"):
        load_configuration(environment=environment(home))
