"""``kcp cluster register`` and ``kcp cluster remove``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from kcp.cli import flags
from kcp.cli.cluster_commands import CommandError, run, server, server_flags, until
from kcp.cli.cluster_flags import kubeconfig_flags, timeout_flag, waiting_flag
from kcp.cli.progress import Progress, printable

_labels = flags.group("Placement")
_NO_CONTROLLER: Final = (
    "no answer of the cluster controller: is it running (kcp start --with-cluster-controller, kcp cluster-controller)?"
)
_CONNECTING: Final = "the cluster controller is connecting"
_PATIENCE: Final = 3.0
"""Seconds that a cluster controller has to react before the command asks for it."""


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
@waiting_flag("--wait", default=True, **flags.SWITCH, help="Wait until the cluster is ready. [default: true]")
@timeout_flag("2m")
@click.argument("name")
def register(name: str, labels: tuple[str, ...], **choices: Any) -> None:
    """Register a Kubernetes cluster as Cluster NAME, or give it another kubeconfig.

    The context of --kubeconfig, with the contents of the files that it names, is kept in a Secret of the logical cluster. The
    exit code is 1 if the registration is refused or the cluster is not ready in time, and 2 if a kubeconfig or the kcp server
    cannot be used.
    """
    from kcp.api.names import is_dns1123_label

    if problems := is_dns1123_label(name):
        raise click.UsageError(f'"{name}" cannot be the name of a cluster: {"; ".join(problems)}')
    run(_register(name, labels=_read_labels(labels), **choices))


async def _register(
    name: str,
    *,
    kubeconfig: Path | None,
    context: str,
    kcp_kubeconfig: Path | None,
    kcp_context: str,
    labels: dict[str, str],
    wait: bool,
    timeout: float,
) -> None:
    from kcp.client import ConfigurationError, load_configuration
    from kcp.multicluster.clusters import administration
    from kcp.multicluster.clusters.kubeconfigs import flattened, server_of

    text = flattened(kubeconfig, context)
    if server_of(text) == load_configuration(kcp_kubeconfig, context=kcp_context).server.rstrip("/"):
        raise ConfigurationError(
            f"--kubeconfig is that of the kcp server itself, {server_of(text)}, and not of a cluster"
        )
    async with server(kcp_kubeconfig, kcp_context) as client:
        try:
            new = await administration.register(client, name, text, labels)
        except administration.BeingRemovedError as error:
            raise CommandError(str(error)) from None
        click.echo(f"{name} registered" if new else f"{name} updated")
        if not wait:
            return

        warnings: list[str] = []

        async def ready(progress: Progress) -> None:
            with _asking_for_the_controller(progress, timeout) as answered:
                async for found in administration.readiness(client, name):
                    if found is None:
                        raise CommandError(f"{name} was removed")
                    if found.is_sound:
                        warnings[:] = found.warnings
                        return
                    if found.current or (found.taken and not found.status):
                        answered()
                        progress.show(found.message or found.reason or _CONNECTING)

        await until(timeout, ready, name, "is not ready")
        click.echo(f"{name} ready")
        for warning in warnings:
            click.echo(f"kcp: warning: {name}: {printable(warning)}", err=True)


@contextmanager
def _asking_for_the_controller(progress: Progress, timeout: float) -> Iterator[Callable[[], None]]:
    """Ask for the cluster controller unless the function that this yields is called soon."""
    patience = min(_PATIENCE, timeout / 2) if timeout else _PATIENCE
    question = asyncio.get_running_loop().call_later(patience, progress.show, _NO_CONTROLLER)
    try:
        yield question.cancel
    finally:
        question.cancel()


def _read_labels(words: tuple[str, ...]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise click.UsageError(f'--labels: "{word}" is not KEY=VALUE')
    return {key: value for key, _, value in (word.partition("=") for word in words)}


@click.command(cls=flags.GroupedCommand, short_help="Remove a Kubernetes cluster.")
@server_flags
@waiting_flag("--wait", default=True, **flags.SWITCH, help="Wait until the cluster is removed. [default: true]")
@timeout_flag("5m")
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
            with _asking_for_the_controller(progress, timeout) as answered:
                async for found in administration.readiness(client, name):
                    if found is None:
                        return
                    if found.current and not force:  # what it says about a removal without --force is over
                        answered()
                        progress.show(found.message)

        await until(timeout, gone, name, "is not removed")
        click.echo(f"{name} removed")
