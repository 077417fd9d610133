"""``kcp api-negotiation``: the controller of API negotiation as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kcp.cli import flags
from kcp.cli.cluster_flags import kubeconfig_flags

if TYPE_CHECKING:
    from kcp.client import ClientConfiguration

AUTO_PUBLISH_HELP: Final = (
    "Publish each negotiated API at once. [default: when spec.publish of its NegotiatedAPIResource is set]"
)
_FAILED: Final = 2
_LOG_FORMATS: Final = ("text", "json")

_negotiation = flags.group("Negotiation")
_logging = flags.group("Logging")


@click.command("api-negotiation", cls=flags.GroupedCommand, short_help="Negotiate one API for all clusters.")
@kubeconfig_flags("Server", "the kcp server")
@_negotiation("--auto-publish-apis", is_flag=True, show_default=False, help=AUTO_PUBLISH_HELP)
@_negotiation(
    "--leader-elect",
    default=True,
    **flags.SWITCH,
    help="Negotiate only while this process holds the Lease kube-system/api-negotiation: several may run. [default: true]",
)
@_logging(
    "-v",
    "--v",
    "verbosity",
    default=0,
    type=click.IntRange(min=0),
    metavar="LEVEL",
    help="Log level: 4 adds debug output.",
)
@_logging("--log-format", default="text", type=click.Choice(_LOG_FORMATS), help="Format of the log lines on stderr.")
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
    from kcp.cli.server_checks import check_kcp_server
    from kcp.client import ClientError, load_configuration

    log_formats.set_up(log_format, verbosity)
    try:
        configuration = load_configuration(kubeconfig, context=context)
        asyncio.run(check_kcp_server(configuration))
    except ClientError as error:
        click.echo(f"kcp: {error}", err=True)
        sys.exit(_FAILED)
    import uvloop

    uvloop.run(_run_until_signalled(configuration, auto_publish=auto_publish_apis, leader_elect=leader_elect))


async def _run_until_signalled(configuration: ClientConfiguration, **choices: Any) -> None:
    from kcp.multicluster import negotiation

    task = asyncio.ensure_future(negotiation.run(configuration, **choices))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
