"""Who a request comes from: client certificates and bearer tokens.

Follows the Kubernetes page "Authenticating": a certificate's common name is the user, its organizations are the groups.
Verdicts are remembered by a hash of the credential; the memory is bounded, and a certificate's ends with its validity.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from kcp.api import errors
from kcp.auth.users import User, authenticated

if TYPE_CHECKING:
    from cryptography import x509

_REMEMBERED: Final = 4096


class TokenAuthenticator(Protocol):
    """Knows some bearer tokens."""

    def find(self, token: bytes) -> User | None:
        """The user of a token; None when this authenticator does not know it."""


class BearerTokens:
    """The users of ``Authorization: Bearer`` headers, asked of each token authenticator in turn."""

    def __init__(self, authenticators: Sequence[TokenAuthenticator]) -> None:
        self._authenticators = tuple(authenticators)

    def user(self, authorization: bytes) -> User | None:
        """The user of an ``Authorization`` header; None when it is of another scheme. Raises StatusError 401."""
        if authorization.startswith(b"Bearer "):
            token = authorization[7:].strip()
        else:
            scheme, _, token = authorization.partition(b" ")
            token = token.strip()
            if scheme.lower() != b"bearer":
                return None
        if not token:
            return None
        for authenticator in self._authenticators:
            user = authenticator.find(token)
            if user is not None:
                return user
        raise errors.unauthorized()


class ClientCertificates:
    """The users of client certificates that one of the given authorities signed.

    The TLS layer has verified the chain of a certificate; this checks again which authority it was, since the TLS layer may
    trust more of them, and that the certificate is meant for clients.
    """

    def __init__(self, authorities: Sequence[bytes]) -> None:
        """``authorities`` are bundles of certificates in PEM form."""
        from cryptography import x509

        self._bundles = authorities
        self._authorities = [found for bundle in authorities for found in x509.load_pem_x509_certificates(bundle)]
        self._remembered: OrderedDict[bytes, tuple[float, User | None]] = OrderedDict()

    def user(self, chain: Sequence[str]) -> User | None:
        """The user of a chain of PEM certificates, leaf first; None for a stranger's."""
        leaf = chain[0].encode()
        key = hashlib.sha256(leaf).digest()
        now = time.time()
        known = self._remembered.get(key)
        if known is None or known[0] <= now:
            known = self._remembered[key] = self._verified(leaf, chain[1:], now)
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return known[1]

    def _verified(self, leaf: bytes, intermediates: Sequence[str], now: float) -> tuple[float, User | None]:
        import datetime as dt

        from cryptography import x509
        from cryptography.x509 import verification

        certificate = x509.load_pem_x509_certificate(leaf)
        expires = certificate.not_valid_after_utc.timestamp()
        if expires <= now:
            return now + 60, None
        policy = verification.PolicyBuilder().store(verification.Store(self._authorities))
        policy = policy.time(dt.datetime.fromtimestamp(now, dt.UTC))
        leaf_rules = verification.ExtensionPolicy.permit_all()
        authority_rules = leaf_rules.require_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, None)
        policy = policy.extension_policies(ca_policy=authority_rules, ee_policy=leaf_rules)
        between = [x509.load_pem_x509_certificate(text.encode()) for text in intermediates]
        try:
            policy.build_client_verifier().verify(certificate, between)
        except verification.VerificationError:
            return now + 60, None
        return expires, _user_of(certificate) if _for_clients(certificate) else None


def _for_clients(certificate: x509.Certificate) -> bool:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


def _user_of(certificate: x509.Certificate) -> User | None:
    from cryptography.x509.oid import NameOID

    def texts(kind: object) -> tuple[str, ...]:
        return tuple(str(entry.value) for entry in certificate.subject if entry.oid == kind)

    names = texts(NameOID.COMMON_NAME)
    if not names or not names[0]:
        return None
    return authenticated(names[0], groups=texts(NameOID.ORGANIZATION_NAME))
