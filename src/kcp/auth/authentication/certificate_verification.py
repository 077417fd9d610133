"""Verification of client certificates by given authorities, with results kept by the SHA-256 of the certificate.

The TLS layer has verified the certificate chain already. It is verified again, because the TLS layer trusts the authorities of
all purposes, and because only certificates for client authentication count. The cache is bounded, and an entry ends with the
certificate's validity.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from kcp.logical_clusters import CERTIFICATE_URI

if TYPE_CHECKING:
    from cryptography import x509

Fact = TypeVar("Fact")

_CACHE_SIZE: Final = 4096
_RETRY_AFTER: Final = 60.0
"""Seconds after which a certificate that did not verify is verified again."""


class SubjectError(ValueError):
    """The subject of a certificate cannot be used; the message says why."""


class Verified(NamedTuple, Generic[Fact]):
    """The result of a verification. ``problem`` says why a certificate was not accepted; ``is_new``, that it was not kept."""

    valid_until: float
    fact: Fact | None
    problem: str = ""
    is_new: bool = False


class CertificateVerifier(Generic[Fact]):
    """Verifies certificates and reads a fact from those that are accepted."""

    def __init__(self, authorities: Sequence[bytes], read: Callable[[x509.Certificate], Fact]) -> None:
        """``authorities`` are bundles in PEM form; ``read`` may raise SubjectError."""
        self._read = read
        self.replace_authorities(authorities)

    def replace_authorities(self, authorities: Sequence[bytes]) -> None:
        """Replace the authorities: certificates are verified again on their next use."""
        from cryptography import x509

        self._authorities = [found for bundle in authorities for found in x509.load_pem_x509_certificates(bundle)]
        self._cache: OrderedDict[bytes, Verified[Fact]] = OrderedDict()

    def verify(self, chain: Sequence[str]) -> Verified[Fact]:
        """Verify a chain of PEM certificates, leaf first."""
        leaf = chain[0].encode()
        key = hashlib.sha256(leaf).digest()
        now = time.time()
        cached = self._cache.get(key)
        if cached is not None and cached.valid_until > now:
            return cached
        found = self._cache[key] = self._verify(leaf, chain[1:], now)
        if len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)
        return found._replace(is_new=True)

    def _verify(self, leaf: bytes, intermediates: Sequence[str], now: float) -> Verified[Fact]:
        import datetime as dt

        from cryptography import x509
        from cryptography.x509 import verification

        certificate = x509.load_pem_x509_certificate(leaf)
        subject = repr(certificate.subject.rfc4514_string())
        expires = certificate.not_valid_after_utc.timestamp()
        if expires <= now:
            return Verified(now + _RETRY_AFTER, None, f"{subject} has expired")
        policy = verification.PolicyBuilder().store(verification.Store(self._authorities))
        policy = policy.time(dt.datetime.fromtimestamp(now, dt.UTC))
        leaf_rules = verification.ExtensionPolicy.permit_all()
        authority_rules = leaf_rules.require_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, None)
        policy = policy.extension_policies(ca_policy=authority_rules, ee_policy=leaf_rules)
        between = [x509.load_pem_x509_certificate(text.encode()) for text in intermediates]
        try:
            policy.build_client_verifier().verify(certificate, between)
        except verification.VerificationError as error:
            return Verified(now + _RETRY_AFTER, None, f"{subject}: {error}")
        if not _for_clients(certificate):
            problem = f"{subject}: its extended key usage does not include client authentication"
            return Verified(expires, None, problem)
        try:
            return Verified(expires, self._read(certificate))
        except SubjectError as error:
            return Verified(expires, None, f"{subject}: {error}")


def _for_clients(certificate: x509.Certificate) -> bool:
    """Whether the extended key usage allows client authentication. Without the extension, every use is allowed (RFC 5280)."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


def common_name(certificate: x509.Certificate) -> str:
    """Return the common name of the subject: the last one, as Go's ``pkix.Name``; empty without one."""
    from cryptography.x509.oid import NameOID

    names = [entry.value for entry in certificate.subject if entry.oid == NameOID.COMMON_NAME]
    return str(names[-1]) if names else ""


def clusters_of(certificate: x509.Certificate) -> frozenset[str]:
    """Return the logical clusters that a certificate names; empty for one that holds in all.

    A name that is not valid is that of no logical cluster.
    """
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return frozenset(uri.removeprefix(CERTIFICATE_URI) for uri in uris if uri.startswith(CERTIFICATE_URI))
