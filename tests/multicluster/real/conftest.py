"""Two Kubernetes clusters and a kcp for each mode of its syncers, which the tests share: all in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kcp.testing import Server
from tests.multicluster.real import kubernetes
from tests.multicluster.real.kubernetes import SYNCER_IMAGE, KubernetesCluster
from tests.multicluster.scenarios.fleet import Fleet
from tests.support.etcd import own_etcd

_ARGUMENTS = ("--with-cluster-controller", "--auto-publish-apis")


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, KubernetesCluster]]:
    """The clusters us-east1 and us-west1."""
    if reason := kubernetes.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("kubernetes")
    with own_etcd(folder) as etcd:
        etcd.wait()
        found = [KubernetesCluster(name, folder / name, etcd.urls[0]) for name in ("us-east1", "us-west1")]
        try:
            for each in found:
                each.start()
            for each in found:
                each.ready()
            yield {each.name: each for each in found}
        finally:
            for each in found:
                each.stop()


@pytest.fixture(scope="module", params=["push", "pull"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, clusters: dict[str, KubernetesCluster]
) -> Iterator[Server]:
    """The kcp, which runs the syncers of its clusters, or installs them there."""
    del clusters  # they start before it
    modes = {"push": ("--push-mode",), "pull": ("--pull-mode", "--syncer-image", SYNCER_IMAGE)}
    arguments = (*_ARGUMENTS, *modes[request.param])
    root = tmp_path_factory.mktemp("kcp")
    with Server(root_directory=root, in_process=False, arguments=arguments) as started:
        yield started


@pytest.fixture
def fleet(server: Server, clusters: dict[str, KubernetesCluster], tmp_path: Path) -> Iterator[Fleet]:
    """A fresh logical cluster and the clusters, which are removed at the end."""
    made = Fleet(server.logical_cluster(), clusters, tmp_path)
    yield made
    made.remove_clusters()
