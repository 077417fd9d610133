"""The server's identity on disk: CA, serving certificate, the administrator's credentials and kubeconfig.

Generated once and kept: clients hold the CA certificate and the administrator's token. The serving certificate is generated
again when it does not cover the configured addresses, or when two thirds of its validity have passed, while the server runs
too (`serving_certificates`). Directories have mode 0700, files 0600.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
import socket
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kcp.auth import certificates
from kcp.auth.certificates import KeyPair
from kcp.auth.users import MASTERS
from kcp.server.process import flag_files, kubeconfig
from kcp.server.process.configuration import Configuration
from kcp.server.process.errors import ConfigurationError

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
_PRIVATE: Final = 0o600
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """The files of the identity, and the contents that the server uses."""

    serving_certificate: Path
    serving_key: Path
    serving: KeyPair = field(repr=False)
    client_authorities: Path
    """A bundle of all CAs that may sign client certificates, for the TLS layer."""
    client_authority_bundles: tuple[bytes, ...]
    trust: bytes
    """The CA certificates that a client must trust, in PEM form."""
    administrator: KeyPair = field(repr=False)
    admin_token: str = field(repr=False)
    kubeconfig: Path


def prepare(configuration: Configuration) -> Identity:
    """Load or generate the identity of a server, without the kubeconfig. Raises ConfigurationError, OSError."""
    folder = configuration.data_directory
    authority = _authority(folder)
    now = dt.datetime.now(dt.UTC)
    serving = _given(configuration) or _serving(configuration, authority, now)
    bundles = client_authority_bundles(authority.certificate, configuration.client_ca_file)
    certificate, key = serving_files(configuration)
    made = Identity(
        serving_certificate=certificate,
        serving_key=key,
        serving=serving,
        client_authorities=folder / "client-ca-bundle.crt",
        client_authority_bundles=bundles,
        trust=trust_of(configuration, authority.certificate, serving),
        administrator=_administrator(folder, authority, now),
        admin_token=_token(folder / "admin.token"),
        kubeconfig=folder / "admin.kubeconfig",
    )
    write_client_authorities(made, b"".join(accepted_authorities(configuration, bundles)))
    return made


def serving_files(configuration: Configuration) -> tuple[Path, Path]:
    """Return the files of the serving certificate and its key: those of the configuration, else the generated ones."""
    if configuration.tls_cert_file is not None and configuration.tls_private_key_file is not None:
        return configuration.tls_cert_file, configuration.tls_private_key_file
    folder = configuration.data_directory
    return folder / "serving.crt", folder / "serving.key"


def trust_of(configuration: Configuration, authority: bytes, serving: KeyPair) -> bytes:
    """Return what a client must trust: the CA, or a serving certificate that the server's own CA did not issue."""
    return authority if configuration.tls_cert_file is None else serving.certificate


def write_client_authorities(identity: Identity, bundle: bytes) -> None:
    """Write the bundle of the CAs that may sign client certificates, for the TLS layer."""
    _write_if_changed(identity.client_authorities, bundle)


def load_serving(configuration: Configuration) -> KeyPair:
    """Read the serving certificate and its key. Raises ConfigurationError when they are missing or do not fit together."""
    if (given := _given(configuration)) is not None:
        return given
    certificate, key = serving_files(configuration)
    if (found := _read_pair(certificate, key)) is None:
        raise ConfigurationError(f"{certificate} or {key} is missing")
    return found


def renew(configuration: Configuration, now: dt.datetime) -> tuple[KeyPair | None, KeyPair]:
    """Renew the certificates that the server issued to itself and the administrator, where it is time.

    Returns the serving certificate, None when the configuration names one, and the administrator's. The CA is not renewed, and
    a missing one is not generated: clients trust it. Raises ConfigurationError, OSError.
    """
    folder = configuration.data_directory
    authority = load_authority(folder)
    serving = _serving(configuration, authority, now) if configuration.tls_cert_file is None else None
    return serving, _administrator(folder, authority, now)


def load_authority(folder: Path) -> KeyPair:
    """Read the server's own CA. Raises ConfigurationError when a file of it is missing or cannot be used, OSError."""
    paths = folder / "ca.crt", folder / "ca.key"
    if (authority := _read_pair(*paths)) is None:
        raise ConfigurationError(f"{paths[0]} or {paths[1]} is missing, which sign the server's own certificates")
    return authority


def client_authority_bundles(own: bytes, path: Path | None) -> tuple[bytes, ...]:
    """Return the CAs that may sign client certificates, in PEM form: the server's own, and those of ``--client-ca-file``.

    Raises ConfigurationError.
    """
    return (own,) if path is None else (own, authority_bundle("--client-ca-file", path))


def accepted_authorities(configuration: Configuration, bundles: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return all CAs whose certificates the TLS layer accepts: those of clients, and those of front proxies.

    Raises ConfigurationError.
    """
    path = configuration.authentication.front_proxy_ca_file
    return bundles if path is None else (*bundles, authority_bundle("--requestheader-client-ca-file", path))


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


def _serving(configuration: Configuration, authority: KeyPair, now: dt.datetime) -> KeyPair:
    """The generated serving certificate, which is generated again where it must be."""
    names = _served_names(configuration)
    paths = serving_files(configuration)
    found = _read_pair(*paths)
    if found is None or not _still_good(found, authority, now) or not _covers(found, names):
        found = certificates.new_serving_identity(authority, "kcp", names, now)
        _write_pair(paths, found)
    return found


def _administrator(folder: Path, authority: KeyPair, now: dt.datetime) -> KeyPair:
    paths = folder / "admin.crt", folder / "admin.key"
    found = _read_pair(*paths)
    if found is None or not _still_good(found, authority, now):
        found = certificates.new_client_identity(authority, ADMINISTRATOR, (MASTERS,), now)
        _write_pair(paths, found)
    return found


def _still_good(pair: KeyPair, authority: KeyPair, now: dt.datetime) -> bool:
    if certificates.renewal_time(pair.certificate) <= now:
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


def _given(configuration: Configuration) -> KeyPair | None:
    """The serving certificate and key that the configuration names. Raises ConfigurationError."""
    if configuration.tls_cert_file is None or configuration.tls_private_key_file is None:
        return None
    certificate, key = configuration.tls_cert_file, configuration.tls_private_key_file
    content = flag_files.read("--tls-cert-file", certificate, bytes)
    pair = KeyPair(content, flag_files.read("--tls-private-key-file", key, bytes))
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


def authority_bundle(flag: str, path: Path) -> bytes:
    """Read the CAs of a flag. Raises ConfigurationError."""
    bundle = flag_files.read(flag, path, bytes)
    if not certificates.holds_certificates(bundle):
        raise ConfigurationError(f"{flag}: {path} holds no PEM certificates")
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
