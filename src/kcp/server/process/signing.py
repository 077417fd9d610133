"""What signs the certificates of CertificateSigningRequests: the server's CA, read from its files for each signature."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from kcp.auth.signing import sign_client_certificate
from kcp.controllers.certificates import SigningError
from kcp.logical_clusters import LogicalClusterName
from kcp.server.process import identity
from kcp.server.process.errors import ConfigurationError


class AuthoritySigner:
    """Signs with the CA of a data directory, as long as it is the one that the server trusts."""

    def __init__(self, folder: Path, trusted: bytes) -> None:
        """``trusted`` is the certificate of the CA that the server has started with."""
        self._folder = folder
        self._trusted = trusted

    def sign(
        self, request: bytes, cluster: LogicalClusterName, usages: Sequence[str], seconds: int | None, now: dt.datetime
    ) -> bytes:
        """Sign a request: see `kcp.auth.signing`. Raises SigningRefusedError, SigningError."""
        try:
            authority = identity.load_authority(self._folder)
        except (ConfigurationError, OSError) as error:
            raise SigningError(str(error)) from error
        if authority.certificate != self._trusted:
            raise SigningError(
                f"the CA in {self._folder} was replaced: restart the server, which trusts the one before"
            )
        return sign_client_certificate(authority, request, cluster, usages, seconds, now)
