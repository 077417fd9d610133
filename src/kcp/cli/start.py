"""``kcp start``: run a server until a signal stops it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from kcp import __version__
from kcp.cli import flags
from kcp.cli.api_negotiation import AUTO_PUBLISH_HELP
from kcp.cli.audit_flags import audit_flags
from kcp.cli.authentication_flags import authentication_flags, take_authentication_options
from kcp.cli.authorization_flags import authorization_flags
from kcp.cli.cluster_controller_flags import controller_flags, options_of, take_controller_choices
from kcp.cli.service_account_flags import service_account_flags
from kcp.cli.splitter_flags import DEFAULTS, policy_of, splitter_flags, take_splitter_choices
from kcp.cli.store_options import backend_flags, root_directory_flag
from kcp.server.process.configuration import DURABILITIES, LOG_FORMATS, Configuration
from kcp.server.process.errors import ConfigurationError

if TYPE_CHECKING:
    from kcp.multicluster.splitter import Policy
    from kcp.server.process.running import ServerProcess

_DURATION: Final = flags.DurationType()
_COUNT: Final = click.IntRange(min=0)
_LOGS_REQUESTS_FROM: Final = 2
_OBJECTS_OF_A_START: Final = 200_000
"""New objects for a garbage collection until the server is ready: what a start makes is no garbage."""

_serving = flags.group("Serving")
_storage = flags.group("Storage")
_authentication = flags.group("Authentication")
_accounts = flags.group("Service accounts")
_limits = flags.group("Limits")
_clusters = flags.group("Clusters")
_logging = flags.group("Logging")


@click.command(cls=flags.GroupedCommand)
@_serving("--bind-address", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 or :: for all.")
@_serving(
    "--secure-port",
    default=6443,
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 picks a free one.",
)
@_serving(
    "--healthz-bind-address",
    default="",
    metavar="ADDRESS:PORT",
    show_default=False,
    help="Address and port to serve /livez, /readyz and /healthz on over plain HTTP, to all clients. [default: off]",
)
@_serving(
    "--external-hostname",
    default="",
    metavar="NAME",
    show_default=False,
    help="Host name or address for clients, written to the kubeconfig and the certificate. [default: the bind address]",
)
@_serving(
    "--tls-cert-file",
    type=flags.FILE,
    help="Serving certificate in PEM form, followed by intermediate certificates. [default: generated]",
)
@_serving("--tls-private-key-file", type=flags.FILE, help="Private key of --tls-cert-file.")
@_serving(
    "--tls-san",
    "tls_sans",
    multiple=True,
    metavar="NAME",
    help="Additional host name or address in the generated serving certificate; may be repeated.",
)
@root_directory_flag
@_storage(
    "--durability",
    default="full",
    type=click.Choice(DURABILITIES),
    help="full: each write is synced to disk before it is acknowledged. relaxed: a power failure may lose the latest writes.",
)
@backend_flags
@_storage(
    "--encryption-provider-config-automatic-reload",
    default=True,
    **flags.SWITCH,
    help="Reload --encryption-provider-config when it changes; if false, the server reads it once. [default: true]",
)
@_storage(
    "--new-log",
    is_flag=True,
    help="Start with an empty log although the root directory has the keys of an earlier server, whose log is missing.",
)
@_storage(
    "--history-retention",
    default="5m",
    type=_DURATION,
    help="How long history is kept, so that watches and lists can resume.",
)
@_storage(
    "--compaction-interval",
    type=_DURATION,
    show_default=False,
    help="How often older history is compacted; 0 is never. History may live for up to two intervals longer. "
    "[default: a fifth of --history-retention, at least 1s]",
)
@_storage("--event-ttl", default="1h", type=_DURATION, help="How long Events are kept.")
@_authentication(
    "--client-ca-file",
    type=flags.FILE,
    help="CA certificates in PEM form: client certificates signed by them are accepted, besides those of the server's own CA.",
)
@_authentication(
    "--token-auth-file", type=flags.FILE, help='File with bearer tokens: CSV lines of token,user,uid,"group1,group2".'
)
@_authentication(
    "--anonymous-auth",
    default=True,
    **flags.SWITCH,
    help="Serve requests without credentials as system:anonymous; if false, they get 401. [default: true]",
)
@service_account_flags
@_accounts(
    "--publish-root-ca",
    default=True,
    **flags.SWITCH,
    help="Let every namespace have the ConfigMap kube-root-ca.crt, with the CA certificates to trust. [default: true]",
)
@authentication_flags
@authorization_flags
@_limits(
    "--max-requests-inflight",
    default=400,
    type=_COUNT,
    metavar="N",
    help="Maximum number of reading requests in flight; further ones wait. 0 is no limit.",
)
@_limits(
    "--max-mutating-requests-inflight",
    default=200,
    type=_COUNT,
    metavar="N",
    help="Maximum number of mutating requests in flight; further ones wait. 0 is no limit.",
)
@_limits(
    "--enable-priority-and-fairness",
    default=True,
    **flags.SWITCH,
    help="Share the server fairly between logical clusters, and in each between its users: requests of those that use most "
    "wait. If false, requests over the limits in flight get 429 at once. [default: true]",
)
@_limits(
    "--max-queued-requests",
    default=4096,
    type=click.IntRange(min=1),
    metavar="N",
    help="Maximum number of requests that wait; logical clusters that have more than their share of it get 429.",
)
@_limits(
    "--max-queued-requests-per-user",
    default=1024,
    type=click.IntRange(min=1),
    metavar="N",
    help="Maximum number of waiting requests of a user in a logical cluster, reading and mutating ones apart; further ones "
    "get 429.",
)
@_limits(
    "--max-queue-wait",
    type=_DURATION,
    show_default=False,
    help="How long a request may wait before it gets 429. [default: a quarter of --request-timeout]",
)
@_limits(
    "--request-timeout",
    default="1m",
    type=_DURATION,
    help="How long the body of a request may take to arrive, and then the write to complete, before the request gets 504.",
)
@_limits(
    "--min-request-timeout",
    default="30m",
    type=flags.DurationType(plain_seconds=True),
    help="Minimum timeout of a watch for which the client sets none; the timeout is random, up to twice this.",
)
@_limits(
    "--shutdown-delay-duration",
    default="0s",
    type=_DURATION,
    help="How long the server keeps serving after the stop signal, while /readyz fails.",
)
@_limits(
    "--shutdown-grace-period",
    default="1s",
    type=_DURATION,
    help="How long requests in flight may take to complete after that.",
)
@_clusters(
    "--install-api-negotiation",
    is_flag=True,
    help="Negotiate one API for a resource that clusters serve in different ways, as kcp api-negotiation does.",
)
@_clusters("--auto-publish-apis", is_flag=True, show_default=False, help=AUTO_PUBLISH_HELP)
@_clusters(
    "--with-cluster-controller",
    is_flag=True,
    help="Connect the Clusters of all logical clusters, negotiate their APIs, and split workloads over them, as kcp "
    "cluster-controller and kcp deployment-splitter do.",
)
@controller_flags("Clusters")
@splitter_flags("Clusters")
@audit_flags
@_logging(
    "-v",
    "--v",
    "verbosity",
    default=0,
    type=_COUNT,
    metavar="LEVEL",
    help="Log level: 2 logs each request, 4 adds debug output.",
)
@_logging("--log-format", default="text", type=click.Choice(LOG_FORMATS), help="Format of the log lines on stderr.")
def start(verbosity: int, log_format: str, **choices: Any) -> None:
    """Start a server.

    The first start generates a CA, certificates and an administrator. The administrator's kubeconfig is written to
    <root-directory>/data/admin.kubeconfig. The server runs until SIGTERM or SIGINT.
    """
    controllers = _take_controllers(choices)
    gc.set_threshold(_OBJECTS_OF_A_START)
    from kcp.cli import log_formats
    from kcp.server.process import running

    if controllers.runs_any:
        from kcp.multicluster import clusters, splitter  # noqa: F401 - before the server is ready: importing takes long

    def on_ready(process: ServerProcess) -> None:
        announce(process)
        controllers.run(process)

    log_formats.set_up(log_format, verbosity)
    configuration = _configuration(choices, verbosity)
    try:
        running.run(configuration, on_ready)
    except ConfigurationError as error:
        click.echo(f"kcp: {error}", err=True)
        sys.exit(1)


class _Controllers(NamedTuple):
    """The controllers that run beside the server, as its clients over HTTP. ``cluster_controller`` are the flags of that."""

    negotiation: bool
    auto_publish: bool
    cluster_controller: dict[str, Any] | None
    policy: Policy | None
    """Of the splitter."""

    @property
    def runs_any(self) -> bool:
        """Whether there is one."""
        return self.negotiation or self.cluster_controller is not None

    def run(self, process: ServerProcess) -> None:
        """Run them until the server stops. Raises ConfigurationError."""
        if not self.runs_any:
            return
        from kcp.client import load_configuration
        from kcp.multicluster import clusters, negotiation, splitter

        configuration = load_configuration(process.kubeconfig)
        if self.cluster_controller is not None:
            options = options_of(self.cluster_controller, configuration, auto_publish=self.auto_publish)
            process.run_in_background("the cluster controller", clusters.run(configuration, options))
            process.run_in_background("the splitter", splitter.run(configuration, policy=self.policy))
        else:
            work = negotiation.run(configuration, auto_publish=self.auto_publish)
            process.run_in_background("API negotiation", work)


def _take_controllers(choices: dict[str, Any]) -> _Controllers:
    """Remove the flags of the controllers from the choices. Raises UsageError where they do not go together."""
    negotiation, auto_publish = choices.pop("install_api_negotiation"), choices.pop("auto_publish_apis")
    with_controller = choices.pop("with_cluster_controller")
    taken, splitting = take_controller_choices(choices), take_splitter_choices(choices)
    if auto_publish and not (negotiation or with_controller):
        raise click.UsageError("--auto-publish-apis needs --install-api-negotiation or --with-cluster-controller")
    needless = [
        name for name, value in taken.items() if value and name != "heartbeat_threshold" and not with_controller
    ]
    needless += [name for name, value in splitting.items() if value != DEFAULTS[name] and not with_controller]
    if needless:
        raise click.UsageError(f"--{needless[0].replace('_', '-')} needs --with-cluster-controller")
    policy = policy_of(splitting) if with_controller else None
    return _Controllers(negotiation, auto_publish, taken if with_controller else None, policy)


def configuration_of(arguments: Sequence[str]) -> Configuration:
    """Return the configuration that `kcp start` would run with these arguments, for servers inside another process."""
    choices = dict(start.make_context("start", list(arguments)).params)
    choices.pop("log_format")
    for flag in ("install_api_negotiation", "auto_publish_apis", "with_cluster_controller"):
        if choices.pop(flag):
            raise ValueError(f"--{flag.replace('_', '-')} needs a server in a process of its own")
    take_controller_choices(choices)
    take_splitter_choices(choices)
    return _configuration(choices, choices.pop("verbosity"))


def _configuration(choices: dict[str, Any], verbosity: int) -> Configuration:
    groups: dict[str, Any] = {
        "audit": audit_flags.take(choices),
        "authentication": take_authentication_options(choices),
        "authorization": authorization_flags.take(choices),
        "service_accounts": service_account_flags.take(choices),
    }
    return Configuration(**choices, **groups, log_requests=verbosity >= _LOGS_REQUESTS_FROM)


def announce(process: ServerProcess) -> None:
    """Print the address of the server and how to use it."""
    path = process.kubeconfig
    click.echo(
        f"kcp {__version__} is ready at {process.url} (logical cluster root; others at /clusters/<name>)\n"
        f"kubeconfig: {path}\n\n    export KUBECONFIG={_quoted(str(path))}\n"
    )
    sys.stdout.flush()


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)
