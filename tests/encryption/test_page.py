"""The commands and examples of `docs/encryption.md`, run in their order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from kcp.server.process.encryption_configuration import parse
from tests.documentation.test_readme import ROOT, blocks
from tests.encryption.files import configuration
from tests.support.kcp_process import run, started
from tests.support.kubectl import CURRENT, Kubectl
from tests.support.waiting import PATIENCE

PAGE = ROOT / "docs" / "encryption.md"


def in_shell(text: str, folder: Path, **environment: str) -> str:
    """Run a block of commands in a folder."""
    path = f"{CURRENT.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder, env={**os.environ, "PATH": path, **environment},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_the_page_encrypt_secrets(tmp_path: Path) -> None:
    write, start, rewrite = blocks(PAGE, "sh")
    in_shell(write, tmp_path)
    assert (tmp_path / "keys.yaml").stat().st_mode & 0o777 == 0o600
    root = tmp_path / "root"
    with started(root) as server:
        kubectl = Kubectl(CURRENT, root / "data" / "admin.kubeconfig", tmp_path)
        kubectl("create", "secret", "generic", "a", "--from-literal=word=xylophone")
        server.stop()
    words = shlex.split(start)
    assert words[:4] == ["kcp", "start", "--root-directory", "/var/lib/kcp"]
    flag = [word.replace("keys.yaml", str(tmp_path / "keys.yaml")) for word in words[4:]]
    with started(root, *flag) as server:
        assert "secret/a replaced" in in_shell(
            rewrite, tmp_path, KUBECONFIG=str(kubectl.kubeconfig), HOME=str(tmp_path)
        )
        assert "encrypted values" in run("store", "check", "--root-directory", str(root)).stdout
        server.stop()
    refused = run("start", "--root-directory", str(root), "--secure-port", "0")
    (message,) = blocks(PAGE, "text")
    assert refused.stderr.split() == message.split()


def test_the_provider_of_the_page_is_valid() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (rule,) = parse(configuration((["secrets"], yaml.safe_load(text))).encode())
    assert rule.providers[0].kms is not None
    assert rule.providers[0].kms.name == "vault"
