"""The configuration of a Pod: the service account that the kubelet mounts, and the address in its environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kcp.client.configuration import ClientConfiguration
from kcp.client.credentials.files import FileCredentials
from kcp.client.errors import ConfigurationError, CredentialsError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def available(environment: Mapping[str, str]) -> bool:
    """Whether this process runs in a Pod with a service account."""
    return bool(environment.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").is_file()


def in_cluster_configuration(environment: Mapping[str, str], **limits: Any) -> ClientConfiguration:
    """The configuration of this Pod. ``limits`` are further fields of `ClientConfiguration`. Raises ConfigurationError."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise ConfigurationError(
            "not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be set in the environment"
        )
    credentials = FileCredentials("in-cluster configuration", token_file=SERVICE_ACCOUNT / "token")
    try:
        credentials.read()
        authority = (SERVICE_ACCOUNT / "ca.crt").read_bytes()
    except CredentialsError as error:
        raise ConfigurationError(str(error)) from error
    except OSError as error:
        raise ConfigurationError(f"in-cluster configuration: {SERVICE_ACCOUNT / 'ca.crt'}: {error.strerror}") from error
    return ClientConfiguration(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=_namespace(),
        certificate_authority=authority,
        credentials=credentials,
        **limits,
    )


def _namespace() -> str:
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text().strip() or "default"
    except OSError:
        return "default"
