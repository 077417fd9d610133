"""``kcp service-account-keys``: list and rotate the keys that sign service account tokens."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

import click

from kcp.cli import flags
from kcp.cli.cluster_flags import kubeconfig_flags

_PATH: Final = "/service-account-keys"
_FAILED: Final = 2

_server = kubeconfig_flags("The server", "an administrator of the server")


@click.group("service-account-keys", short_help="List and rotate the keys of service account tokens.")
def service_account_keys() -> None:
    """List and rotate the keys that sign the tokens of service accounts."""


@service_account_keys.command("list", cls=flags.GroupedCommand)
@_server
def list_keys(kubeconfig: Path | None, context: str) -> None:
    """Print each key whose tokens are accepted: its ID, whether it signs new tokens, and when it ends."""
    _print(_ask("GET", _PATH, kubeconfig, context))


@service_account_keys.command(cls=flags.GroupedCommand)
@_server
@flags.group("Rotation")(
    "--overlap",
    default="24h",
    type=flags.DurationType(),
    metavar="DURATION",
    help="How long tokens that the present key has signed are accepted; longer-lived ones end then.",
)
def rotate(kubeconfig: Path | None, context: str, overlap: float) -> None:
    """Generate a key that signs new tokens from now on, on all servers of the log, and print all keys.

    The tokens in Secrets are signed again.
    """
    _print(_ask("POST", f"{_PATH}?overlapSeconds={int(overlap)}", kubeconfig, context))


def _ask(method: str, path: str, kubeconfig: Path | None, context: str) -> list[dict[str, Any]]:
    from kcp.client import ClientError

    try:
        return asyncio.run(_request(method, path, kubeconfig, context))
    except (ClientError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(_FAILED)


async def _request(method: str, path: str, kubeconfig: Path | None, context: str) -> list[dict[str, Any]]:
    """Return the keys of the answer. Raises ClientError, which names the server."""
    from kcp.cli.server_checks import check_servers
    from kcp.client import Client, ConfigurationError, StatusError, load_configuration

    configuration = load_configuration(kubeconfig, context=context)
    await check_servers(configuration)
    async with Client(configuration) as client:
        try:
            answer = await client.raw(method, path, b"" if method == "POST" else None)
        except StatusError as error:
            raise ConfigurationError(f"{configuration.server}: {error}") from error
    found: list[dict[str, Any]] = answer.json()["keys"]
    return found


def _print(keys: list[dict[str, Any]]) -> None:
    for key in keys:
        end = "signs" if key["signs"] else f"until {key['until']}" if key["until"] else "accepted"
        click.echo(f"{key['id']}  {key['algorithm']}  {end}")
