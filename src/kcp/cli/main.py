"""``kcp``: the commands. Each command imports what it needs when it runs, since `kcp --help` must not wait for a server."""

from __future__ import annotations

import click

from kcp import __version__
from kcp.cli.api_importer import api_importer
from kcp.cli.api_negotiation import api_negotiation
from kcp.cli.compat import compat
from kcp.cli.completion import completion
from kcp.cli.crd_puller import crd_puller
from kcp.cli.snapshot import snapshot
from kcp.cli.start import start
from kcp.cli.store import store


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="kcp", message="%(prog)s %(version)s")
def main() -> None:
    """A Kubernetes API server without Kubernetes, for many isolated logical clusters."""


main.add_command(start)
main.add_command(snapshot)
main.add_command(store)
main.add_command(compat)
main.add_command(crd_puller)
main.add_command(api_importer)
main.add_command(api_negotiation)
main.add_command(completion)
