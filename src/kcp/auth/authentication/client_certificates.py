"""Client certificates (X.509): the common name is the user, the organizations are the groups.

Follows the Kubernetes page "Authenticating", section "X.509 client certificates". A certificate that does not verify is
refused with 401 and a log line; a valid token of the same request is still accepted (see `union`). Results are cached by
the SHA-256 of the certificate; the cache is bounded, and an entry ends with the certificate's validity.

A certificate that names logical clusters, in URIs among its subject alternative names, is valid in these only: so are the
certificates that the server issues for CertificateSigningRequests (`kcp.auth.signing`).
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from kcp.api import errors
from kcp.auth.authentication.authenticator import Credentials
from kcp.auth.users import MASTERS, User, authenticated
from kcp.logical_clusters import CERTIFICATE_URI, UNNAMED, LogicalClusterName

if TYPE_CHECKING:
    from cryptography import x509

logger: Final = logging.getLogger("kcp.server")

_CACHE_SIZE: Final = 4096
_RETRY_AFTER: Final = 60.0
"""Seconds after which a certificate that did not verify is verified again."""


class _Result(NamedTuple):
    """The cached outcome of a verification; ``problem`` says why a certificate was not accepted."""

    valid_until: float
    user: User | None
    problem: str = ""
    clusters: frozenset[str] = frozenset()
    """The logical clusters in which the certificate is valid; empty for all."""


class ClientCertificates:
    """The users of client certificates that one of the given authorities signed.

    The TLS layer has verified the certificate chain. This class verifies it again, because the TLS layer may trust more
    authorities, and checks that the certificate may be used for client authentication.
    """

    def __init__(self, authorities: Sequence[bytes], observe: Callable[[float], None] | None = None) -> None:
        """``authorities`` are bundles in PEM form; ``observe`` gets the remaining seconds of each certificate that is used."""
        self._observe = observe
        self.replace_authorities(authorities)

    def replace_authorities(self, authorities: Sequence[bytes]) -> None:
        """Replace the authorities: certificates are verified again on their next use."""
        from cryptography import x509

        self._authorities = [found for bundle in authorities for found in x509.load_pem_x509_certificates(bundle)]
        self._cache: OrderedDict[bytes, _Result] = OrderedDict()

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
        leaf = chain[0].encode()
        key = hashlib.sha256(leaf).digest()
        now = time.time()
        cached = self._cache.get(key)
        if cached is None or cached.valid_until <= now:
            cached = self._cache[key] = self._verify(leaf, chain[1:], now)
            if cached.problem:
                logger.warning("a client certificate was not accepted: %s", cached.problem)
            if len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        if cached.problem or (cached.clusters and cluster not in cached.clusters):
            raise errors.unauthorized()
        if self._observe is not None:
            self._observe(cached.valid_until - now)
        return cached.user

    def _verify(self, leaf: bytes, intermediates: Sequence[str], now: float) -> _Result:
        import datetime as dt

        from cryptography import x509
        from cryptography.x509 import verification

        certificate = x509.load_pem_x509_certificate(leaf)
        subject = repr(certificate.subject.rfc4514_string())
        expires = certificate.not_valid_after_utc.timestamp()
        if expires <= now:
            return _Result(now + _RETRY_AFTER, None, f"{subject} has expired")
        policy = verification.PolicyBuilder().store(verification.Store(self._authorities))
        policy = policy.time(dt.datetime.fromtimestamp(now, dt.UTC))
        leaf_rules = verification.ExtensionPolicy.permit_all()
        authority_rules = leaf_rules.require_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, None)
        policy = policy.extension_policies(ca_policy=authority_rules, ee_policy=leaf_rules)
        between = [x509.load_pem_x509_certificate(text.encode()) for text in intermediates]
        try:
            policy.build_client_verifier().verify(certificate, between)
        except verification.VerificationError as error:
            return _Result(now + _RETRY_AFTER, None, f"{subject}: {error}")
        if not _for_clients(certificate):
            return _Result(expires, None, f"{subject}: its extended key usage does not include client authentication")
        user, clusters = _user_of(certificate), _clusters_of(certificate)
        if clusters and user is not None and MASTERS in user.groups:
            return _Result(
                expires, None, f"{subject}: a certificate of one logical cluster may not have the group {MASTERS}"
            )
        return _Result(expires, user, clusters=clusters)


def _for_clients(certificate: x509.Certificate) -> bool:
    """Whether the extended key usage allows client authentication. Without the extension, every use is allowed (RFC 5280)."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


def _clusters_of(certificate: x509.Certificate) -> frozenset[str]:
    """The logical clusters that a certificate names. A name that is not valid is that of no logical cluster."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return frozenset(uri.removeprefix(CERTIFICATE_URI) for uri in uris if uri.startswith(CERTIFICATE_URI))


def _user_of(certificate: x509.Certificate) -> User | None:
    from cryptography.x509.oid import NameOID

    def texts(kind: object) -> tuple[str, ...]:
        return tuple(str(entry.value) for entry in certificate.subject if entry.oid == kind)

    names = texts(NameOID.COMMON_NAME)
    if not names or not names[0]:
        return None
    return authenticated(names[0], groups=texts(NameOID.ORGANIZATION_NAME))
