"""``kcp``: the commands. A command is imported when it is called or listed, and imports what it needs when it runs."""

from __future__ import annotations

import errno
import gc
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click

from kcp import __version__

_COMMANDS: Final = {
    "start": "kcp.cli.start",
    "service-account-keys": "kcp.cli.service_account_keys",
    "snapshot": "kcp.cli.snapshot",
    "store": "kcp.cli.store",
    "compat": "kcp.cli.compat",
    "crd-puller": "kcp.cli.crd_puller",
    "api-importer": "kcp.cli.api_importer",
    "api-negotiation": "kcp.cli.api_negotiation",
    "deployment-splitter": "kcp.cli.deployment_splitter",
    "simulate-cluster": "kcp.cli.simulate_cluster",
    "cluster": "kcp.cli.cluster",
    "cluster-controller": "kcp.cli.cluster_controller",
    "syncer": "kcp.cli.syncer",
    "completion": "kcp.cli.completion",
}
"""Each command's module, which has a command of the same name with ``_`` for ``-``."""
_INTERRUPTED: Final = 130
"""The exit code of a program that SIGINT ended. click's own is 1, which commands use for results."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for: `kcp start` does not wait for the other commands."""

    def __init__(self, *args: Any, modules: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._modules = modules

    def invoke(self, ctx: click.Context) -> Any:
        """Import and run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(_INTERRUPTED)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            click.echo(f"kcp: cannot write: {error.strerror}", err=True)
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's name
        """Return the names of the commands, sorted."""
        return sorted(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's name
        """Import a command; None if there is none of this name."""
        if (module := self._modules.get(cmd_name)) is None:
            return None
        collects = gc.isenabled()
        gc.disable()  # what an import makes is no garbage
        try:
            command: click.Command = getattr(import_module(module), cmd_name.replace("-", "_"))
        finally:
            if collects:
                gc.enable()
        return command


@click.group(
    cls=LazyGroup,
    modules=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="kcp", message="%(prog)s %(version)s")
def main() -> None:
    """A Kubernetes API server without Kubernetes, for many isolated logical clusters."""
