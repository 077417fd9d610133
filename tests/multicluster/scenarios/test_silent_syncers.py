"""A cluster whose syncer is silent counts as lost, though it lives: the other runs its copies until the syncer is back (S12)."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from kcp.api.placement import CLUSTER_LABEL, OWNED_BY_LABEL
from kcp.testing import Server
from tests.multicluster.scenarios.fleet import ARGUMENTS, Fleet, deployment
from tests.support.simulated_clusters import SimulatedCluster
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, clusters: dict[str, SimulatedCluster]) -> Iterator[Server]:
    """A kcp that runs no syncers."""
    del clusters  # they start before it
    arguments = [each for each in ARGUMENTS if each != "--push-mode"]
    with Server(root_directory=tmp_path_factory.mktemp("kcp"), in_process=False, arguments=arguments) as started:
        yield started


@contextmanager
def syncing(fleet: Fleet, name: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``kcp syncer`` for a cluster, with a kubeconfig as ``kcp cluster syncer-kubeconfig`` prints it."""
    file = folder / f"{name}.kubeconfig"
    file.write_text(fleet.kcp("syncer-kubeconfig", name))
    command = [sys.executable, "-m", "kcp", "syncer", "--cluster", name, "--heartbeat-interval", "500ms"]
    command += ["--from-kubeconfig", str(file), "--to-kubeconfig", str(fleet.clusters[name].kubeconfig)]
    with (folder / f"{name}.log").open("a") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


def leaves(fleet: Fleet) -> dict[str, int]:
    """The copies of the leaves of the Deployment web, by cluster. A leaf in deletion waits for its syncer, and does not count."""
    listed = fleet.get("deploy", "-l", f"{OWNED_BY_LABEL}=web")["items"]
    kept = [each for each in listed if "deletionTimestamp" not in each["metadata"]]
    return {each["metadata"]["labels"][CLUSTER_LABEL]: each["spec"]["replicas"] for each in kept}


def settles(fleet: Fleet, **expected: int) -> None:
    """Wait until the copies are divided so, and all of them are ready."""
    wanted = {name.replace("_", "-"): count for name, count in expected.items()}
    wait_until(lambda: leaves(fleet) == wanted, f"the copies are on {wanted}")
    fleet.runs("web", 10)


def test_the_copies_of_a_cluster_with_a_silent_syncer_are_made_on_the_other(fleet: Fleet, tmp_path: Path) -> None:
    with ExitStack() as stack:
        for name in fleet.clusters:
            fleet.kcp("register", name, "--kubeconfig", str(fleet.clusters[name].kubeconfig), "--wait=false")
        syncers = {name: stack.enter_context(syncing(fleet, name, tmp_path)) for name in fleet.clusters}
        for name in fleet.clusters:
            fleet.is_ready(name, "True")
        fleet.serves("deployments.apps")
        fleet.kubectl("apply", "-f", "-", stdin=deployment("web", replicas=10))
        settles(fleet, us_east1=5, us_west1=5)

        syncers["us-west1"].send_signal(signal.SIGSTOP)
        fleet.is_ready("us-west1", "False")
        healthy = fleet.conditions("us-west1")["HeartbeatHealthy"]
        assert (healthy["status"], healthy["reason"]) == ("False", "ErrorHeartbeat")
        settles(fleet, us_east1=10)
        status = fleet.get("deploy", "web")["status"]
        assert (status["replicas"], status["availableReplicas"]) == (10, 10), "those of the lost cluster do not count"
        assert {each["type"]: each["status"] for each in status["conditions"]}["Available"] == "True"

        syncers["us-west1"].send_signal(signal.SIGCONT)
        fleet.is_ready("us-west1", "True")
        settles(fleet, us_east1=5, us_west1=5)
        assert fleet.get("deploy", "web")["status"]["replicas"] == 10

        syncers["us-west1"].kill()
        syncers["us-west1"].wait(PATIENCE)
        fleet.is_ready("us-west1", "False")
        settles(fleet, us_east1=10)
        stack.enter_context(syncing(fleet, "us-west1", tmp_path))
        settles(fleet, us_east1=5, us_west1=5)
        fleet.kubectl("delete", "deploy", "web")
        wait_until(
            lambda: not any("web" in fleet.on(name)("get", "deploy", "-A") for name in fleet.clusters), "all are gone"
        )
        fleet.remove_clusters()
