"""Signing of client certificates for the requests of a logical cluster, by the server's CA.

Follows the signer ``kubernetes.io/kube-apiserver-client`` of kube-controller-manager. Stricter, since the CA is one for all
logical clusters: every certificate names its logical cluster in a URI (a subject alternative name), and no other name or
extension of the request is taken over. So a tenant gets no certificate that is valid elsewhere, or that a server could present.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from kcp.auth.certificates import IDENTITY_LIFETIME, KeyPair
from kcp.auth.users import MASTERS, MONITORING
from kcp.logical_clusters import CERTIFICATE_URI, LogicalClusterName

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client"
LEGACY_SIGNER: Final = "kubernetes.io/legacy-unknown"
SIGNERS: Final = frozenset({CLIENT_SIGNER, LEGACY_SIGNER})
"""The signers whose requests are signed here. The requests of others are left to other controllers."""

_REFUSED_GROUPS: Final = (MASTERS, MONITORING)
"""Groups that mean something beyond one logical cluster."""
_CLIENT_AUTH: Final = "client auth"
_OPTIONAL_USAGES: Final = frozenset({"digital signature", "key encipherment"})
_SHORTEST: Final = dt.timedelta(minutes=10)
_BACKDATED: Final = dt.timedelta(minutes=5)
_SHORT: Final = dt.timedelta(hours=8)
"""A lifetime below which the backdating is not taken from it."""


class SigningRefusedError(Exception):
    """A request that is not signed; the message says why."""


def refused_group(request: x509.CertificateSigningRequest) -> str:
    """Return a group of the request's subject that no certificate may have; empty without one."""
    from cryptography.x509.oid import NameOID

    groups = {entry.value for entry in request.subject if entry.oid == NameOID.ORGANIZATION_NAME}
    return next((group for group in _REFUSED_GROUPS if group in groups), "")


def sign_client_certificate(
    authority: KeyPair,
    request: bytes,
    cluster: LogicalClusterName,
    usages: Sequence[str],
    seconds: int | None,
    now: dt.datetime,
) -> bytes:
    """Return the certificate, in PEM form, for a PKCS #10 request in PEM form, valid in one logical cluster.

    ``seconds`` is the lifetime that is asked for. Raises SigningRefusedError.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    asked = x509.load_pem_x509_csr(request)
    _check(asked, usages)
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signer = serialization.load_pem_private_key(authority.key, password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    begins, ends = _validity(seconds, now)
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(issuer.subject)
        .public_key(asked.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(begins, issuer.not_valid_before_utc))
        .not_valid_after(min(ends, issuer.not_valid_after_utc))
    )
    for extension, critical in _extensions(usages, cluster, signer):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _check(request: x509.CertificateSigningRequest, usages: Sequence[str]) -> None:
    if not request.is_signature_valid:
        raise SigningRefusedError("the signature of the request is not valid")
    if group := refused_group(request):
        raise SigningRefusedError(f"the group {group} is not allowed")
    for usage in usages:
        if usage != _CLIENT_AUTH and usage not in _OPTIONAL_USAGES:
            raise SigningRefusedError(f"invalid usage for client certificate: {usage}")
    if _CLIENT_AUTH not in usages:
        raise SigningRefusedError(f"missing required usage for client certificate: {_CLIENT_AUTH}")


def _validity(seconds: int | None, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The first and the last moment of a certificate, backdated for clocks that are slow."""
    lifetime = IDENTITY_LIFETIME
    if seconds is not None:
        lifetime = min(max(dt.timedelta(seconds=seconds), _SHORTEST), IDENTITY_LIFETIME)
    begins = now - _BACKDATED
    return begins, (now if lifetime < _SHORT else begins) + lifetime


def _extensions(
    usages: Sequence[str], cluster: LogicalClusterName, signer: ec.EllipticCurvePrivateKey
) -> list[tuple[x509.ExtensionType, bool]]:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    usage = x509.KeyUsage(
        digital_signature="digital signature" in usages,
        key_encipherment="key encipherment" in usages,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    uri = x509.UniformResourceIdentifier(CERTIFICATE_URI + cluster)
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
        (x509.SubjectAlternativeName([uri]), False),
    ]
    if not _OPTIONAL_USAGES.isdisjoint(usages):
        found.append((usage, True))
    return found
