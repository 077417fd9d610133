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
from kcp.cli.cluster_flags import kubeconfig_flags
from kcp.cli.server_checks import check_servers

if TYPE_CHECKING:
    from kcp.api.kinds import GroupResource
    from kcp.client import ClientConfiguration
    from kcp.multicluster.crd_puller import Pulled

_to = flags.group("Where to put the definitions")
_INCOMPLETE: Final = 1
_FAILED: Final = 2
_INTERRUPTED: Final = 130
"""The exit code of a program that SIGINT ended."""
_REFUSED: Final = (400, 413, 422)
"""The codes of responses that refuse one definition: it is malformed, too large or invalid."""
_FIELD_MANAGER: Final = "crd-puller"
_FILE_MODE: Final = 0o644


@click.command("crd-puller", cls=flags.GroupedCommand, short_help="Convert a cluster's resources into definitions.")
@kubeconfig_flags("The cluster to pull from", "the cluster")
@_to(
    "--output", metavar="DIRECTORY", type=click.Path(path_type=Path), help="Write each definition to <name>.yaml here."
)
@_to("--apply", is_flag=True, help="Apply the definitions to the server of --to-kubeconfig.")
@kubeconfig_flags("Where to put the definitions", "the server that --apply writes to", "to-", default="")
@_to("--watch", is_flag=True, help="Pull repeatedly, and write new and changed definitions. Needs --output or --apply.")
@_to(
    "--interval",
    default="1m",
    type=flags.DurationType(),
    metavar="DURATION",
    help="Time between two reads of the cluster with --watch.",
)
@click.argument("names", nargs=-1, metavar="[RESOURCE]...")
def crd_puller(names: tuple[str, ...], **choices: Any) -> None:
    """Convert the resources of a Kubernetes cluster to CustomResourceDefinitions for kcp.

    Each RESOURCE is a plural (pods) or a plural and a group (deployments.apps; pods.core for the group without a name). Without
    any, all resources are pulled that are not built into kcp. A CRD of the cluster is copied, a built-in type is converted from
    its OpenAPI schema. Without --output and --apply, the definitions are printed. The exit code is 0 if all were pulled, 1
    if some have no definition or are refused by the server of --to-kubeconfig, 2 if a server cannot be reached or a RESOURCE is
    not served.
    """
    if choices["apply"] and choices["to_kubeconfig"] is None:
        raise click.UsageError("--apply needs --to-kubeconfig: the file of the server to write to")
    if choices["watch"] and not (choices["apply"] or choices["output"]):
        raise click.UsageError("--watch needs --output or --apply")
    if choices["interval"] <= 0:
        raise click.UsageError("--interval must be longer than 0 s")
    from kcp.client import ClientError, StatusError
    from kcp.multicluster.crd_puller import UnknownResourceError

    try:
        incomplete = asyncio.run(_run(names, **choices))
    except BrokenPipeError:
        raise  # the reader of standard output has ended: click exits without a message
    except (ClientError, StatusError, UnknownResourceError, OSError) as error:
        say(f"Error: {_explained(error, choices['output'])}")
        sys.exit(_FAILED)
    except KeyboardInterrupt:
        sys.exit(0 if choices["watch"] else _INTERRUPTED)
    sys.exit(_INCOMPLETE if incomplete else 0)


def _explained(error: Exception, output: Path | None) -> str:
    """Return the message of an error; that of the operating system concerns the directory of ``--output``."""
    if isinstance(error, OSError) and error.strerror and output is not None:
        return f"--output {output}: cannot write the definitions: {error.strerror}"
    return str(error)


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
    """Pull once, or (``watch``) repeatedly. Returns whether a resource was skipped or its definition refused."""
    from kcp.client import ClientError, StatusError, load_configuration
    from kcp.multicluster.crd_puller import UnknownResourceError

    # one request at a time limits itself
    source = load_configuration(kubeconfig, context=context, qps=0.0)
    target = load_configuration(to_kubeconfig, context=to_context, qps=0.0) if apply else None
    await check_servers(source, target)
    written: dict[str, dict[str, Any]] = {}
    incomplete = await _update(source, names, output, target, written)
    while watch:
        await asyncio.sleep(interval)
        try:
            await _update(source, names, output, target, written)
        except (ClientError, StatusError, UnknownResourceError, OSError) as error:
            reason = _explained(error, output)
            say(f"the definitions are not up to date, trying again in {interval:g} s: {reason}")
    return incomplete


async def _update(
    source: ClientConfiguration,
    names: Sequence[str],
    output: Path | None,
    target: ClientConfiguration | None,
    written: dict[str, dict[str, Any]],
) -> bool:
    """Pull, write the definitions that differ from ``written``, and update that. Returns whether a definition is missing."""
    pulled = await _pull(source, names)
    changed = [each for each in pulled.definitions if written.get(each["metadata"]["name"]) != each]
    if output is not None:
        await asyncio.to_thread(_write_files, output, changed)
    refused = frozenset() if target is None else await _apply(target, changed)
    if output is None and target is None:
        _print(changed)
    written.update({each["metadata"]["name"]: each for each in changed if each["metadata"]["name"] not in refused})
    _report(pulled, len(changed))
    return bool(pulled.skipped or refused)


async def _pull(configuration: ClientConfiguration, names: Sequence[str]) -> Pulled:
    from kcp.client import Client
    from kcp.multicluster.crd_puller import pull

    async with Client(configuration) as client:
        return await pull(client, names, served=served_by_kcp())


def served_by_kcp() -> frozenset[GroupResource]:
    """Return the resources that are built into kcp. A placeholder is not one: a CRD may replace it."""
    from kcp.api.kinds import GroupResource
    from kcp.builtin.loader import load_types

    found = [entry.definition for entry in load_types()]
    served = [each["spec"] for each in found if "placeholder" not in each.get("x-kcp", {})]
    own = {GroupResource(spec["group"], spec["names"]["plural"]) for spec in served}
    return frozenset(own | {GroupResource("apiextensions.k8s.io", "customresourcedefinitions")})


def _write_files(directory: Path, definitions: Sequence[dict[str, Any]]) -> None:
    """Write each definition to a file of its own, atomically."""
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


async def _apply(configuration: ClientConfiguration, definitions: Sequence[dict[str, Any]]) -> frozenset[str]:
    """Apply each definition. Returns the names of those that the server refuses; the others are applied."""
    from kcp.client import Client, StatusError
    from kcp.multicluster.crd_puller import CUSTOM_RESOURCE_DEFINITIONS

    refused = set()
    async with Client(configuration) as client:
        resource = client.resource(CUSTOM_RESOURCE_DEFINITIONS)
        for definition in definitions:
            name = definition["metadata"]["name"]
            try:
                await resource.apply(definition, field_manager=_FIELD_MANAGER, force=True)
            except StatusError as error:
                if error.code not in _REFUSED:
                    raise
                refused.add(name)
                say(f"refused {name}: {error}")
            else:
                say(f"customresourcedefinition.apiextensions.k8s.io/{name} applied")
    return frozenset(refused)


def _print(definitions: Sequence[dict[str, Any]]) -> None:
    click.echo(b"---\n".join(map(_yaml, definitions)), nl=False)


def _yaml(definition: dict[str, Any]) -> bytes:
    from kcp.api import documents

    return documents.encode_yaml(definition)


def _report(pulled: Pulled, changed: int) -> None:
    for name, reason in sorted(pulled.skipped.items()):
        say(f"skipped {name}: {reason}")
    for name, loss in sorted(pulled.reduced.items()):
        say(f"{name}: {loss}")
    say(f"definitions pulled: {len(pulled.definitions)}, new or changed: {changed}")


def say(message: str) -> None:
    """Write a line to standard error. Control characters, which a cluster could send to the terminal, are escaped."""
    shown = (letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in message)
    click.echo("".join(shown), err=True)
