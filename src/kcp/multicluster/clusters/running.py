"""Running the cluster controller, beside the negotiation of APIs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from kcp.client import Client, ClientConfiguration
from kcp.client.configuration import check_server
from kcp.logical_clusters import PATH_ROOT
from kcp.multicluster import negotiation
from kcp.multicluster.clusters.api import HEARTBEAT_INTERVAL
from kcp.multicluster.clusters.controller import INTERVAL, ClusterController
from kcp.multicluster.clusters.heartbeats import THRESHOLD
from kcp.multicluster.clusters.manifests import Upstream
from kcp.multicluster.clusters.modes.contract import Registration, SyncerMode
from kcp.multicluster.clusters.modes.none import ExternalSyncers
from kcp.multicluster.clusters.modes.pull import InstalledSyncers
from kcp.multicluster.clusters.modes.push import PushedSyncers, RunSyncer
from kcp.multicluster.running import run_controller
from kcp.multicluster.syncer import CopySource, SharedSources, Syncer, SyncerSettings

LEASE: Final = "cluster-controller"
RESOURCES: Final = (
    "deployments.apps",
    "statefulsets.apps",
    "jobs.batch",
    "services",
    "persistentvolumeclaims",
    "ingresses.networking.k8s.io",
)
"""The resources that are imported from clusters by default."""


class Mode(StrEnum):
    """Where syncers run: in the controller's process, in their clusters, or wherever somebody else starts them."""

    PUSH = "push"
    PULL = "pull"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the cluster controller; times are in seconds.

    ``syncer_image`` and ``syncer_upstream`` (how syncers reach the server, without the path of a logical cluster) are for
    `Mode.PULL`.
    ``logical_clusters`` get the definition of Clusters, by default that of the client does. ``auto_publish``: whether imported
    APIs are published at once. ``leader_elect``: whether other candidates may run.
    """

    mode: Mode = Mode.NONE
    syncer_image: str = ""
    syncer_upstream: Upstream | None = None
    resources: Sequence[str] = RESOURCES
    logical_clusters: Sequence[str] = ()
    auto_publish: bool = False
    leader_elect: bool = True
    interval: float = INTERVAL
    heartbeat_interval: float = HEARTBEAT_INTERVAL
    heartbeat_threshold: float = THRESHOLD


async def run(configuration: ClientConfiguration, options: Options) -> None:
    """Connect the Clusters of all logical clusters of a server, and negotiate their APIs, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            negotiation.run(configuration, auto_publish=options.auto_publish, leader_elect=options.leader_elect)
        )
        running = partial(_running, options=options)
        tasks.create_task(run_controller(configuration, LEASE, running, leader_elect=options.leader_elect))


def _running(client: Client, options: Options) -> AbstractAsyncContextManager[None]:
    controller = ClusterController(
        client,
        _mode(client, options),
        resources=options.resources,
        logical_clusters=options.logical_clusters,
        interval=options.interval,
        heartbeat_threshold=options.heartbeat_threshold,
    )
    return controller.running()


def _mode(client: Client, options: Options) -> SyncerMode:
    if options.mode is Mode.PUSH:
        return PushedSyncers(_syncers_of(client, options))
    if options.mode is Mode.PULL:
        assert options.syncer_upstream is not None
        return InstalledSyncers(options.syncer_image, options.syncer_upstream, options.heartbeat_interval)
    return ExternalSyncers()


def _syncers_of(client: Client, options: Options) -> RunSyncer:
    """Return what runs a syncer. All of them share watches."""
    sources, settings = SharedSources(client), SyncerSettings(heartbeat_interval=options.heartbeat_interval)

    async def run(registration: Registration, downstream: Client, copies: CopySource) -> None:
        source = sources.of(registration.key.cluster, registration.name)
        syncer = Syncer(
            registration.upstream,
            downstream,
            registration.name,
            registration.uid,
            settings=settings,
            source=source,
            copies=copies,
        )
        await syncer.run()

    return run


def upstream_of(configuration: ClientConfiguration, url: str = "") -> Upstream:
    """Return how syncers in clusters reach a server: at a URL, or as a configuration says. Raises ConfigurationError."""
    if url:
        check_server(url)
        return Upstream(url.rstrip("/"), configuration.certificate_authority)
    server, _, _ = configuration.server.partition(f"/{PATH_ROOT}/")
    return Upstream(server.rstrip("/"), configuration.certificate_authority, configuration.tls_server_name)
