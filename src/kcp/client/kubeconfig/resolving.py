"""Resolution of a kubeconfig's context to a client configuration. Follows clientcmd's ``ConfirmUsable`` and ``ClientConfig``.

Every message names the file, the context or entry, and the field.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kcp.client.configuration import PROXY_SCHEMES, ClientConfiguration, check_server, check_url
from kcp.client.credentials.contract import ANONYMOUS, Credentials, basic, bearer
from kcp.client.credentials.exec_plugins import ExecPlugin
from kcp.client.credentials.files import FileCredentials
from kcp.client.errors import ConfigurationError, CredentialsError
from kcp.client.kubeconfig import in_cluster
from kcp.client.kubeconfig.entries import Cluster, Context, Kubeconfig, KubeconfigUser
from kcp.client.kubeconfig.loading import default_files, load


def load_configuration(
    path: Path | str | None = None, *, context: str = "", environment: Mapping[str, str] | None = None, **limits: Any
) -> ClientConfiguration:
    """Return the configuration that kubectl would use, or that of the Pod in which this process runs.

    ``path`` is a kubeconfig to read alone, and ``context`` one of its contexts (default: the current one). ``limits`` are
    further fields of `ClientConfiguration`. Raises ConfigurationError.
    """
    environment = os.environ if environment is None else environment
    kubeconfig = load(None if path is None else Path(path), environment)
    if not kubeconfig.empty or path is not None or context:
        return resolve(kubeconfig, context, **limits)
    if in_cluster.available(environment):
        return in_cluster.in_cluster_configuration(environment, **limits)
    looked = ", ".join(map(str, default_files(environment)))
    raise ConfigurationError(f"no kubeconfig: {looked} has no contexts, and this is no Pod. Set KUBECONFIG to a file")


def resolve(kubeconfig: Kubeconfig, context: str = "", **limits: Any) -> ClientConfiguration:
    """Return the configuration of a context (default: the current one). Raises ConfigurationError."""
    chosen, cluster, user = _chosen(kubeconfig, context)
    authority = _authority(cluster)
    where = f"{chosen.origin}, {cluster.origin.entry}"
    try:
        check_server(cluster.server)
        if cluster.proxy_url:
            check_url(cluster.proxy_url, PROXY_SCHEMES, "proxy-url")
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    if cluster.insecure_skip_tls_verify and authority:
        raise ConfigurationError(f"{where}: insecure-skip-tls-verify excludes certificate-authority(-data)")
    return ClientConfiguration(
        server=cluster.server,
        namespace=chosen.namespace or "default",
        certificate_authority=authority,
        tls_server_name=cluster.tls_server_name,
        certificate_authority_file=cluster.certificate_authority,
        insecure_skip_tls_verify=cluster.insecure_skip_tls_verify,
        proxy_url=cluster.proxy_url,
        compression=not cluster.disable_compression,
        credentials=ANONYMOUS if user is None else _credentials(chosen, user, cluster, authority),
        impersonation=None if user is None else user.impersonation,
        **limits,
    )


def _chosen(kubeconfig: Kubeconfig, context: str) -> tuple[Context, Cluster, KubeconfigUser | None]:
    name = context or kubeconfig.current_context
    files = ", ".join(map(str, kubeconfig.files)) or "kubeconfig"
    if not name:
        raise ConfigurationError(
            f"{files}: current-context is not set: name a context, or run kubectl config use-context"
        )
    chosen = kubeconfig.contexts.get(name)
    if chosen is None:
        known = ", ".join(sorted(kubeconfig.contexts)) or "none"
        raise ConfigurationError(f'{files}: context "{name}" does not exist; there are: {known}')
    cluster = kubeconfig.clusters.get(chosen.cluster)
    if cluster is None:
        raise ConfigurationError(f'{chosen.origin}: cluster: cluster "{chosen.cluster}" does not exist')
    if chosen.user and chosen.user not in kubeconfig.users:
        raise ConfigurationError(f'{chosen.origin}: user: user "{chosen.user}" does not exist')
    return chosen, cluster, kubeconfig.users.get(chosen.user)


def _authority(cluster: Cluster) -> bytes:
    if cluster.certificate_authority_data and cluster.certificate_authority:
        raise ConfigurationError(
            f"{cluster.origin}: certificate-authority-data and certificate-authority are both there"
        )
    if cluster.certificate_authority is None:
        return cluster.certificate_authority_data
    try:
        return cluster.certificate_authority.read_bytes()
    except OSError as error:
        field = f"certificate-authority: {cluster.certificate_authority}"
        raise ConfigurationError(f"{cluster.origin}: {field}: {error.strerror}") from error


def _credentials(context: Context, user: KubeconfigUser, cluster: Cluster, authority: bytes) -> Credentials:
    where = f"{context.origin}, {user.origin.entry}"
    _check(user, where)
    certificate = user.client_certificate_data or user.client_certificate
    key = user.client_key_data or user.client_key
    authorization = ""
    if user.token:
        authorization = bearer(user.token)
    elif user.username or user.password:
        authorization = basic(user.username, user.password)
    if authorization or certificate or user.token_file:
        credentials = FileCredentials(
            where,
            authorization=authorization,
            token_file=user.token_file,
            certificate=certificate or b"",
            key=key or b"",
        )
        try:
            credentials.read()
        except CredentialsError as error:
            raise ConfigurationError(str(error)) from error
        return credentials
    return ANONYMOUS if user.exec is None else _plugin(where, user, cluster, authority)


def _check(user: KubeconfigUser, where: str) -> None:
    pairs = (
        ("client-certificate", user.client_certificate_data, user.client_certificate),
        ("client-key", user.client_key_data, user.client_key),
    )
    for name, data, file in pairs:
        if data and file:
            raise ConfigurationError(f"{where}: {name}-data and {name} are both there")
    certificate, key = (bool(data or file) for _, data, file in pairs)
    if certificate != key:
        missing = "client-key" if certificate else "client-certificate"
        raise ConfigurationError(f"{where}: {missing} or {missing}-data is required with its counterpart")
    if (user.token or user.token_file) and (user.username or user.password):
        raise ConfigurationError(f"{where}: token and username/password exclude each other")
    if ":" in user.username:
        raise ConfigurationError(f"{where}: username must not contain a colon")
    if user.auth_provider:
        raise ConfigurationError(
            f'{where}: auth-provider "{user.auth_provider}" is not supported: Kubernetes 1.26 removed it, use an exec plugin'
        )


def _plugin(where: str, user: KubeconfigUser, cluster: Cluster, authority: bytes) -> ExecPlugin:
    plugin = user.exec
    assert plugin is not None
    return ExecPlugin(where, plugin, cluster=_cluster_info(cluster, authority) if plugin.provide_cluster_info else None)


def _cluster_info(cluster: Cluster, authority: bytes) -> dict[str, Any]:
    """Return the cluster information for exec plugins (client.authentication.k8s.io)."""
    info = {
        "server": cluster.server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": base64.b64encode(authority).decode(),
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
        "config": cluster.exec_extension,
    }
    return {name: value for name, value in info.items() if value}
