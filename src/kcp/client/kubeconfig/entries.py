"""The types of a kubeconfig: clientcmd's v1 Config, with the file that each entry comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kcp.client.configuration import Impersonation
from kcp.client.credentials.exec_plugins import ExecConfiguration


@dataclass(frozen=True, slots=True)
class Origin:
    """The file of an entry, and the name of the entry in messages (``user "admin"``)."""

    file: Path
    entry: str

    def __str__(self) -> str:
        return f"{self.file}: {self.entry}"

    def resolve(self, path: str) -> Path:
        """Resolve a path of the entry, relative to the folder of the file."""
        return self.file.parent / path


@dataclass(frozen=True, slots=True)
class Cluster:
    """The address of an API server and the trust in it."""

    origin: Origin
    server: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    certificate_authority: Path | None = None
    certificate_authority_data: bytes = b""
    proxy_url: str = field(default="", repr=False)
    disable_compression: bool = False
    exec_extension: Any = None
    """The extension ``client.authentication.k8s.io/exec``, which plugins get as the cluster's ``config``."""


@dataclass(frozen=True, slots=True)
class KubeconfigUser:
    """Credentials. Inline data takes precedence over files, as in client-go."""

    origin: Origin
    client_certificate: Path | None = None
    client_certificate_data: bytes = b""
    client_key: Path | None = None
    client_key_data: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    impersonation: Impersonation | None = None
    exec: ExecConfiguration | None = None
    auth_provider: str = ""
    """The name of a provider that was removed from client-go in 1.26."""


@dataclass(frozen=True, slots=True)
class Context:
    """A cluster, a user and a namespace by names."""

    origin: Origin
    cluster: str = ""
    user: str = ""
    namespace: str = ""


@dataclass(frozen=True)
class Kubeconfig:
    """One file, or several merged: entries by name."""

    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    users: Mapping[str, KubeconfigUser] = field(default_factory=dict)
    contexts: Mapping[str, Context] = field(default_factory=dict)
    current_context: str = ""
    files: tuple[Path, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there are no entries."""
        return not (self.clusters or self.users or self.contexts)
