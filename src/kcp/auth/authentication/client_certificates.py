"""Client certificates (X.509): the common name is the user, the organizations are the groups.

Follows the Kubernetes page "Authenticating", section "X.509 client certificates", and KEP-4639 (the attribute with the UID). A
certificate that does not verify is refused with 401 and a log line; a valid token of the same request is still
accepted (see `union`).

A certificate that names logical clusters, in URIs among its subject alternative names, is valid in these only: so are the
certificates that the server issues for CertificateSigningRequests (`kcp.auth.signing`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from kcp.api import errors
from kcp.auth.authentication.authenticator import Credentials
from kcp.auth.authentication.certificate_verification import (
    CertificateVerifier,
    SubjectError,
    clusters_of,
    common_name,
)
from kcp.auth.users import CLUSTER_NAME, CREDENTIAL_ID, MASTERS, User, authenticated
from kcp.logical_clusters import UNNAMED, LogicalClusterName

if TYPE_CHECKING:
    from cryptography import x509

logger: Final = logging.getLogger("kcp.server")

_UID: Final = "1.3.6.1.4.1.57683.2"
"""The attribute of the subject with the user's UID: Kubernetes' own object identifier."""


class _Holder(NamedTuple):
    """The user of a certificate, and the logical clusters in which it is valid; none for all."""

    user: User | None
    clusters: frozenset[str]


class ClientCertificates:
    """The users of client certificates that one of the given authorities signed."""

    def __init__(self, authorities: Sequence[bytes], observe: Callable[[float], None] | None = None) -> None:
        """``authorities`` are bundles in PEM form; ``observe`` gets the remaining seconds of each certificate that is used."""
        self._observe = observe
        self._verifier: CertificateVerifier[_Holder] = CertificateVerifier(authorities, _holder_of)

    def replace_authorities(self, authorities: Sequence[bytes]) -> None:
        """Replace the authorities: certificates are verified again on their next use."""
        self._verifier.replace_authorities(authorities)

    def authenticate(self, credentials: Credentials) -> User | None:
        """Return the user of the request's certificate; None without one, or when it names no user.

        Raises StatusError 401 for a certificate that does not verify.
        """
        chain = credentials.certificate_chain
        return self.user(chain, credentials.cluster) if chain else None

    def user(self, chain: Sequence[str], cluster: LogicalClusterName = UNNAMED) -> User | None:
        """Return the user of a chain of PEM certificates, leaf first, in a logical cluster.

        Raises StatusError 401 when it does not verify, or is valid in other logical clusters only.
        """
        verified = self._verifier.verify(chain)
        holder = verified.fact
        if holder is None:
            if verified.is_new:
                logger.warning("a client certificate was not accepted: %s", verified.problem)
            raise errors.unauthorized()
        if holder.clusters and cluster not in holder.clusters:
            raise errors.unauthorized()
        if self._observe is not None:
            self._observe(verified.valid_until - time.time())
        return holder.user


def _holder_of(certificate: x509.Certificate) -> _Holder:
    """Read the user and the logical clusters. Raises SubjectError."""
    clusters = clusters_of(certificate)
    user = _user_of(certificate, clusters)
    if clusters and user is not None and MASTERS in user.groups:
        raise SubjectError(f"a certificate of one logical cluster may not have the group {MASTERS}")
    return _Holder(user, clusters)


def _user_of(certificate: x509.Certificate, clusters: frozenset[str]) -> User | None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    name = common_name(certificate)
    if not name:
        return None
    groups = tuple(str(entry.value) for entry in certificate.subject if entry.oid == NameOID.ORGANIZATION_NAME)
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    extra: dict[str, tuple[str, ...]] = {CREDENTIAL_ID: (f"X509SHA256={fingerprint}",)}
    if clusters:
        extra[CLUSTER_NAME] = tuple(sorted(clusters))
    return authenticated(name, _uid_of(certificate), groups, extra)


def _uid_of(certificate: x509.Certificate) -> str:
    """Return the UID of the subject, empty without one. Raises SubjectError for an empty one and for several."""
    found = [entry.value for entry in certificate.subject if entry.oid.dotted_string == _UID]
    if not found:
        return ""
    if len(found) > 1:
        raise SubjectError(f"expected 1 UID, but found {len(found)}")
    (uid,) = found
    if not isinstance(uid, str):
        raise SubjectError("unable to parse UID into a string")
    if not uid:
        raise SubjectError("UID cannot be an empty string")
    return uid
