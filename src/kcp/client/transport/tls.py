"""TLS contexts of a client."""

from __future__ import annotations

import os
import ssl
import tempfile

from kcp.client.credentials.contract import ClientCertificate
from kcp.client.errors import ConfigurationError, CredentialsError


def tls_context(authority: bytes, *, verify: bool, certificate: ClientCertificate | None) -> ssl.SSLContext:
    """Return a context that trusts an authority (PEM; empty: those of the system) and presents a client certificate.

    Raises ConfigurationError, CredentialsError.
    """
    context = _trusting(authority)
    # Python 3.13 refuses authorities without a key identifier by default; clusters have such authorities, and Go accepts them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        _load(context, certificate)
    return context


def _trusting(authority: bytes) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError("the certificate authority is not a certificate in PEM") from error


def _load(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    # OpenSSL's binding reads files only. The file is readable by this user only and deleted before this function returns.
    with tempfile.TemporaryDirectory(prefix="kcp-client-") as folder:
        path = os.path.join(folder, "pair.pem")  # noqa: PTH118 - the name goes to OpenSSL as it is
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate.certificate + b"\n" + certificate.key + b"\n")
        try:
            context.load_cert_chain(path, password=_no_password)
        except (ssl.SSLError, ValueError):
            raise CredentialsError(
                "the client certificate and its key are no pair in PEM, or the key is encrypted"
            ) from None


def _no_password() -> str:
    raise ValueError("encrypted keys are not supported")
