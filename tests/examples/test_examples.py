"""The examples run as their README says, with the code of this tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.etcd import MISSING, binary
from devtools.ports import free_ports
from kcp.testing import LogicalCluster
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
BINARIES = Path(sys.executable).parent


def environment(**more: str) -> dict[str, str]:
    """The environment of the examples: the programs of this environment, and the code of this tree."""
    etcd = binary()
    path = [str(BINARIES), *([str(Path(etcd).parent)] if etcd else []), os.environ["PATH"]]
    return {**os.environ, "PATH": ":".join(path), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", **more}


def run(*command: str | Path, **more: str) -> str:
    """Return the output of a command, which must succeed."""
    done = subprocess.run(command, env=environment(**more), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_example_is_in_the_index() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert set(re.findall(r"\]\((\d-[\w-]+)\)", (EXAMPLES / "README.md").read_text())) == folders


def test_the_first_definition(kcp_cluster: LogicalCluster) -> None:
    said = run(EXAMPLES / "1-first-crd" / "run.sh", KUBECONFIG=str(kcp_cluster.kubeconfig))
    assert "widget.example.com/first created" in said
    assert "widget.example.com/first scaled\n2\n" in said
    assert "FIELD: size" in said


def test_an_operator_with_kopf(kcp_cluster: LogicalCluster, tmp_path: Path) -> None:
    variables = {"KUBECONFIG": str(kcp_cluster.kubeconfig)}
    first = EXAMPLES / "1-first-crd"
    run("kubectl", "apply", "-f", first / "crd.yaml", **variables)
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--all-namespaces"]
    log = tmp_path / "operator.log"
    with (
        log.open("w") as said,
        subprocess.Popen(
            [*command, EXAMPLES / "2-operator-with-kopf" / "widget_operator.py"],
            env=environment(**variables),
            stdout=said,
            stderr=said,
        ) as operator,
    ):
        try:
            run("kubectl", "apply", "-f", first / "widget.yaml", **variables)
            wait_for_message("1 parts", operator, log, **variables)
            run("kubectl", "scale", "widget/first", "--replicas=4", **variables)
            wait_for_message("4 parts", operator, log, **variables)
            run("kubectl", "delete", "widget/first", **variables)
        finally:
            operator.terminate()
    assert "widget first is dismantled" in log.read_text()


def wait_for_message(wanted: str, operator: subprocess.Popen[bytes], log: Path, **variables: str) -> None:
    """Return when the operator has written this message into the status."""

    def is_there() -> bool:
        assert operator.poll() is None, log.read_text()
        return run("kubectl", "get", "widget", "first", "-o", "jsonpath={.status.message}", **variables) == wanted

    wait_until(is_there, f"the message {wanted!r}")


def test_tests_with_the_plugin() -> None:
    said = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLES / "3-tests-with-the-plugin")
    assert "2 passed" in said


def test_many_tenants() -> None:
    said = run(sys.executable, EXAMPLES / "4-many-tenants" / "tenants.py", "20")
    assert "one list: 20 objects of 20 logical clusters" in said
    assert "tenant-7 sees greeting, kube-root-ca.crt: {'tenant': '7'}" in said


@pytest.mark.skipif(binary() is None, reason=MISSING)
def test_several_servers_on_etcd(tmp_path: Path) -> None:
    port = next(port for port in free_ports(20) if port < 65000)
    said = run(EXAMPLES / "5-several-servers-on-etcd" / "run.sh", ETCD_PORT=str(port), TMPDIR=str(tmp_path))
    assert 'read through b: {"through":"a"}' in said
    assert "configmap/hello\nconfigmap/again" in said
