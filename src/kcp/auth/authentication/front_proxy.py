"""Users that a front proxy names in headers.

Follows the Kubernetes page "Authenticating", section "Authenticating Proxy". The headers count only in requests with a client
certificate that one of the authorities of ``--requestheader-client-ca-file`` signed and whose common name is one of
``--requestheader-allowed-names``; in every other request they have no meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from kcp.api import errors
from kcp.auth.authentication.authenticator import Credentials
from kcp.auth.authentication.certificate_verification import CertificateVerifier, SubjectError, clusters_of, common_name
from kcp.auth.users import User, authenticated

if TYPE_CHECKING:
    from cryptography import x509

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class FrontProxyOptions:
    """The names of the headers, in the order in which they are searched, and the common names that proxies may have.

    No allowed name means that every certificate of the authorities is a proxy's.
    """

    allowed_names: tuple[str, ...] = ()
    username_headers: tuple[str, ...] = ()
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ()
    extra_prefixes: tuple[str, ...] = ()


class FrontProxy:
    """The users in the headers of requests that come from a proxy."""

    def __init__(self, authorities: Sequence[bytes], options: FrontProxyOptions) -> None:
        """``authorities`` are bundles in PEM form."""
        self._verifier: CertificateVerifier[str] = CertificateVerifier(authorities, _proxy_of)
        self._allowed = frozenset(options.allowed_names)
        self._name, self._uid, self._groups, self._prefixes = (
            tuple(name.lower().encode() for name in names)
            for names in (
                options.username_headers,
                options.uid_headers,
                options.group_headers,
                options.extra_prefixes,
            )
        )

    def replace_authorities(self, authorities: Sequence[bytes]) -> None:
        """Replace the authorities: certificates are verified again on their next use."""
        self._verifier.replace_authorities(authorities)

    def authenticate(self, credentials: Credentials) -> User | None:
        """Return the user in the headers; None without a client certificate, or when the headers name no user.

        Raises StatusError 401 for a certificate that is not a proxy's: another authenticator may accept it.
        """
        chain = credentials.certificate_chain
        if not chain:
            return None
        verified = self._verifier.verify(chain)
        if verified.problem or (self._allowed and verified.fact not in self._allowed):
            raise errors.unauthorized()
        headers = credentials.raw_headers
        try:
            return self._user(headers)
        except UnicodeDecodeError as error:
            raise errors.unauthorized() from error

    def _user(self, headers: Sequence[Header]) -> User | None:
        name = _first(headers, self._name)
        if not name:
            return None
        groups = tuple(text.decode() for wanted in self._groups for key, text in headers if key == wanted and text)
        return authenticated(name, _first(headers, self._uid), groups, self._extra(headers))

    def _extra(self, headers: Sequence[Header]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for prefix in self._prefixes:
            for name, value in headers:
                if name.startswith(prefix):
                    key = unquote_to_bytes(name[len(prefix) :]).decode()
                    found.setdefault(key, []).append(value.decode())
        return found


def _proxy_of(certificate: x509.Certificate) -> str:
    """Return the name of a proxy. Raises SubjectError for a certificate of a logical cluster, whose tenant may have any name."""
    if clusters_of(certificate):
        raise SubjectError("a certificate of one logical cluster is not a proxy's")
    return common_name(certificate)


def _first(headers: Sequence[Header], names: Sequence[bytes]) -> str:
    """Return the value of the first of the names that a header with a value has; of a repeated header, its first value."""
    for wanted in names:
        value = next((value for name, value in headers if name == wanted), b"")
        if value:
            return value.decode()
    return ""
