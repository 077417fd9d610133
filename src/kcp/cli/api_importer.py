"""``kcp api-importer``: record what a cluster serves, for API negotiation."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kcp.cli import flags
from kcp.cli.cluster_flags import kubeconfig_flags
from kcp.cli.crd_puller import say, served_by_kcp
from kcp.cli.server_checks import check_servers

if TYPE_CHECKING:
    from kcp.client import ClientConfiguration
    from kcp.multicluster.negotiation import Imported

_importing = flags.group("Imports")
_INCOMPLETE: Final = 1
_FAILED: Final = 2
_INTERRUPTED: Final = 130
"""The exit code of a program that SIGINT ended."""
_STRATEGIES: Final = ("UpdateNever", "UpdateUnpublished", "UpdatePublished")


@click.command("api-importer", cls=flags.GroupedCommand, short_help="Record what a cluster serves, for negotiation.")
@kubeconfig_flags("The cluster", "the cluster")
@kubeconfig_flags("The kcp server", "the kcp server; its context chooses the logical cluster", "to-", default="")
@_importing(
    "--update-strategy",
    type=click.Choice(_STRATEGIES),
    show_default=False,
    help="When a new import may narrow the negotiated API. [default: UpdateUnpublished]",
)
@_importing(
    "--remove", is_flag=True, help="Delete all imports of LOCATION instead: the cluster is gone. It is not read."
)
@_importing("--watch", is_flag=True, help="Read the cluster repeatedly, and keep the imports current.")
@_importing(
    "--interval",
    default="1m",
    type=flags.DurationType(),
    metavar="DURATION",
    help="Time between two reads of the cluster with --watch.",
)
@click.argument("location", metavar="LOCATION")
@click.argument("names", nargs=-1, metavar="[RESOURCE]...")
def api_importer(location: str, names: tuple[str, ...], **choices: Any) -> None:
    """Record how a cluster serves its resources, as APIResourceImports in a logical cluster of kcp.

    LOCATION names the cluster. Each RESOURCE is a plural (pods) or a plural and a group (deployments.apps; pods.core for the
    group without a name). Without any, all resources are recorded that are not built into kcp. An import is written for each
    version of a resource, and deleted when the cluster does not serve it any more or it is not named. While a RESOURCE is not
    served, imports of resources that are not named are kept. The exit code is 0 if all
    were recorded, 1 if some could not be, or a RESOURCE is not served, 2 if a server cannot be reached.
    """
    if choices["to_kubeconfig"] is None:
        raise click.UsageError("--to-kubeconfig is missing: the file of the kcp server")
    if choices["interval"] <= 0:
        raise click.UsageError("--interval must be longer than 0 s")
    if choices["remove"] and (names or choices["watch"]):
        raise click.UsageError("--remove deletes all imports of the location: leave out RESOURCE and --watch")
    from kcp.api.names import is_dns1123_subdomain
    from kcp.client import ClientError, StatusError
    from kcp.multicluster.crd_puller import UnknownResourceError

    if problems := is_dns1123_subdomain(location):
        raise click.UsageError(f'LOCATION "{location}" is invalid: {"; ".join(problems)}')
    try:
        complete = asyncio.run(_run(location, names, **choices))
    except (ClientError, StatusError, UnknownResourceError) as error:
        say(f"Error: {error}")
        sys.exit(_FAILED)
    except KeyboardInterrupt:
        sys.exit(0 if choices["watch"] else _INTERRUPTED)
    sys.exit(0 if complete else _INCOMPLETE)


async def _run(
    location: str,
    names: Sequence[str],
    *,
    kubeconfig: Path | None,
    context: str,
    to_kubeconfig: Path,
    to_context: str,
    update_strategy: str | None,
    remove: bool,
    watch: bool,
    interval: float,
) -> bool:
    """Record once, or (``watch``) repeatedly. Returns whether everything was recorded."""
    from kcp.client import Client, ClientError, StatusError, load_configuration
    from kcp.multicluster.crd_puller import UnknownResourceError
    from kcp.multicluster.negotiation import remove_imports

    # one request at a time limits itself
    target = load_configuration(to_kubeconfig, context=to_context, qps=0.0)
    if remove:
        async with Client(target) as client:
            removed = await remove_imports(client, location)
        for name in removed:
            say(f"apiresourceimport.apiresource.kcp.io/{name} deleted")
        say(f"imports of {location} deleted: {len(removed)}")
        return True
    source = load_configuration(kubeconfig, context=context, qps=0.0)
    await check_servers(source, target)
    complete = await _import(source, target, location, names, update_strategy)
    while watch:
        await asyncio.sleep(interval)
        try:
            await _import(source, target, location, names, update_strategy)
        except (ClientError, StatusError, UnknownResourceError) as error:
            say(f"the imports are not up to date, trying again in {interval:g} s: {error}")
    return complete


async def _import(
    source: ClientConfiguration, target: ClientConfiguration, location: str, names: Sequence[str], strategy: str | None
) -> bool:
    from kcp.client import Client
    from kcp.multicluster.negotiation import UpdateStrategy, import_apis

    async with Client(source) as reader, Client(target) as writer:
        imported = await import_apis(
            reader,
            writer,
            location,
            names,
            served=served_by_kcp(),
            strategy=UpdateStrategy(strategy) if strategy else None,
        )
    _report(imported)
    return not imported.skipped and not imported.missing


def _report(imported: Imported) -> None:
    for name, reason in sorted(imported.skipped.items()):
        say(f"skipped {name}: {reason}")
    for name in imported.missing:
        say(
            f'the cluster serves no resource "{name}": give <plural> or <plural>.<group>; imports that are not named are kept'
        )
    for done, found in (("written", imported.written), ("deleted", imported.deleted)):
        for name in found:
            say(f"apiresourceimport.apiresource.kcp.io/{name} {done}")
    say(
        f"imports written: {len(imported.written)}, unchanged: {len(imported.unchanged)}, deleted: {len(imported.deleted)}"
    )
