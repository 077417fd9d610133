"""``kcp deployment-splitter``: what is refused, what it does, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from kcp.cli import start
from kcp.client import Client, load_configuration
from kcp.multicluster.conditions import condition_of
from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS
from kcp.multicluster.simulation.definitions import definitions
from kcp.multicluster.splitter import Policy
from kcp.multicluster.splitter.kinds import DEPLOYMENT
from kcp.testing import LogicalCluster
from tests.multicluster.splitter.models import deployment
from tests.support.commands import call
from tests.support.waiting import PATIENCE, eventually


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--split-by", "size"), '--split-by: "size" must be equal, label:<key> or allocatable:<resource>'),
        (("--minimum-per-cluster", "-1"), "'--minimum-per-cluster'"),
        (("--kubeconfig", "/no/such/file"), "/no/such/file: there is no such kubeconfig"),
    ],
)
def test_a_splitter_that_cannot_run_is_refused(arguments: tuple[str, ...], message: str) -> None:
    done = call("deployment-splitter", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_splits_as_its_flags_say() -> None:
    flags = ["--with-cluster-controller", "--split-by", "label:size", "--minimum-per-cluster", "2"]
    choices = dict(start.start.make_context("start", flags).params)
    assert start._take_controllers(choices).policy == Policy("label:size", 2)
    assert not {"split_by", "minimum_per_cluster"} & choices.keys()


async def test_one_of_two_splitters_splits(kcp_cluster: LogicalCluster) -> None:
    (definition,) = (each for each in definitions() if each["metadata"]["name"] == "deployments.apps")
    command = [sys.executable, "-m", "kcp", "deployment-splitter", "--kubeconfig", str(kcp_cluster.kubeconfig)]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first,
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as second,
    ):
        async with Client(load_configuration(kcp_cluster.kubeconfig)) as client:
            await client.resource(CUSTOM_RESOURCE_DEFINITIONS).create(definition)
            deployments = client.resource(DEPLOYMENT.resource)

            async def created() -> bool:
                resources = (await client.discovery.refresh()).resources
                return any(each.group_resource == DEPLOYMENT.resource.group_resource for each in resources)

            await eventually(created, "Deployments are served")
            await deployments.create({"metadata": {"name": "web"}, "spec": deployment(3)["spec"]})

            async def reported() -> bool:
                status = (await deployments.get("web")).get("status", {})
                return condition_of(status.get("conditions"), "Progressing").get("reason") == "NoRegisteredClusters"

            await eventually(reported, "the Deployment says that there are no clusters")
        said = []
        for process in (first, second):
            process.send_signal(signal.SIGTERM)
            said.append(process.communicate(timeout=PATIENCE)[1])
            assert process.returncode in (0, -signal.SIGTERM)  # the other may still be starting
    assert 0 in (first.returncode, second.returncode)
    assert ["the controller deployment-splitter runs" in each for each in said].count(True) >= 1
    assert not any("Traceback" in each for each in said)
