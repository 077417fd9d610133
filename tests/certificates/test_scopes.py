"""Certificates that name logical clusters, of whatever authority: they are valid in these only, and never a master's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kcp.api.errors import StatusError
from kcp.auth import certificates
from kcp.auth.authentication.client_certificates import ClientCertificates
from kcp.auth.authentication.front_proxy import FrontProxy, FrontProxyOptions
from kcp.auth.users import CLUSTER_NAME
from kcp.logical_clusters import DEFAULT, UNNAMED, WILDCARD, LogicalClusterName

AUTHORITY = certificates.new_authority("ours")


@dataclass
class Request:
    """The credentials of a request to the default logical cluster."""

    raw_headers: Sequence[tuple[bytes, bytes]]
    certificate_chain: tuple[str, ...]
    cluster: LogicalClusterName = DEFAULT
    path: str = "/"
    headers: dict[bytes, bytes] = field(default_factory=dict)


def issued(uris: Iterable[str], groups: Iterable[str] = ("devs",)) -> str:
    """A certificate of the user joe with URIs among its alternative names."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = serialization.load_pem_private_key(AUTHORITY.key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, "joe")]))
        .issuer_name(x509.load_pem_x509_certificate(AUTHORITY.certificate).subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names := [x509.UniformResourceIdentifier(uri) for uri in uris]:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def accepted(certificate: str, cluster: str) -> bool:
    known = ClientCertificates([AUTHORITY.certificate])
    try:
        user = known.user((certificate,), LogicalClusterName(cluster))
    except StatusError as error:
        if error.code != 401:
            raise
        return False
    assert user is not None
    assert user.name == "joe"
    return True


@pytest.mark.parametrize(
    ("uris", "valid_in"),
    [
        ([], {"one", "two", WILDCARD, UNNAMED}),
        (["spiffe://example.com/joe"], {"one", "two", WILDCARD, UNNAMED}),
        (["kcp:logical-cluster:one"], {"one"}),
        (["kcp:logical-cluster:one", "kcp:logical-cluster:two"], {"one", "two"}),
        (["kcp:logical-cluster:"], {UNNAMED}),
        (["kcp:logical-cluster:One"], set()),
    ],
)
def test_a_certificate_is_valid_in_the_logical_clusters_that_it_names(uris: list[str], valid_in: set[str]) -> None:
    certificate = issued(uris)
    assert {name for name in ("one", "two", WILDCARD, UNNAMED) if accepted(certificate, name)} == valid_in


def test_the_user_of_a_certificate_has_the_logical_clusters_that_it_names() -> None:
    known = ClientCertificates([AUTHORITY.certificate])
    user = known.user((issued(["kcp:logical-cluster:two", "kcp:logical-cluster:one"]),), LogicalClusterName("one"))
    assert user is not None
    assert user.extra[CLUSTER_NAME] == ("one", "two")
    everywhere = known.user((issued([]),), LogicalClusterName("one"))
    assert everywhere is not None
    assert CLUSTER_NAME not in everywhere.extra


def test_a_certificate_of_one_logical_cluster_is_no_master_s(caplog: pytest.LogCaptureFixture) -> None:
    assert not accepted(issued(["kcp:logical-cluster:one"], ["system:masters"]), "one")
    assert "may not have the group system:masters" in caplog.text
    assert accepted(issued([], ["system:masters"]), "one")


def test_a_certificate_of_one_logical_cluster_is_no_front_proxy_s() -> None:
    """A tenant chooses the common name: where the authority of proxies is the server's own, it would be anybody."""
    options = FrontProxyOptions(allowed_names=("joe",), username_headers=("X-Remote-User",))
    proxy = FrontProxy([AUTHORITY.certificate], options)
    headers = ((b"x-remote-user", b"admin"),)
    user = proxy.authenticate(Request(headers, (issued([]),)))
    assert user is not None
    assert user.name == "admin"
    with pytest.raises(StatusError):
        proxy.authenticate(Request(headers, (issued(["kcp:logical-cluster:root"]),)))


def test_the_answer_does_not_depend_on_what_was_asked_before() -> None:
    known, certificate = ClientCertificates([AUTHORITY.certificate]), issued(["kcp:logical-cluster:one"])
    one, two = LogicalClusterName("one"), LogicalClusterName("two")
    for _ in range(2):
        assert known.user((certificate,), one) is not None
        with pytest.raises(StatusError):
            known.user((certificate,), two)
