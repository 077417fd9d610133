"""The flags of the cluster controller, which ``kcp start`` and ``kcp cluster-controller`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from kcp.cli import flags
from kcp.cli.syncer_addresses import warn_of_loopback

if TYPE_CHECKING:
    from kcp.client import ClientConfiguration
    from kcp.multicluster.clusters import Options

Command = Callable[..., Any]
_FLAGS: Final = (
    "push_mode",
    "pull_mode",
    "syncer_image",
    "syncer_server_url",
    "resources_to_sync",
    "cluster_logical_clusters",
    "heartbeat_threshold",
)
_LEAST_BEATS: Final = 3
"""Heartbeats in the time after which a syncer counts as dead."""


def controller_flags(heading: str) -> Callable[[Command], Command]:
    """Return a decorator that adds the flags under a heading."""
    group = flags.group(heading)
    options = (
        group("--push-mode", is_flag=True, show_default=False, help="Run the syncers of all clusters in this process."),
        group("--pull-mode", is_flag=True, show_default=False, help="Install a syncer in each cluster."),
        group(
            "--syncer-image",
            default="",
            metavar="IMAGE",
            show_default=False,
            help="Image of the syncers that --pull-mode installs.",
        ),
        group(
            "--syncer-server-url",
            default="",
            metavar="URL",
            show_default=False,
            help="Address at which the syncers of --pull-mode reach this kcp server. [default: that of its kubeconfig]",
        ),
        group(
            "--resources-to-sync",
            default="",
            type=flags.Words(),
            metavar="NAME,...",
            show_default=False,
            help="Resources to import from clusters: plurals, with their groups. [default: Deployments, StatefulSets, Jobs, "
            "Services, PersistentVolumeClaims and Ingresses]",
        ),
        group(
            "--cluster-logical-clusters",
            default="",
            type=flags.Words(),
            metavar="NAME,...",
            show_default=False,
            help="Logical clusters that get the definition of Clusters. [default: that of the kubeconfig]",
        ),
        group(
            "--heartbeat-threshold",
            default="1m",
            type=flags.DurationType(),
            metavar="DURATION",
            help="Time without heartbeats of its syncer after which a cluster is not ready.",
        ),
    )

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def take_controller_choices(choices: dict[str, Any]) -> dict[str, Any]:
    """Remove the flags from the choices of a command, and return them. Raises UsageError where they exclude each other."""
    taken = {name: choices.pop(name) for name in _FLAGS}
    if taken["push_mode"] and taken["pull_mode"]:
        raise click.UsageError("can't set both --push-mode and --pull-mode")
    if taken["pull_mode"] and not taken["syncer_image"]:
        raise click.UsageError("--pull-mode needs --syncer-image")
    for name in ("syncer_image", "syncer_server_url"):
        if taken[name] and not taken["pull_mode"]:
            raise click.UsageError(f"--{name.replace('_', '-')} needs --pull-mode")
    for name in taken["cluster_logical_clusters"]:
        _check_logical_cluster(name)
    if taken["heartbeat_threshold"] <= 0:
        raise click.UsageError("--heartbeat-threshold must be longer than 0 s")
    return taken


def _check_logical_cluster(name: str) -> None:
    from kcp.logical_clusters import WILDCARD, InvalidNameError, parse_name

    try:
        if parse_name(name) == WILDCARD:
            raise click.UsageError("--cluster-logical-clusters must name logical clusters, and * is all of them")
    except InvalidNameError as error:
        raise click.UsageError(f"--cluster-logical-clusters: {error}") from None


def options_of(taken: dict[str, Any], configuration: ClientConfiguration, **more: Any) -> Options:
    """Return the options of the controller. ``configuration`` is how it reaches the server. Raises ConfigurationError."""
    from kcp.multicluster.clusters import Mode, Options, upstream_of
    from kcp.multicluster.clusters.api import HEARTBEAT_INTERVAL
    from kcp.multicluster.clusters.running import RESOURCES

    threshold = taken["heartbeat_threshold"]
    mode = Mode.PUSH if taken["push_mode"] else Mode.PULL if taken["pull_mode"] else Mode.NONE
    upstream = upstream_of(configuration, taken["syncer_server_url"])
    if mode is Mode.PULL:
        warn_of_loopback(upstream.server)
    return Options(
        mode=mode,
        syncer_image=taken["syncer_image"],
        syncer_upstream=upstream,
        resources=taken["resources_to_sync"] or RESOURCES,
        logical_clusters=taken["cluster_logical_clusters"],
        heartbeat_threshold=threshold,
        heartbeat_interval=min(HEARTBEAT_INTERVAL, threshold / _LEAST_BEATS),
        **more,
    )
