"""The packaging in ``contrib``: what it makes is valid, and its arguments are those of the commands."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from kcp.cli.start import start
from kcp.cli.syncer import syncer
from kcp.multicluster.clusters.api import SECRETS
from kcp.multicluster.clusters.manifests import Syncer, Token, Upstream, documents, objects_of, secret_of
from tests.support.kubectl import CURRENT

CONTRIB = Path(__file__).parents[3] / "contrib"
HELM = shutil.which("helm")
needs_helm = pytest.mark.skipif(HELM is None, reason="helm is not installed")


def made_by(*command: str) -> list[dict[str, Any]]:
    """The objects that a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each is not None]


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The specification of the Pods of the only workload."""
    (found,) = (each for each in objects if each["kind"] in ("Deployment", "StatefulSet"))
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def check_command(command: click.Command, pod: dict[str, Any]) -> None:
    """Check that a command takes the arguments of a container, which may do little."""
    (container,) = pod["containers"]
    name, *arguments = container["args"]
    assert name == command.name
    command.make_context(name, list(arguments))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_kustomization_of_kcp_starts_a_server() -> None:
    objects = made_by(str(CURRENT), "kustomize", str(CONTRIB / "kustomize" / "kcp"))
    assert [each["kind"] for each in objects] == ["Namespace", "Service", "StatefulSet"]
    check_command(start, pod_of(objects))


def test_the_kustomization_of_a_syncer_completes_a_manifest(tmp_path: Path) -> None:
    made = Syncer(
        "us-east1", "0123456789", "example.com/kcp:1", Upstream("https://kcp.example.com/clusters/root", b""), ()
    )
    secret = secret_of(made, Token("token", "2026-01-01T00:00:00Z", "uid"))
    (tmp_path / "syncer.yaml").write_text(documents([*objects_of(made), (SECRETS, secret)]))
    shutil.copy(CONTRIB / "kustomize" / "syncer" / "kustomization.yaml", tmp_path)
    pod = pod_of(made_by(str(CURRENT), "kustomize", str(tmp_path)))
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "512Mi"}
    check_command(syncer, pod)


@needs_helm
@pytest.mark.parametrize("mode", ["push", "pull", "none"])
def test_the_chart_of_kcp_starts_a_server(mode: str) -> None:
    chart = str(CONTRIB / "helm" / "kcp")
    assert HELM is not None
    objects = made_by(HELM, "template", "kcp", chart, "--set", f"clusterController.mode={mode}")
    check_command(start, pod_of(objects))


@needs_helm
def test_the_chart_of_a_syncer_runs_it() -> None:
    assert HELM is not None
    chart = str(CONTRIB / "helm" / "kcp-syncer")
    objects = made_by(HELM, "template", "s", chart, "--set", "cluster=us-east1,kubeconfigSecret=kcp")
    check_command(syncer, pod_of(objects))


def test_the_image_runs_kcp() -> None:
    lines = (CONTRIB / "images" / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["kcp"]' in lines
    assert "USER 65532:65532" in lines
