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


async def check_version_of_kcp(configuration: ClientConfiguration) -> None:
    """Check that a command can connect to a server, and that this is a kcp server by its version. Raises as `check_servers`."""
    from kcp.client import ConfigurationError

    version = await _check(configuration)
    if version and "+kcp-" not in version:
        raise ConfigurationError(
            f"{configuration.server} is not a kcp server, but Kubernetes {version}: give kcp's kubeconfig by --kcp-kubeconfig or "
            "KUBECONFIG"
        )


async def check_is_cluster(upstream: ClientConfiguration, downstream: ClientConfiguration, name: str) -> None:
    """Check that a kubeconfig is that of the Kubernetes cluster that is registered as a Cluster, as far as both sides say so.

    Raises ConfigurationError, TransportError.
    """
    from kcp.client import APIResource, Client, ConfigurationError, StatusError
    from kcp.multicluster.placement import CLUSTERS, IDENTITY_NAMESPACE

    namespaces = APIResource("", "v1", "namespaces", "Namespace", namespaced=False)
    try:
        async with Client(upstream) as home, Client(downstream) as client:
            status = (await home.resource(CLUSTERS).get(name)).get("status") or {}
            found = (await client.resource(namespaces).get(IDENTITY_NAMESPACE))["metadata"]["uid"]
    except StatusError:
        return  # the syncer reports it
    registered = status.get("physicalClusterUID")
    if registered not in (None, found):
        raise ConfigurationError(
            f"{downstream.server} is not the cluster that is registered as {name}: its namespace kube-system has the UID "
            f"{found}, and that of {name} has {registered}"
        )


async def _check(configuration: ClientConfiguration) -> str:
    """Make one request to a server, only once. Returns its version; empty if it does not say it.

    Other errors than those of the kubeconfig are left to the command's requests.
    """
    from kcp.client import BadRequestError, Client, ConfigurationError, StatusError, UnauthorizedError

    async with Client(dataclasses.replace(configuration, retries=0)) as client:
        try:
            return str((await client.version()).get("gitVersion", ""))
        except UnauthorizedError as error:
            raise ConfigurationError(
                f"{configuration.server}: {error}: check the credentials of the kubeconfig's user"
            ) from error
        except BadRequestError as error:
            raise ConfigurationError(f"{configuration.server}: {error}") from error
        except StatusError:
            return ""
