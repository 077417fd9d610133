"""The list of files in `docs/operations.md`, section "Reloading files": it names those that a server reloads, and no others."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import yaml

from kcp.auth.certificates import new_authority, new_serving_identity
from kcp.testing import Server
from tests.documentation.test_readme import ROOT
from tests.support.waiting import wait_until

PAGE = ROOT / "docs" / "operations.md"
CONFIGURATION = "apiserver.config.k8s.io/v1"
IDENTITY = [{"resources": ["secrets"], "providers": [{"identity": {}}]}]


def flags_of_the_page() -> set[str]:
    """The flags in the items of the list."""
    section = PAGE.read_text().partition("## Reloading files\n")[2].partition("\n## ")[0]
    items = re.findall(r"^- .*$", section, re.MULTILINE)
    return set(re.findall(r"`(--[a-z-]+)`", " ".join(items)))


def write(folder: Path) -> dict[str, Path]:
    """Write a file for each flag that the server takes a file for and that is reloaded; return their paths by flag."""
    authority = new_authority("clients")
    serving = new_serving_identity(authority, "test", ("127.0.0.1",))
    contents: dict[str, bytes | dict[str, object]] = {
        "--tls-cert-file": serving.certificate,
        "--tls-private-key-file": serving.key,
        "--client-ca-file": authority.certificate,
        "--requestheader-client-ca-file": new_authority("proxies").certificate,
        "--token-auth-file": b"a-token,jane,u-jane\n",
        "--authentication-config": {"apiVersion": CONFIGURATION, "kind": "AuthenticationConfiguration", "jwt": []},
        "--authorization-config": {
            "apiVersion": CONFIGURATION,
            "kind": "AuthorizationConfiguration",
            "authorizers": [{"type": "RBAC", "name": "rbac"}],
        },
        "--service-account-signing-key-file": serving.key,
        "--service-account-key-file": authority.key,
        "--audit-policy-file": {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "None"}]},
        "--encryption-provider-config": {
            "apiVersion": CONFIGURATION,
            "kind": "EncryptionConfiguration",
            "resources": IDENTITY,
        },
    }
    paths = {}
    for flag, content in contents.items():
        paths[flag] = folder / flag.removeprefix("--")
        paths[flag].write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content).encode())
        paths[flag].chmod(0o600)
    return paths


def test_the_server_reloads_each_file_of_the_list(tmp_path: Path) -> None:
    paths = write(tmp_path)
    assert flags_of_the_page() == set(paths)
    arguments = [word for flag, path in paths.items() for word in (flag, str(path))]
    arguments += ["--requestheader-username-headers", "X-Remote-User", "--audit-log-path", str(tmp_path / "audit.log")]
    root = tmp_path / "root"
    root.mkdir()
    with Server(root_directory=root, in_process=False, arguments=[*arguments, "-v", "2"]) as server:
        log = root / "server.log"
        os.kill(server.process_id, signal.SIGHUP)
        # the keys of values report on their own
        expected = {f'"reloaded {path}"' for flag, path in paths.items() if flag != "--encryption-provider-config"}
        expected.add(f'"the keys of {paths["--encryption-provider-config"]} are in force"')
        wait_until(lambda: expected <= set(re.findall(r'"[^"]*"', log.read_text())), f"{expected} in the log")
