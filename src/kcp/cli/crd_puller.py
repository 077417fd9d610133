"""``kcp crd-puller``: turn what a Kubernetes cluster serves into CustomResourceDefinitions."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kcp.cli import flags

if TYPE_CHECKING:
    from kcp.api.kinds import GroupResource
    from kcp.client import ClientConfiguration
    from kcp.multicluster.crd_puller import Pulled

_from = flags.group("The cluster to pull from")
_to = flags.group("Where to put the definitions")
_INCOMPLETE: Final = 1
_FAILED: Final = 2
_FIELD_MANAGER: Final = "crd-puller"
_FILE_MODE: Final = 0o644


@click.command("crd-puller", cls=flags.GroupedCommand, short_help="Convert a cluster's resources into definitions.")
@_from(
    "--kubeconfig",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Kubeconfig of the cluster. [default: as for kubectl]",
)
@_from(
    "--context",
    default="",
    metavar="NAME",
    show_default=False,
    help="Context of --kubeconfig. [default: its current one]",
)
@_to(
    "--output", metavar="DIRECTORY", type=click.Path(path_type=Path), help="Write each definition to <name>.yaml here."
)
@_to("--apply", is_flag=True, help="Apply the definitions to the server of --to-kubeconfig.")
@_to(
    "--to-kubeconfig",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Kubeconfig of the server that --apply writes to.",
)
@_to(
    "--to-context",
    default="",
    metavar="NAME",
    show_default=False,
    help="Context of --to-kubeconfig. [default: its current one]",
)
@_to("--watch", is_flag=True, help="Keep following the cluster, and write what changes. Needs --output or --apply.")
@_to(
    "--interval",
    default="1m",
    type=flags.DurationType(),
    metavar="DURATION",
    help="Time between two reads of the cluster with --watch.",
)
@click.argument("names", nargs=-1, metavar="[RESOURCE]...")
def crd_puller(names: tuple[str, ...], **choices: Any) -> None:
    """Turn what a Kubernetes cluster serves into CustomResourceDefinitions that kcp serves.

    Each RESOURCE is a plural (pods) or a plural and a group (deployments.apps; pods.core for the group without a name); without
    any, all are pulled that kcp does not serve by itself. A CRD of the cluster is taken as it is, a built-in type is converted
    from its OpenAPI schema. Without --output and --apply, the definitions are printed. The exit code is 0 if all were pulled, 1
    if some have no definition or are refused by the server of --to-kubeconfig, 2 if a server cannot be reached or a RESOURCE is
    not served.
    """
    if choices["apply"] and choices["to_kubeconfig"] is None:
        raise click.UsageError("--apply needs --to-kubeconfig: the file of the server to write to")
    if choices["watch"] and not (choices["apply"] or choices["output"]):
        raise click.UsageError("--watch needs --output or --apply")
    from kcp.client import ClientError, StatusError
    from kcp.multicluster.crd_puller import UnknownResourceError

    try:
        incomplete = asyncio.run(_run(names, **choices))
    except (ClientError, StatusError, UnknownResourceError, OSError) as error:
        click.echo(f"Error: {error.args[0] if isinstance(error, LookupError) else error}", err=True)
        sys.exit(_FAILED)
    except KeyboardInterrupt:
        sys.exit(0)
    sys.exit(_INCOMPLETE if incomplete else 0)


async def _run(
    names: Sequence[str],
    *,
    kubeconfig: Path | None,
    context: str,
    output: Path | None,
    apply: bool,
    to_kubeconfig: Path | None,
    to_context: str,
    watch: bool,
    interval: float,
) -> bool:
    """Pull once, or again and again. Returns whether a resource was skipped or its definition refused."""
    from kcp.client import ClientError, StatusError, load_configuration

    source = load_configuration(kubeconfig, context=context)
    target = load_configuration(to_kubeconfig, context=to_context) if apply else None
    written: dict[str, dict[str, Any]] = {}
    incomplete = await _update(source, names, output, target, written)
    while watch:
        await asyncio.sleep(interval)
        try:
            await _update(source, names, output, target, written)
        except (ClientError, StatusError, OSError) as error:
            click.echo(f"the definitions are not up to date, trying again in {interval:g} s: {error}", err=True)
    return incomplete


async def _update(
    source: ClientConfiguration,
    names: Sequence[str],
    output: Path | None,
    target: ClientConfiguration | None,
    written: dict[str, dict[str, Any]],
) -> bool:
    """Pull, and write what differs from ``written``, which is brought up to date. Returns whether something is missing."""
    pulled = await _pull(source, names)
    changed = [each for each in pulled.definitions if written.get(each["metadata"]["name"]) != each]
    if output is not None:
        await asyncio.to_thread(_write_files, output, changed)
    refused = 0 if target is None else await _apply(target, changed)
    if output is None and target is None:
        _print(changed)
    written.update({each["metadata"]["name"]: each for each in changed})
    _report(pulled, len(changed))
    return bool(pulled.skipped) or refused > 0


async def _pull(configuration: ClientConfiguration, names: Sequence[str]) -> Pulled:
    from kcp.client import Client
    from kcp.multicluster.crd_puller import pull

    async with Client(configuration) as client:
        return await pull(client, names, served=_served_by_kcp())


def _served_by_kcp() -> frozenset[GroupResource]:
    """The resources that kcp has built in. Its placeholders are not: a CRD may take their names."""
    from kcp.api.kinds import GroupResource
    from kcp.builtin.loader import load_types

    found = [entry.definition for entry in load_types()]
    served = [each["spec"] for each in found if "placeholder" not in each.get("x-kcp", {})]
    own = {GroupResource(spec["group"], spec["names"]["plural"]) for spec in served}
    return frozenset(own | {GroupResource("apiextensions.k8s.io", "customresourcedefinitions")})


def _write_files(directory: Path, definitions: Sequence[dict[str, Any]]) -> None:
    """Write each definition to a file that is complete or not there."""
    directory.mkdir(parents=True, exist_ok=True)
    for definition in definitions:
        file, name = tempfile.mkstemp(dir=directory, prefix=".", suffix=".yaml")
        try:
            with os.fdopen(file, "wb") as incoming:
                incoming.write(_yaml(definition))
            Path(name).chmod(_FILE_MODE)
            Path(name).replace(directory / f"{definition['metadata']['name']}.yaml")
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


async def _apply(configuration: ClientConfiguration, definitions: Sequence[dict[str, Any]]) -> int:
    """Apply each definition. Returns the number of those that the server refuses as invalid; the others are applied."""
    from kcp.client import Client, InvalidError

    if not definitions:
        return 0
    refused = 0
    async with Client(configuration) as client:
        resource = await client.of_object(definitions[0])
        for definition in definitions:
            name = definition["metadata"]["name"]
            try:
                await resource.apply(definition, field_manager=_FIELD_MANAGER, force=True)
            except InvalidError as error:
                refused += 1
                click.echo(f"refused {name}: {error}", err=True)
            else:
                click.echo(f"customresourcedefinition.apiextensions.k8s.io/{name} applied", err=True)
    return refused


def _print(definitions: Sequence[dict[str, Any]]) -> None:
    click.echo(b"---\n".join(map(_yaml, definitions)), nl=False)


def _yaml(definition: dict[str, Any]) -> bytes:
    from kcp.api import documents

    return documents.encode_yaml(definition)


def _report(pulled: Pulled, changed: int) -> None:
    for name, reason in sorted(pulled.skipped.items()):
        click.echo(f"skipped {name}: {reason}", err=True)
    click.echo(f"definitions pulled: {len(pulled.definitions)}, new or changed: {changed}", err=True)
