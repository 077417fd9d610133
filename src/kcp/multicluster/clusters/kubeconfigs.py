"""Kubeconfigs of Clusters. They come from users of logical clusters: nothing in them may run here or name a file of this host.

No message contains a value of a kubeconfig, other than names of its entries.
"""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any, Final

import yaml

from kcp.client import ClientConfiguration, ConfigurationError
from kcp.client.kubeconfig.entries import Cluster, Kubeconfig, KubeconfigUser
from kcp.client.kubeconfig.loading import load
from kcp.client.kubeconfig.parsing import parse
from kcp.client.kubeconfig.resolving import resolve
from kcp.multicluster.clusters.messages import Secrets

_LIMITS: Final[dict[str, Any]] = {
    "retries": 0,
    "connect_timeout": 5.0,
    "request_timeout": 30.0,
    "qps": 0.0,
    "max_body": 32 * 1024 * 1024,
    "max_listed": 128 * 1024 * 1024,
}
"""A controller retries by itself: a request that fails is not repeated before its failure is known. The workers of its queues
bound its requests. A cluster is not trusted: it may answer without an end, to a process that works for others, too."""
_ENTRY: Final = "cluster"
"""The name of the only entry of each kind in a flattened kubeconfig."""


def configuration_of(text: str, source: str) -> ClientConfiguration:
    """Return the configuration of the current context. ``source`` names the kubeconfig's place in messages.

    Raises ConfigurationError for an invalid kubeconfig, and for one that needs files or programs of this host.
    """
    path = Path(source)
    kubeconfig = parse(text.encode(), path)
    cluster, user = _chosen(kubeconfig)
    _check_self_contained(cluster, user)
    return resolve(kubeconfig, **_LIMITS)


def server_of(text: str) -> str:
    """Return the address in a flattened kubeconfig, without a slash at its end."""
    address: str = yaml.load(text, Loader=yaml.CSafeLoader)["clusters"][0]["cluster"]["server"]
    return address.rstrip("/")


def secrets_of(text: str, source: str) -> Secrets:
    """Return the secrets of a kubeconfig that `configuration_of` accepts, in the forms in which a server gets them."""
    _, user = _chosen(parse(text.encode(), Path(source)))
    if user is None:
        return Secrets()
    found = [user.token, user.password]
    if user.password:
        found.append(base64.b64encode(f"{user.username}:{user.password}".encode()).decode())
    return Secrets(tuple(each for each in found if each))


def syncing(configuration: ClientConfiguration) -> ClientConfiguration:
    """Return the configuration for syncers, whose informers retry."""
    return dataclasses.replace(configuration, request_timeout=60.0, connect_timeout=10.0)


def flattened(path: Path | None, context: str = "") -> str:
    """Return the kubeconfig of one context of a file (default: of kubectl's files) with the contents of the files that it names.

    Raises ConfigurationError, also for credentials that a program provides: a server cannot run it.
    """
    kubeconfig = load(path)
    chosen = dataclasses.replace(kubeconfig, current_context=context or kubeconfig.current_context)
    resolve(chosen)  # raises for what is missing
    cluster, user = _chosen(chosen)
    if user is not None and user.exec is not None:
        raise ConfigurationError(
            f"{user.origin}: exec: a server cannot run this program: make a service account in the cluster, and a kubeconfig "
            "with its token"
        )
    entries: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _ENTRY, "cluster": _flat_cluster(cluster)}],
        "contexts": [{"name": _ENTRY, "context": {"cluster": _ENTRY, "user": _ENTRY}}],
        "users": [{"name": _ENTRY, "user": {} if user is None else _flat_user(user)}],
        "current-context": _ENTRY,
    }
    return yaml.dump(entries, Dumper=yaml.CSafeDumper, sort_keys=False)


def _chosen(kubeconfig: Kubeconfig) -> tuple[Cluster | None, KubeconfigUser | None]:
    """Return the entries of the current context; `resolve` reports those that are missing."""
    context = kubeconfig.contexts.get(kubeconfig.current_context)
    if context is None:
        return None, None
    return kubeconfig.clusters.get(context.cluster), kubeconfig.users.get(context.user)


def _check_self_contained(cluster: Cluster | None, user: KubeconfigUser | None) -> None:
    if cluster is not None and cluster.certificate_authority is not None:
        raise _not_contained(cluster, "certificate-authority", "certificate-authority-data")
    if user is None:
        return
    files = (
        ("client-certificate", user.client_certificate, "client-certificate-data"),
        ("client-key", user.client_key, "client-key-data"),
        ("tokenFile", user.token_file, "token"),
    )
    for field, file, instead in files:
        if file is not None:
            raise _not_contained(user, field, instead)
    if user.exec is not None:
        raise ConfigurationError(f"{user.origin}: exec is not allowed: use a token or a client certificate")


def _not_contained(entry: Cluster | KubeconfigUser, field: str, instead: str) -> ConfigurationError:
    return ConfigurationError(f"{entry.origin}: {field} names a file, which is not allowed: use {instead}")


def _flat_cluster(cluster: Cluster | None) -> dict[str, Any]:
    assert cluster is not None
    authority = cluster.certificate_authority_data
    if cluster.certificate_authority is not None:
        authority = cluster.certificate_authority.read_bytes()
    return _without_empty(
        {
            "server": cluster.server,
            "certificate-authority-data": _base64(authority),
            "tls-server-name": cluster.tls_server_name,
            "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
            "proxy-url": cluster.proxy_url,
            "disable-compression": cluster.disable_compression,
        }
    )


def _flat_user(user: KubeconfigUser) -> dict[str, Any]:
    certificate, key = user.client_certificate_data, user.client_key_data
    if not certificate and user.client_certificate is not None and user.client_key is not None:
        certificate, key = user.client_certificate.read_bytes(), user.client_key.read_bytes()
    elif not key and user.client_key is not None:
        key = user.client_key.read_bytes()
    token = user.token
    if user.token_file is not None:
        token = user.token_file.read_text().strip()
    fields: dict[str, Any] = {
        "client-certificate-data": _base64(certificate),
        "client-key-data": _base64(key),
        "token": token,
        "username": user.username,
        "password": user.password,
    }
    if (other := user.impersonation) is not None:
        extra = {key: list(values) for key, values in other.extra.items()}
        fields |= {"as": other.user, "as-uid": other.uid, "as-groups": list(other.groups), "as-user-extra": extra}
    return _without_empty(fields)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
