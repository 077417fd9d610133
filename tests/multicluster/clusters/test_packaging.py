"""The packaging in ``contrib``: what it makes is valid, and its arguments are those of the commands."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from kcp.api.kinds import GroupResource
from kcp.cli.start import start
from kcp.cli.syncer import syncer
from kcp.multicluster.clusters.api import SECRETS
from kcp.multicluster.clusters.manifests import Syncer, Token, Upstream, documents, objects_of, secret_of
from kcp.multicluster.clusters.running import RESOURCES
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


def readme_commands(program: str) -> list[list[str]]:
    """The commands of contrib/README.md that call a program."""
    lines = (CONTRIB / "README.md").read_text().splitlines()
    return [shlex.split(line) for line in lines if line.startswith(f"{program} ")]


@needs_helm
def test_the_page_installs_the_charts() -> None:
    assert HELM is not None
    pods = []
    for _, verb, release, chart, *flags in readme_commands("helm"):
        assert verb == "install"
        flags = [flag for flag in flags if flag not in ("--create-namespace", "--kubeconfig", "us-east1.kubeconfig")]
        pods.append(pod_of(made_by(HELM, "template", release, str(CONTRIB.parent / chart), *flags)))
    assert [pod["containers"][0]["args"][0] for pod in pods] == ["start", "syncer"]
    assert pods[0]["containers"][0]["image"] == "registry.example.com/kcp:0.1.0"


def test_the_page_names_every_folder_of_packaging() -> None:
    text = (CONTRIB / "README.md").read_text()
    folders = [f"{kind}/{each.name}" for kind in ("helm", "kustomize") for each in (CONTRIB / kind).iterdir()]
    assert [each for each in (*folders, "demo/", "images/") if f"`contrib/{each}`" not in text] == []


def test_an_account_for_kcp_may_do_what_a_syncer_does() -> None:
    """Kubernetes lets nobody give permissions that they lack: pull mode gives the syncer its own."""
    objects = made_by(str(CURRENT), "kustomize", str(CONTRIB / "kustomize" / "registration"))
    assert [each["kind"] for each in objects] == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret"]
    held = objects[1]["rules"]
    imported = [GroupResource(group, plural) for plural, _, group in (each.partition(".") for each in RESOURCES)]
    made = Syncer("us-east1", "uid", "i", Upstream("https://kcp.example.com", b""), imported)
    (role,) = (body for resource, body in objects_of(made) if resource.kind == "ClusterRole")
    missing = [
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if not any(
            {group, "*"} & set(each["apiGroups"]) and {resource, "*"} & set(each["resources"]) and verb in each["verbs"]
            for each in held
        )
    ]
    assert missing == []


def test_the_image_runs_kcp() -> None:
    lines = (CONTRIB / "images" / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["kcp"]' in lines
    assert "USER 65532:65532" in lines
