"""What signs the certificates of CertificateSigningRequests: the server's CA, read from its files for each signature."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from kcp.auth.signing import sign_client_certificate
from kcp.controllers.certificates import CertificateController, SigningError
from kcp.controllers.manager import Controller, Manager
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.verbs.registry import Registry
from kcp.server.process import identity
from kcp.server.process.configuration import ConfigurationError


def certificate_controllers(registry: Registry, folder: Path) -> Sequence[Controller]:
    """Return the controller of CertificateSigningRequests; ``folder`` has the files of the CA."""
    signer = AuthoritySigner(folder)
    return [Manager(registry, [lambda registry: CertificateController(registry, signer.sign)])]


class AuthoritySigner:
    """Signs with the CA of a data directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sign(
        self, request: bytes, cluster: LogicalClusterName, usages: Sequence[str], seconds: int | None, now: dt.datetime
    ) -> bytes:
        """Sign a request: see `kcp.auth.signing`. Raises SigningRefusedError, SigningError."""
        try:
            authority = identity.load_authority(self._folder)
        except (ConfigurationError, OSError) as error:
            raise SigningError(str(error)) from error
        return sign_client_certificate(authority, request, cluster, usages, seconds, now)
