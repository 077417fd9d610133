"""``kcp simulate-cluster``: a small look-alike of a Kubernetes cluster, for demonstrations and tests."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kcp.cli import flags

if TYPE_CHECKING:
    from kcp.multicluster.simulation import Settings
    from kcp.server.process.running import ServerProcess

_FAILED: Final = 1

_serving = flags.group("Serving")
_simulation = flags.group("Simulation")
_logging = flags.group("Logging")


@click.command("simulate-cluster", cls=flags.GroupedCommand, short_help="Run a look-alike of a Kubernetes cluster.")
@_serving("--bind-address", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 or :: for all.")
@_serving(
    "--secure-port",
    default=0,
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 picks a free one.",
)
@_serving(
    "--root-directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIRECTORY",
    show_default=False,
    help="Directory for everything that the cluster keeps. [default: .kcp/simulated/NAME]",
)
@_simulation("--nodes", default=1, type=click.IntRange(0, 1000), metavar="N", help="Number of nodes.")
@_simulation("--cpu", default="8", metavar="QUANTITY", help="CPU of each node.")
@_simulation("--memory", default="32Gi", metavar="QUANTITY", help="Memory of each node.")
@_simulation("--pods-per-node", default=110, type=click.IntRange(min=0), metavar="N", help="Pods that a node takes.")
@_simulation(
    "--readiness-delay",
    default="0s",
    type=flags.DurationType(),
    metavar="DURATION",
    help="Time from the start of a Pod until it is ready.",
)
@_simulation(
    "--job-duration", default="0s", type=flags.DurationType(), metavar="DURATION", help="Time that a Pod of a Job runs."
)
@_simulation(
    "--fail",
    "failing_images",
    multiple=True,
    metavar="PATTERN",
    help="Images that cannot be pulled, with * and ? as wildcards; may be repeated. Their Pods never become ready.",
)
@_simulation(
    "--make-pods",
    "makes_pods",
    default=True,
    **flags.SWITCH,
    help="Make ReplicaSets and Pods; if false, workloads report ready copies without them. [default: true]",
)
@_logging(
    "-v", "--v", "verbosity", default=0, type=click.IntRange(min=0), metavar="LEVEL", help="Log level, as of kcp start."
)
@click.argument("name")
def simulate_cluster(
    name: str, bind_address: str, secure_port: int, root_directory: Path | None, verbosity: int, **choices: Any
) -> None:
    """Run a look-alike of a Kubernetes cluster, for demonstrations and tests.

    It is a kcp server with the workload types of Kubernetes and stand-ins for their controllers: Deployments get ReplicaSets,
    these get Pods, and the Pods become ready, without any container. NAME is the beginning of the names of the nodes. The
    administrator's kubeconfig is written to <root-directory>/data/admin.kubeconfig. The cluster runs until SIGTERM or SIGINT.
    """
    from kcp.api.names import is_dns1123_label
    from kcp.api.quantity import parse_quantity

    if problems := is_dns1123_label(name):
        raise click.UsageError(f'"{name}" cannot be the name of a cluster: {"; ".join(problems)}')
    for quantity in ("cpu", "memory"):
        try:
            parse_quantity(choices[quantity])
        except ValueError as error:
            raise click.UsageError(f"--{quantity}: {error}") from None
    from kcp.multicluster.simulation import Settings

    directory = root_directory or Path(".kcp", "simulated", name)
    arguments = ["--bind-address", bind_address, "--secure-port", str(secure_port), "--root-directory", str(directory)]
    _serve([*arguments, "--durability", "relaxed"], Settings(name=name, **choices), verbosity)


def _serve(arguments: list[str], settings: Settings, verbosity: int) -> None:
    """Run the server and the controllers until a signal stops them."""
    from kcp.cli import log_formats
    from kcp.cli.start import configuration_of
    from kcp.server.process import running
    from kcp.server.process.errors import ConfigurationError

    def on_ready(process: ServerProcess) -> None:
        process.run_in_background("the simulated cluster", _simulate(process, settings))

    log_formats.set_up("text", verbosity)
    try:
        running.run(configuration_of(arguments), on_ready)
    except ConfigurationError as error:
        click.echo(f"kcp: {error}", err=True)
        sys.exit(_FAILED)


async def _simulate(process: ServerProcess, settings: Settings) -> None:
    from kcp.client import load_configuration
    from kcp.multicluster import simulation

    def announce() -> None:
        path = shlex.quote(str(process.kubeconfig))
        click.echo(
            f"cluster {settings.name} is ready at {process.url}\nkubeconfig: {path}\n\n    export KUBECONFIG={path}\n"
        )
        sys.stdout.flush()

    await simulation.run(load_configuration(process.kubeconfig), settings, announce)
