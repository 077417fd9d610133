"""Client certificates: the name, groups and UID of their subject, and the certificate's own ID."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from kcp.api.errors import StatusError
from kcp.auth.authentication.client_certificates import ClientCertificates
from kcp.auth.certificates import new_authority
from kcp.auth.users import ALL_AUTHENTICATED, User
from tests.auth.issuing import issued

AUTHORITY = new_authority("clients")
UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
Attribute = x509.NameAttribute[Any]


def common_name(text: str) -> Attribute:
    return x509.NameAttribute(NameOID.COMMON_NAME, text)


def uid(text: str) -> Attribute:
    return x509.NameAttribute(UID, text)


def user_of(*subject: Attribute) -> User | None:
    pair = issued(AUTHORITY, subject)
    return ClientCertificates([AUTHORITY.certificate]).user([pair.certificate.decode()])


def test_the_subject_names_the_user_its_groups_and_its_uid() -> None:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in ("devs", "ops")]
    user = user_of(common_name("jane"), *organizations, uid("0a1b"))
    assert user is not None
    assert (user.name, user.uid, user.groups) == ("jane", "0a1b", ("devs", "ops", ALL_AUTHENTICATED))


def test_the_fingerprint_is_the_id_of_the_credential() -> None:
    pair = issued(AUTHORITY, [common_name("jane")])
    user = ClientCertificates([AUTHORITY.certificate]).user([pair.certificate.decode()])
    assert user is not None
    assert user.uid == ""
    fingerprint = x509.load_pem_x509_certificate(pair.certificate).fingerprint(hashes.SHA256()).hex()
    assert user.extra == {"authentication.kubernetes.io/credential-id": (f"X509SHA256={fingerprint}",)}


def test_the_last_of_several_names_counts() -> None:
    user = user_of(common_name("joe"), common_name("jane"))
    assert user is not None
    assert user.name == "jane"


def test_a_certificate_without_a_name_says_nothing() -> None:
    assert user_of(x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"), uid("1")) is None


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ([uid("1"), uid("2")], "expected 1 UID, but found 2"),
        ([uid("1"), uid("1")], "expected 1 UID, but found 2"),
    ],
)
def test_a_uid_that_is_not_clear_is_refused(
    attributes: list[Attribute], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StatusError) as refusal:
        user_of(common_name("jane"), *attributes)
    assert refusal.value.code == 401
    assert why in caplog.text
