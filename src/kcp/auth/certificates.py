"""Issuing certificates: a CA, and serving and client certificates signed by it.

Follows RFC 5280: random serial numbers, key identifiers, key usages. Keys are ECDSA P-256, which are generated much faster
than RSA keys.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

AUTHORITY_LIFETIME: Final = dt.timedelta(days=3650)
IDENTITY_LIFETIME: Final = dt.timedelta(days=365)
_CLOCK_SKEW: Final = dt.timedelta(days=2)
"""How long before its creation a certificate is valid, so that a clock that is set back by a day does not invalidate it."""
_RENEWED_AFTER: Final = 2 / 3
"""The part of its validity after which a certificate is renewed, as in cert-manager."""


class KeyPair(NamedTuple):
    """A certificate and its private key, in PEM form."""

    certificate: bytes
    key: bytes


def new_authority(name: str) -> KeyPair:
    """Generate a self-signed CA."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([_common_name(name)])
    builder = _builder(subject, subject, key.public_key(), AUTHORITY_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    return _signed(builder, key, key)


def new_serving_identity(
    authority: KeyPair, name: str, alternatives: Iterable[str], now: dt.datetime | None = None
) -> KeyPair:
    """Issue a serving certificate for host names and addresses; the CA certificate is appended to the PEM text."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    entries = [_alternative(text) for text in alternatives]
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(entries), False),
    ]
    made = _identity(authority, x509.Name([_common_name(name)]), extensions, now)
    return KeyPair(made.certificate + authority.certificate, made.key)


def new_client_identity(
    authority: KeyPair, user: str, groups: Sequence[str], now: dt.datetime | None = None
) -> KeyPair:
    """Issue a client certificate: the common name is the user, the organizations are the groups."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*parts, _common_name(user)])
    return _identity(authority, subject, [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)], now)


def alternative_names(certificate: bytes) -> frozenset[str]:
    """Return the subject alternative names of a PEM certificate: host names and addresses."""
    from cryptography import x509

    loaded = x509.load_pem_x509_certificate(certificate)
    try:
        extension = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(str(entry.value) for entry in extension.value)


def expiration(certificate: bytes) -> dt.datetime:
    """Return the time at which a PEM certificate expires."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def renewal_time(certificate: bytes) -> dt.datetime:
    """Return the time from which a PEM certificate that the server issued is to be renewed."""
    from cryptography import x509

    loaded = x509.load_pem_x509_certificate(certificate)
    begins = loaded.not_valid_before_utc
    return begins + (loaded.not_valid_after_utc - begins) * _RENEWED_AFTER


def is_signed_by(certificate: bytes, authority: bytes) -> bool:
    """Whether a PEM certificate is signed by a CA."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    issuer = x509.load_pem_x509_certificate(authority)
    try:
        x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def holds_certificates(content: bytes) -> bool:
    """Whether the content is one or more certificates in PEM form."""
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(content)
    except ValueError:
        return False
    return True


def merged(bundles: Iterable[bytes]) -> bytes:
    """Return the certificates of several bundles in PEM form, each once, in their order."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    loaded = (each for bundle in bundles for each in x509.load_pem_x509_certificates(bundle))
    return b"".join(dict.fromkeys(each.public_bytes(serialization.Encoding.PEM) for each in loaded))


def key_matches(pair: KeyPair) -> bool:
    """Whether the private key belongs to the certificate. Raises ValueError when either cannot be read."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    public = serialization.PublicFormat.SubjectPublicKeyInfo
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    key = serialization.load_pem_private_key(pair.key, password=None, unsafe_skip_rsa_key_validation=True)
    encoded = [
        half.public_bytes(serialization.Encoding.DER, public) for half in (certificate.public_key(), key.public_key())
    ]
    return encoded[0] == encoded[1]


def _identity(
    authority: KeyPair,
    subject: x509.Name,
    extensions: Iterable[tuple[x509.ExtensionType, bool]],
    now: dt.datetime | None,
) -> KeyPair:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signer = serialization.load_pem_private_key(authority.key, password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(subject, issuer.subject, key.public_key(), IDENTITY_LIFETIME, now)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(issuer_key, critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return _signed(builder, signer, key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    lifetime: dt.timedelta,
    now: dt.datetime | None = None,
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = now or dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(
    builder: x509.CertificateBuilder, signer: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey
) -> KeyPair:
    from cryptography.hazmat.primitives import hashes, serialization

    certificate = builder.sign(signer, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), private)


def _common_name(text: str) -> x509.NameAttribute[str]:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.NameAttribute(NameOID.COMMON_NAME, text)


def _alternative(text: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
