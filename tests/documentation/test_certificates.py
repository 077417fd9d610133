"""The commands of `docs/certificates.md`, run with the real openssl and kubectl."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kcp.testing import Server
from tests.documentation.test_readme import ROOT, blocks
from tests.support.kubectl import CURRENT, Kubectl, patient
from tests.support.waiting import PATIENCE

PAGE = ROOT / "docs" / "certificates.md"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_commands_of_the_page_give_a_certificate(tmp_path: Path) -> None:
    (script,) = blocks(PAGE, "sh")
    with Server() as server:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(server.kubeconfig.read_text())
        environment = {
            **os.environ,
            "PATH": f"{CURRENT.parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(tmp_path),
        }
        command = ["bash", "-euo", "pipefail", "-c", patient(script)]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=PATIENCE, capture_output=True)
        kubectl = Kubectl(CURRENT, kubeconfig, tmp_path)
        assert "joe" in kubectl("--user", "joe", "auth", "whoami")
