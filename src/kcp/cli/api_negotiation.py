"""``kcp api-negotiation``: the controller of API negotiation as a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from kcp.cli import flags
from kcp.cli.cluster_flags import kubeconfig_flags
from kcp.cli.controller_processes import (
    configuration_of_kcp,
    leader_election_flag,
    log_flags,
    run_process,
    run_until_signalled,
)

AUTO_PUBLISH_HELP: Final = (
    "Publish each negotiated API at once. [default: when spec.publish of its NegotiatedAPIResource is set]"
)

_negotiation = flags.group("Negotiation")


@click.command("api-negotiation", cls=flags.GroupedCommand, short_help="Negotiate one API for all clusters.")
@kubeconfig_flags("Server", "the kcp server")
@_negotiation("--auto-publish-apis", is_flag=True, show_default=False, help=AUTO_PUBLISH_HELP)
@leader_election_flag("Negotiation", "api-negotiation", "Negotiate")
@log_flags()
def api_negotiation(
    kubeconfig: Path | None, context: str, auto_publish_apis: bool, leader_elect: bool, verbosity: int, log_format: str
) -> None:
    """Negotiate the APIs of clusters in all logical clusters of a kcp server.

    Each APIResourceImport says how a cluster serves a resource (see kcp api-importer). For each resource this finds what all
    clusters can run, records it in a NegotiatedAPIResource, and serves it by a CustomResourceDefinition when it is published.
    Runs until SIGTERM or SIGINT. The exit code is 2 if at the start the server cannot be reached, refuses the user or is not a
    kcp server; after later failures the command tries again. "kcp start --install-api-negotiation" runs the same inside the
    server.
    """
    from kcp.cli import log_formats
    from kcp.multicluster import negotiation

    log_formats.set_up(log_format, verbosity)
    configuration = configuration_of_kcp(kubeconfig, context)

    running = negotiation.run(configuration, auto_publish=auto_publish_apis, leader_elect=leader_elect)
    run_process(run_until_signalled(running))
