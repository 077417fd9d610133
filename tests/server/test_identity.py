"""The server's identity on disk: generated once, kept, and generated again only where it must be."""

from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path

import pytest

from kcp.auth import certificates
from kcp.server.process import identity
from kcp.server.process.configuration import Configuration
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.identity import Identity
from tests.support.running_server import RunningServer


@pytest.fixture
def root(fresh_root: Path) -> Path:
    (fresh_root / "data").mkdir(parents=True)
    return fresh_root


def prepare(root: Path, **choices: object) -> Identity:
    return identity.prepare(Configuration(root_directory=root, **choices))  # type: ignore[arg-type]


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "data").iterdir()}


def test_the_identity_survives_restarts(root: Path) -> None:
    prepare(root)
    before = contents(root)
    prepare(root)
    assert contents(root) == before


def test_the_serving_certificate_is_for_every_name_that_clients_may_use(root: Path) -> None:
    made = prepare(root, bind_address="192.0.2.7", external_hostname="kcp.example.com", tls_sans=("10.1.2.3", "alias"))
    names = certificates.alternative_names(made.serving_certificate.read_bytes())
    assert {
        "localhost",
        "127.0.0.1",
        "::1",
        "kubernetes.default.svc",
        "192.0.2.7",
        "kcp.example.com",
        "10.1.2.3",
        "alias",
    } <= names


def test_a_new_name_makes_a_new_serving_certificate_under_the_same_authority(root: Path) -> None:
    prepare(root)
    before = contents(root)
    made = prepare(root, external_hostname="kcp.example.com")
    after = contents(root)
    assert after["serving.crt"] != before["serving.crt"]
    assert after["ca.crt"] == before["ca.crt"]
    assert after["admin.token"] == before["admin.token"]
    assert certificates.is_signed_by(made.serving_certificate.read_bytes(), after["ca.crt"])
    prepare(root)
    assert contents(root)["serving.crt"] == after["serving.crt"], "fewer names need no new certificate"


def test_certificates_are_renewed_when_two_thirds_of_their_validity_have_passed(root: Path) -> None:
    configuration, today = Configuration(root_directory=root), dt.datetime.now(dt.UTC)
    identity.prepare(configuration)
    before = contents(root)
    identity.renew(configuration, today + dt.timedelta(days=240))
    assert contents(root) == before
    later = today + dt.timedelta(days=244)
    serving, administrator = identity.renew(configuration, later)
    after = contents(root)
    assert after["ca.crt"] == before["ca.crt"]
    assert serving is not None
    for name, pair in (("serving", serving), ("admin", administrator)):
        assert after[f"{name}.crt"] == pair.certificate != before[f"{name}.crt"]
        assert after[f"{name}.key"] == pair.key
        assert certificates.expiration(pair.certificate) == later.replace(microsecond=0) + dt.timedelta(days=365)


def test_a_start_renews_certificates_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "IDENTITY_LIFETIME", dt.timedelta(hours=1))
        prepare(root)
    before = contents(root)
    prepare(root)
    after = contents(root)
    for name in ("serving.crt", "admin.crt"):
        assert after[name] != before[name]


def test_a_missing_authority_is_not_generated_by_a_renewal(root: Path) -> None:
    prepare(root)
    (root / "data" / "ca.key").unlink()
    before = contents(root)
    with pytest.raises(ConfigurationError, match=r"ca\.key is missing, which sign"):
        identity.renew(Configuration(root_directory=root), dt.datetime.now(dt.UTC))
    assert contents(root) == before


def test_a_new_authority_makes_new_certificates(root: Path) -> None:
    prepare(root)
    before = contents(root)
    (root / "data" / "ca.crt").unlink()
    (root / "data" / "ca.key").unlink()
    prepare(root)
    assert contents(root)["serving.crt"] != before["serving.crt"]


def test_given_certificates_are_used_and_trusted(root: Path, tmp_path: Path) -> None:
    authority = certificates.new_authority("mine")
    pair = certificates.new_serving_identity(authority, "kcp", ["localhost"])
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    made = prepare(root, tls_cert_file=certificate, tls_private_key_file=key)
    assert (made.serving_certificate, made.serving_key, made.trust) == (certificate, key, pair.certificate)
    other = certificates.new_authority("other")
    key.write_bytes(other.key)
    with pytest.raises(ConfigurationError, match="is not that of"):
        prepare(root, tls_cert_file=certificate, tls_private_key_file=key)
    key.write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match=r"--tls-private-key-file: .* holds no unencrypted private key"):
        prepare(root, tls_cert_file=certificate, tls_private_key_file=key)
    certificate.write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match=r"--tls-cert-file: .* holds no PEM certificates"):
        prepare(root, tls_cert_file=certificate, tls_private_key_file=key)


def test_a_damaged_file_is_named(root: Path) -> None:
    prepare(root)
    (root / "data" / "ca.key").write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match=r"ca\.key"):
        prepare(root)


@pytest.mark.parametrize(("lost", "left"), [("ca.key", "ca.crt"), ("ca.crt", "ca.key")])
def test_a_ca_with_a_missing_half_is_not_generated_again(root: Path, lost: str, left: str) -> None:
    prepare(root)
    (root / "data" / lost).unlink()
    kept = (root / "data" / left).read_bytes()
    with pytest.raises(ConfigurationError, match=f"{lost} is missing and .*{left} exists: restore it"):
        prepare(root)
    assert (root / "data" / left).read_bytes() == kept


def test_authorities_for_clients_are_one_bundle(root: Path, tmp_path: Path) -> None:
    authority = certificates.new_authority("mine")
    (tmp_path / "clients.crt").write_bytes(authority.certificate.rstrip())
    made = prepare(root, client_ca_file=tmp_path / "clients.crt")
    assert made.client_authorities.read_bytes().count(b"BEGIN CERTIFICATE") == 2
    (tmp_path / "clients.crt").write_bytes(b"nonsense")
    with pytest.raises(ConfigurationError, match="holds no PEM certificates"):
        prepare(root, client_ca_file=tmp_path / "clients.crt")


def test_the_mode_of_a_readable_file_is_restricted_again(root: Path) -> None:
    made = prepare(root)
    identity.write_kubeconfig(made, "127.0.0.1", 6443)
    made.kubeconfig.chmod(0o644)
    identity.write_kubeconfig(made, "127.0.0.1", 6443)
    assert stat.S_IMODE(made.kubeconfig.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("choices", "host"),
    [
        ({}, "127.0.0.1"),
        ({"bind_address": "0.0.0.0"}, "127.0.0.1"),
        ({"bind_address": "::"}, "::1"),
        ({"bind_address": "192.0.2.7"}, "192.0.2.7"),
        ({"bind_address": "0.0.0.0", "external_hostname": "kcp.example.com"}, "kcp.example.com"),
    ],
)
def test_the_kubeconfig_names_a_host_that_clients_can_reach(choices: dict[str, str], host: str) -> None:
    assert identity.reachable_host(Configuration(**choices)) == host  # type: ignore[arg-type]


def test_an_ipv6_address_is_put_in_brackets(root: Path) -> None:
    made = prepare(root)
    identity.write_kubeconfig(made, "::1", 6443)
    assert b"server: https://[::1]:6443\n" in made.kubeconfig.read_bytes()


def test_many_servers_run_in_one_process_and_can_be_started_again(tmp_path: Path) -> None:
    first, second = RunningServer(tmp_path / "a"), RunningServer(tmp_path / "b")
    try:
        assert first.get("/readyz").status == second.get("/readyz").status == 200
        assert first.get("/version", token=second.token).status == 401
    finally:
        first.stop()
        second.stop()
    again = RunningServer(tmp_path / "a")
    try:
        assert again.token == first.token
        assert again.get("/readyz").status == 200
    finally:
        again.stop()


def test_a_server_that_cannot_start_leaves_nothing_behind(tmp_path: Path) -> None:
    running = RunningServer(tmp_path / "a")
    try:
        with pytest.raises(ConfigurationError, match="in use"):
            RunningServer(tmp_path / "a")
        with pytest.raises(ConfigurationError, match="token-auth-file"):
            RunningServer(tmp_path / "b", token_auth_file=tmp_path / "none.csv")
    finally:
        running.stop()
    RunningServer(tmp_path / "b").stop()
