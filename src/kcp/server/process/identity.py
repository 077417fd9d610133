"""The server's identity on disk: CA, serving certificate, the administrator's credentials and kubeconfig.

Generated once and kept: clients hold the CA certificate and the administrator's token. The serving certificate is generated
again when it does not cover the configured addresses, or when a tenth of its lifetime is left. Directories have mode
0700, files 0600.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kcp.auth import certificates
from kcp.auth.certificates import KeyPair
from kcp.auth.users import MASTERS
from kcp.server.process import kubeconfig
from kcp.server.process.configuration import Configuration, ConfigurationError

ADMINISTRATOR: Final = "admin"
_ALWAYS_SERVED: Final = (
    "localhost",
    "127.0.0.1",
    "::1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_RENEWED_WITH: Final = certificates.IDENTITY_LIFETIME / 10
_PRIVATE: Final = 0o600
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """The files of the identity, and the contents that the server uses."""

    serving_certificate: Path
    serving_key: Path
    client_authorities: Path
    """A bundle of all CAs that may sign client certificates, for the TLS layer."""
    client_authority_bundles: tuple[bytes, ...]
    trust: bytes
    """The CA certificates that a client must trust, in PEM form."""
    admin_token: str
    kubeconfig: Path


def prepare(configuration: Configuration) -> Identity:
    """Load or generate the identity of a server, without the kubeconfig. Raises ConfigurationError, OSError."""
    folder = configuration.data_directory
    authority = _authority(folder)
    if configuration.tls_cert_file is not None and configuration.tls_private_key_file is not None:
        given = _given(configuration.tls_cert_file, configuration.tls_private_key_file)
        serving = (configuration.tls_cert_file, configuration.tls_private_key_file)
        trust = given.certificate
    else:
        serving = _serving(folder, authority, _served_names(configuration))
        trust = authority.certificate
    bundles = client_authority_bundles(authority.certificate, configuration.client_ca_file)
    bundle = folder / "client-ca-bundle.crt"
    _write_if_changed(bundle, b"".join(bundles))
    _administrator(folder, authority)
    return Identity(
        serving_certificate=serving[0],
        serving_key=serving[1],
        client_authorities=bundle,
        client_authority_bundles=bundles,
        trust=trust,
        admin_token=_token(folder / "admin.token"),
        kubeconfig=folder / "admin.kubeconfig",
    )


def client_authority_bundles(own: bytes, path: Path | None) -> tuple[bytes, ...]:
    """Return the CAs that may sign client certificates, in PEM form: the server's own, and those of ``--client-ca-file``.

    Raises ConfigurationError.
    """
    return (own,) if path is None else (own, _client_authority(path))


def material(folder: Path) -> dict[str, str]:
    """Return the files that servers of one log share, by name; generate missing ones. Raises ConfigurationError, OSError."""
    authority = _authority(folder)
    return {
        "ca.crt": authority.certificate.decode(),
        "ca.key": authority.key.decode(),
        "admin.token": _token(folder / "admin.token"),
    }


def write_kubeconfig(identity: Identity, host: str, port: int) -> None:
    """Write the administrator's kubeconfig for the server's address."""
    shown = f"[{host}]" if ":" in host else host
    text = kubeconfig.administrator(f"https://{shown}:{port}", identity.trust, identity.admin_token)
    _write_if_changed(identity.kubeconfig, text)


def reachable_host(configuration: Configuration) -> str:
    """Return the host name or address for clients on this machine."""
    if configuration.external_hostname:
        return configuration.external_hostname
    address = configuration.bind_address
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.is_unspecified:
        return "127.0.0.1" if parsed.version == 4 else "::1"
    return address


def _served_names(configuration: Configuration) -> list[str]:
    names = [*_ALWAYS_SERVED, configuration.bind_address, socket.gethostname(), *configuration.tls_sans]
    if configuration.external_hostname:
        names.append(configuration.external_hostname)
    return list(dict.fromkeys(_usable(names)))


def _usable(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        try:
            parsed = ipaddress.ip_address(name)
        except ValueError:
            if name.isascii() and name:
                yield name
        else:
            if not parsed.is_unspecified:
                yield str(parsed)


def _authority(folder: Path) -> KeyPair:
    paths = folder / "ca.crt", folder / "ca.key"
    found = _read_pair(*paths)
    if found is None:
        for missing, there in (paths, paths[::-1]):
            if there.exists():
                raise ConfigurationError(
                    f"{missing} is missing and {there} exists: restore it, or remove both to generate a new CA that no "
                    "client trusts yet"
                )
        found = certificates.new_authority("kcp-ca")
        _write_pair(paths, found)
    return found


def _serving(folder: Path, authority: KeyPair, names: list[str]) -> tuple[Path, Path]:
    paths = folder / "serving.crt", folder / "serving.key"
    found = _read_pair(*paths)
    if found is None or not _still_good(found, authority) or not _covers(found, names):
        _write_pair(paths, certificates.new_serving_identity(authority, "kcp", names))
    return paths


def _administrator(folder: Path, authority: KeyPair) -> None:
    paths = folder / "admin.crt", folder / "admin.key"
    found = _read_pair(*paths)
    if found is None or not _still_good(found, authority):
        _write_pair(paths, certificates.new_client_identity(authority, ADMINISTRATOR, (MASTERS,)))


def _still_good(pair: KeyPair, authority: KeyPair) -> bool:
    if certificates.remaining_lifetime(pair.certificate) <= _RENEWED_WITH:
        return False
    return certificates.is_signed_by(pair.certificate, authority.certificate)


def _covers(pair: KeyPair, names: list[str]) -> bool:
    return certificates.alternative_names(pair.certificate) >= set(names)


def _read_pair(certificate: Path, key: Path) -> KeyPair | None:
    if not certificate.exists() or not key.exists():
        return None
    found = KeyPair(certificate.read_bytes(), key.read_bytes())
    try:
        matches = certificates.key_matches(found)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{certificate} and {key} are not a certificate and its key in PEM form; remove both to generate new ones"
        ) from error
    if not matches:
        raise ConfigurationError(f"{key} is not the key of {certificate}; remove both to generate new ones")
    return found


def _given(certificate: Path, key: Path) -> KeyPair:
    try:
        pair = KeyPair(certificate.read_bytes(), key.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {error.filename}: {error.strerror}") from error
    if not certificates.holds_certificates(pair.certificate):
        raise ConfigurationError(f"--tls-cert-file: {certificate} holds no PEM certificates")
    try:
        matches = certificates.key_matches(pair)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"--tls-private-key-file: {key} holds no unencrypted private key in PEM form"
        ) from error
    if not matches:
        raise ConfigurationError(f"the key in {key} is not that of the certificate in {certificate}")
    return pair


def _client_authority(path: Path) -> bytes:
    try:
        bundle = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--client-ca-file: cannot read {path}: {error.strerror}") from error
    if not certificates.holds_certificates(bundle):
        raise ConfigurationError(f"--client-ca-file: {path} holds no PEM certificates")
    return bundle if bundle.endswith(b"\n") else bundle + b"\n"


def _token(path: Path) -> str:
    if path.exists() and (token := path.read_text().strip()):
        return token
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    write_private(path, token.encode())
    return token


def _write_pair(paths: tuple[Path, Path], pair: KeyPair) -> None:
    for path, content in zip(paths, (pair.certificate, pair.key), strict=True):
        write_private(path, content)


def _write_if_changed(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        write_private(path, content)
    elif path.stat().st_mode & 0o777 != _PRIVATE:
        path.chmod(_PRIVATE)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file atomically, readable by its owner only."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.flush()
            temporary.chmod(_PRIVATE)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
