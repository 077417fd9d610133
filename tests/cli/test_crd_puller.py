"""``kcp crd-puller`` from one logical cluster to another, as a user runs it."""

from __future__ import annotations

import contextlib
import copy
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kcp.testing import LogicalCluster, Server
from tests.support.commands import call
from tests.support.kcp_process import run
from tests.support.kubectl import CURRENT, Kubectl
from tests.support.objects import definition
from tests.support.waiting import PATIENCE, wait_until

PAGE = Path(__file__).parents[2] / "docs" / "crd-puller.md"


@pytest.fixture
def target(kcp_server: Server) -> LogicalCluster:
    """A second logical cluster, to apply to."""
    return kcp_server.logical_cluster()


def kubectl(cluster: LogicalCluster) -> Kubectl:
    return Kubectl(CURRENT, cluster.kubeconfig, home=cluster.kubeconfig.parent)


def define(cluster: LogicalCluster, plural: str, kind: str) -> dict[str, Any]:
    """Define a custom resource."""
    made = definition(plural, kind)
    kubectl(cluster)("apply", "-f", "-", stdin=json.dumps(made))
    kubectl(cluster).established(made["metadata"]["name"])
    return made


def test_a_definition_is_written_as_it_is_without_what_belongs_to_its_cluster(
    kcp_cluster: LogicalCluster, tmp_path: Path
) -> None:
    made = define(kcp_cluster, "widgets", "Widget")
    done = run("crd-puller", "widgets", "--kubeconfig", str(kcp_cluster.kubeconfig), "--output", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == "widgets.example.com.yaml"
    found = yaml.safe_load(file.read_text())
    assert found["metadata"] == {"name": "widgets.example.com"}
    assert "status" not in found
    assert found["spec"]["names"] == made["spec"]["names"]
    assert found["spec"]["versions"] == made["spec"]["versions"]


def test_all_that_kcp_does_not_serve_is_pulled_and_can_be_applied(
    kcp_cluster: LogicalCluster, target: LogicalCluster
) -> None:
    define(kcp_cluster, "widgets", "Widget")
    define(kcp_cluster, "gadgets", "Gadget")
    arguments = ("--kubeconfig", str(kcp_cluster.kubeconfig), "--apply", "--to-kubeconfig", str(target.kubeconfig))
    done = run("crd-puller", *arguments)
    assert done.returncode == 0, done.stderr
    names = [line.partition("/")[2].removesuffix(" applied") for line in done.stderr.splitlines() if "/" in line]
    assert names == ["services.core", "gadgets.example.com", "widgets.example.com"], "services are no type of kcp's own"
    assert "definitions pulled: 3, new or changed: 3" in done.stderr
    kubectl(target).established(*names)
    kubectl(target)("get", "widgets,gadgets")


def test_a_built_in_type_is_printed_as_a_definition(kcp_cluster: LogicalCluster) -> None:
    done = call(
        "crd-puller", "configmaps", "roles.rbac.authorization.k8s.io", "--kubeconfig", str(kcp_cluster.kubeconfig)
    )
    assert done.returncode == 0, done.stderr
    maps, roles = yaml.safe_load_all(done.stdout)
    assert (maps["metadata"]["name"], maps["spec"]["names"]["shortNames"]) == ("configmaps.core", ["cm"])
    data = maps["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["data"]
    assert data["additionalProperties"] == {"type": "string"}
    assert roles["metadata"]["annotations"]["api-approved.kubernetes.io"].startswith("https://")


def test_a_reader_that_ends_early_gets_no_message(kcp_cluster: LogicalCluster) -> None:
    command = [sys.executable, "-m", "kcp", "crd-puller", "--kubeconfig", str(kcp_cluster.kubeconfig), "configmaps"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as pulling:
        assert pulling.stdout is not None
        assert pulling.stderr is not None
        pulling.stdout.close()
        assert pulling.stderr.read() == b""


def test_a_type_without_a_definition_is_named_with_the_reason(kcp_cluster: LogicalCluster) -> None:
    done = call("crd-puller", "customresourcedefinitions", "--kubeconfig", str(kcp_cluster.kubeconfig))
    assert (done.returncode, done.stdout) == (1, "")
    assert "skipped customresourcedefinitions.apiextensions.k8s.io: " in done.stderr
    assert "contains itself" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), 'the cluster serves no resource "nothing": give <plural> or <plural>.<group>'),
        (("nothing", "neither.example.com"), 'the cluster serves no resource "neither.example.com"'),
        (("configmaps", "--output", "/proc/out"), "--output /proc/out: cannot write the definitions: "),
        (("events",), '"events" is a resource of several groups: give one of events.core, events.events.k8s.io'),
        (("pods", "--apply"), "--apply needs --to-kubeconfig"),
        (("pods", "--watch"), "--watch needs --output or --apply"),
        (("pods", "--context", "none"), 'context "none" does not exist'),
        (("pods", "--interval", "0s"), "--interval must be longer than 0 s"),
        (("pods", "--kubeconfig", "/no/such/file"), "/no/such/file: there is no such kubeconfig"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_says_why(
    kcp_cluster: LogicalCluster, arguments: tuple[str, ...], message: str
) -> None:
    done = call("crd-puller", "--kubeconfig", str(kcp_cluster.kubeconfig), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_in_a_kubeconfig_is_reported_at_once_with_the_server(
    kcp_cluster: LogicalCluster, target: LogicalCluster, tmp_path: Path
) -> None:
    file = tmp_path / "kubeconfig"

    def error(old: str, new: str) -> str:
        file.write_text(re.sub(old, new, kcp_cluster.kubeconfig.read_text()))
        arguments = ("--kubeconfig", str(target.kubeconfig), "--apply", "--to-kubeconfig", str(file))
        done = call("crd-puller", "configmaps", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        return done.stderr

    refused = error(r"token: .*", "token: unknown")
    assert f"Error: {kcp_cluster.url}: Unauthorized: check the credentials" in refused
    unreachable = error(r"server: .*", "server: https://127.0.0.1:1")
    assert "Error: GET /version: cannot connect to 127.0.0.1:1: Connection refused\n" in unreachable


def test_definitions_are_not_applied_to_the_cluster_that_they_come_from(kcp_cluster: LogicalCluster) -> None:
    made = define(kcp_cluster, "widgets", "Widget")
    same = str(kcp_cluster.kubeconfig)
    done = call("crd-puller", "--kubeconfig", same, "--apply", "--to-kubeconfig", same)
    assert done.returncode == 2
    assert f"--kubeconfig and --to-kubeconfig are both of {kcp_cluster.url}" in done.stderr
    found = json.loads(
        kubectl(kcp_cluster)("get", "crd", made["metadata"]["name"], "--show-managed-fields", "-o", "json")
    )
    assert "crd-puller" not in {entry["manager"] for entry in found["metadata"]["managedFields"]}


def test_a_cluster_that_is_followed_brings_its_new_definitions(kcp_cluster: LogicalCluster, tmp_path: Path) -> None:
    define(kcp_cluster, "widgets", "Widget")
    command = [sys.executable, "-m", "kcp", "crd-puller", "--kubeconfig", str(kcp_cluster.kubeconfig)]
    with subprocess.Popen([*command, "--output", str(tmp_path), "--watch", "--interval", "100ms"]) as following:
        try:
            wait_until((tmp_path / "widgets.example.com.yaml").exists, "the first definition is written")
            define(kcp_cluster, "gadgets", "Gadget")
            wait_until((tmp_path / "gadgets.example.com.yaml").exists, "the second definition is written")
        finally:
            following.send_signal(signal.SIGINT)
        assert following.wait(PATIENCE) == 0
    written = {file.name for file in tmp_path.iterdir()}
    assert written == {"services.core.yaml", "gadgets.example.com.yaml", "widgets.example.com.yaml"}


def becomes_a_file(directory: Path) -> bool:
    """Put a file in place of a directory; false if the other process has made the directory again meanwhile."""
    shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(IsADirectoryError):
        directory.write_text("in the way")
    return directory.is_file()


def test_a_failure_to_write_does_not_end_the_following(kcp_cluster: LogicalCluster, tmp_path: Path) -> None:
    define(kcp_cluster, "widgets", "Widget")
    output, errors = tmp_path / "out", tmp_path / "errors"
    command = [sys.executable, "-m", "kcp", "crd-puller", "--kubeconfig", str(kcp_cluster.kubeconfig)]
    command += ["--output", str(output), "--watch", "--interval", "100ms"]
    with errors.open("wb") as stream, subprocess.Popen(command, stderr=stream) as following:
        try:
            wait_until((output / "widgets.example.com.yaml").exists, "the first definition is written")
            wait_until(lambda: becomes_a_file(output), "a file is in the way")
            define(kcp_cluster, "gadgets", "Gadget")
            wait_until(lambda: "trying again in 0.1 s: " in errors.read_text(), "the failure is reported")
            output.unlink()
            wait_until((output / "gadgets.example.com.yaml").exists, "the second definition is written")
        finally:
            following.send_signal(signal.SIGINT)
        assert following.wait(PATIENCE) == 0


def test_a_definition_that_the_server_refuses_does_not_keep_the_others_from_being_applied(
    kcp_cluster: LogicalCluster, target: LogicalCluster
) -> None:
    define(kcp_cluster, "gadgets", "Gadget")
    define(kcp_cluster, "widgets", "Widget")
    kubectl(target)("apply", "-f", "-", stdin=json.dumps(definition("gadgets", "Gadget", scope="Cluster")))
    arguments = ("--kubeconfig", str(kcp_cluster.kubeconfig), "--apply", "--to-kubeconfig", str(target.kubeconfig))
    done = call("crd-puller", "gadgets", "widgets", *arguments)
    assert done.returncode == 1, done.stderr
    assert "refused gadgets.example.com: " in done.stderr
    assert "spec.scope" in done.stderr
    assert "customresourcedefinition.apiextensions.k8s.io/widgets.example.com applied" in done.stderr


def test_the_commands_of_the_page_work(kcp_cluster: LogicalCluster, target: LogicalCluster, tmp_path: Path) -> None:
    define(kcp_cluster, "widgets", "Widget")
    kcp_cluster.write_kubeconfig(tmp_path / "cluster.kubeconfig")
    target.write_kubeconfig(tmp_path / "kcp.kubeconfig")
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for command in block.splitlines():
        done = run(*shlex.split(command)[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "definitions").iterdir()} == {
        "configmaps.core.yaml",
        "widgets.example.com.yaml",
    }
    kubectl(target).established("widgets.example.com")


def test_fields_of_other_field_managers_are_taken_over(kcp_cluster: LogicalCluster, target: LogicalCluster) -> None:
    made = define(kcp_cluster, "widgets", "Widget")
    other = copy.deepcopy(made)
    other["spec"]["names"]["shortNames"] = ["other"]
    kubectl(target)("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=json.dumps(other))
    made["spec"]["names"]["shortNames"] = ["wd"]
    kubectl(kcp_cluster)("apply", "-f", "-", stdin=json.dumps(made))
    arguments = ("--kubeconfig", str(kcp_cluster.kubeconfig), "--apply", "--to-kubeconfig", str(target.kubeconfig))
    done = call("crd-puller", "widgets", *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads(kubectl(target)("get", "crd", "widgets.example.com", "-o", "json"))
    assert found["spec"]["names"]["shortNames"] == ["wd"]
