"""Checks of the servers that a command uses, before it does anything: mistakes in kubeconfigs are reported at once and by server.

Requests of the client are repeated for half a minute while a server is unreachable, and a Status does not name its server.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kcp.client import ClientConfiguration


async def check_servers(
    source: ClientConfiguration,
    target: ClientConfiguration | None = None,
    *,
    flags: tuple[str, str] = ("--kubeconfig", "--to-kubeconfig"),
) -> None:
    """Check that a command can connect to the server it reads from and the one it writes to, and that they are not the same.

    ``flags`` are those of their kubeconfigs. Raises TransportError for a server that cannot be reached, ConfigurationError where
    a server refuses the credentials or the protocol, or both are one.
    """
    from kcp.client import ConfigurationError

    if target is not None and source.server.rstrip("/") == target.server.rstrip("/"):
        raise ConfigurationError(f"{flags[0]} and {flags[1]} are both of {source.server}: they must be of two servers")
    await _check(source)
    if target is not None:
        await _check(target)


async def check_kcp_server(configuration: ClientConfiguration) -> None:
    """Check that a command can connect to a server, and that it has logical clusters, which the user may list.

    Raises as `check_servers`.
    """
    from kcp.client import APIResource, Client, ConfigurationError, ForbiddenError, NotFoundError, StatusError

    await _check(configuration)
    namespaces = APIResource("", "v1", "namespaces", "Namespace", namespaced=False)
    async with Client(dataclasses.replace(configuration, retries=0)) as client:
        try:
            await client.logical_cluster("*").resource(namespaces).list(limit=1)
        except ForbiddenError as error:
            raise ConfigurationError(f"{configuration.server}: {error}") from error
        except NotFoundError as error:
            message = f"{configuration.server} is not a kcp server: it does not serve /clusters/*"
            raise ConfigurationError(message) from error
        except StatusError:
            return


async def _check(configuration: ClientConfiguration) -> None:
    """Make one request to a server, only once. Other errors than those of the kubeconfig are left to the command's requests."""
    from kcp.client import BadRequestError, Client, ConfigurationError, StatusError, UnauthorizedError

    async with Client(dataclasses.replace(configuration, retries=0)) as client:
        try:
            await client.version()
        except UnauthorizedError as error:
            raise ConfigurationError(
                f"{configuration.server}: {error}: check the credentials of the kubeconfig's user"
            ) from error
        except BadRequestError as error:
            raise ConfigurationError(f"{configuration.server}: {error}") from error
        except StatusError:
            return
