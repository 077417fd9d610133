"""``kcp cluster register`` and ``kcp cluster remove``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from kcp.cli import flags
from kcp.cli.cluster_commands import CommandError, run, server, server_flags, until
from kcp.cli.cluster_flags import kubeconfig_flags
from kcp.cli.progress import Progress

_waiting = flags.group("Waiting")
_labels = flags.group("Placement")
_NO_CONTROLLER: Final = (
    "waiting for the cluster controller (kcp start --with-cluster-controller, or kcp cluster-controller)"
)


@click.command(cls=flags.GroupedCommand, short_help="Register a Kubernetes cluster.")
@kubeconfig_flags("The cluster", "the cluster to register")
@server_flags
@_labels(
    "--labels",
    default="",
    type=flags.Words(),
    metavar="KEY=VALUE,...",
    show_default=False,
    help="Labels of the Cluster, for rules of placement.",
)
@_waiting("--wait", default=True, **flags.SWITCH, help="Wait until the cluster is ready. [default: true]")
@_waiting("--timeout", default="2m", type=flags.DurationType(), metavar="DURATION", help="How long to wait at most.")
@click.argument("name")
def register(name: str, **choices: Any) -> None:
    """Register a Kubernetes cluster as Cluster NAME, or give it another kubeconfig.

    The context of --kubeconfig, with the contents of the files that it names, is kept in a Secret of the logical cluster. The
    exit code is 1 if the registration is refused or the cluster is not ready in time.
    """
    run(_register(name, **choices))


async def _register(
    name: str,
    *,
    kubeconfig: Path | None,
    context: str,
    kcp_kubeconfig: Path | None,
    kcp_context: str,
    labels: tuple[str, ...],
    wait: bool,
    timeout: float,
) -> None:
    from kcp.multicluster.clusters import administration
    from kcp.multicluster.clusters.kubeconfigs import flattened

    text = flattened(kubeconfig, context)
    async with server(kcp_kubeconfig, kcp_context) as client:
        new = await administration.register(client, name, text, _read_labels(labels))
        click.echo(f"{name} registered" if new else f"{name} updated")
        if not wait:
            return

        async def ready(progress: Progress) -> None:
            async for found in administration.readiness(client, name):
                if found is None:
                    raise CommandError(f"{name} was removed")
                if found.status == "True":
                    return
                progress.show(f"{name}: {found.message or found.reason}" if found.status else _NO_CONTROLLER)

        await until(timeout, ready, f"{name} is not ready")
        click.echo(f"{name} ready")


def _read_labels(words: tuple[str, ...]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise CommandError(f'--labels: "{word}" is not KEY=VALUE')
    return {key: value for key, _, value in (word.partition("=") for word in words)}


@click.command(cls=flags.GroupedCommand, short_help="Remove a Kubernetes cluster.")
@server_flags
@_waiting("--wait", default=True, **flags.SWITCH, help="Wait until the cluster is removed. [default: true]")
@_waiting("--timeout", default="5m", type=flags.DurationType(), metavar="DURATION", help="How long to wait at most.")
@flags.group("Removal")(
    "--force", is_flag=True, help="Forget the cluster without reaching it: what was synced stays there."
)
@click.argument("name")
def remove(name: str, **choices: Any) -> None:
    """Remove Cluster NAME: its syncer, what was synced to the cluster, and what kcp knows of it.

    The exit code is 1 if that is not done in time; it goes on in the background.
    """
    run(_remove(name, **choices))


async def _remove(
    name: str, *, kcp_kubeconfig: Path | None, kcp_context: str, wait: bool, timeout: float, force: bool
) -> None:
    from kcp.multicluster.clusters import administration

    async with server(kcp_kubeconfig, kcp_context) as client:
        await administration.remove(client, name, force=force)
        if not wait:
            click.echo(f"{name} is being removed")
            return

        async def gone(progress: Progress) -> None:
            async for found in administration.readiness(client, name):
                if found is None:
                    return
                progress.show(f"{name}: {found.message or 'being removed'}")

        await until(timeout, gone, f"{name} is not removed")
        click.echo(f"{name} removed")
