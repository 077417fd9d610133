"""Generated certificates, and the users that client certificates identify."""

from __future__ import annotations

import datetime as dt

import pytest

from kcp.api.errors import StatusError
from kcp.auth import certificates
from kcp.auth.authentication.client_certificates import ClientCertificates
from kcp.auth.users import ALL_AUTHENTICATED, MASTERS
from tests.auth.issuing import issued_without_key_usage

AUTHORITY = certificates.new_authority("test-ca")
OTHER = certificates.new_authority("other-ca")
ADMIN = certificates.new_client_identity(AUTHORITY, "admin", ("devs", MASTERS))


def test_the_common_name_is_the_user_and_the_organizations_are_the_groups() -> None:
    user = ClientCertificates([AUTHORITY.certificate]).user((ADMIN.certificate.decode(),))
    assert user is not None
    assert (user.name, user.groups) == ("admin", ("devs", MASTERS, ALL_AUTHENTICATED))


def refused(known: ClientCertificates, *chain: str) -> bool:
    with pytest.raises(StatusError) as refusal:
        known.user(chain)
    return refusal.value.code == 401


def test_a_certificate_of_another_authority_is_refused_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    known = ClientCertificates([OTHER.certificate])
    assert refused(known, ADMIN.certificate.decode())
    assert refused(known, ADMIN.certificate.decode())
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("a client certificate was not accepted: 'CN=admin")


def test_a_certificate_without_an_extended_key_usage_may_be_used_by_a_client() -> None:
    user = ClientCertificates([AUTHORITY.certificate]).user(
        (issued_without_key_usage(AUTHORITY, "jane").certificate.decode(),)
    )
    assert user is not None
    assert user.name == "jane"


def test_any_of_several_authorities_may_have_signed() -> None:
    known = ClientCertificates([OTHER.certificate, AUTHORITY.certificate])
    assert known.user((ADMIN.certificate.decode(),)) is not None


def test_a_serving_certificate_is_refused() -> None:
    serving = certificates.new_serving_identity(AUTHORITY, "kcp", ["localhost"])
    leaf = serving.certificate.decode().partition("-----END CERTIFICATE-----\n")
    assert refused(ClientCertificates([AUTHORITY.certificate]), leaf[0] + leaf[1])


def test_a_client_certificate_cannot_sign_other_client_certificates() -> None:
    forged = certificates.new_client_identity(ADMIN, "root", (MASTERS,))
    chain = (forged.certificate.decode(), ADMIN.certificate.decode())
    assert refused(ClientCertificates([AUTHORITY.certificate]), *chain)


def test_an_expired_certificate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "IDENTITY_LIFETIME", dt.timedelta(seconds=-1))
    old = certificates.new_client_identity(AUTHORITY, "admin", (MASTERS,))
    assert refused(ClientCertificates([AUTHORITY.certificate]), old.certificate.decode())


def test_the_user_of_a_certificate_is_cached() -> None:
    known = ClientCertificates([AUTHORITY.certificate])
    chain = (ADMIN.certificate.decode(),)
    assert known.user(chain) is known.user(chain)


def test_a_serving_certificate_names_hosts_and_addresses() -> None:
    serving = certificates.new_serving_identity(AUTHORITY, "kcp", ["localhost", "127.0.0.1", "::1"])
    assert certificates.alternative_names(serving.certificate) == {"localhost", "127.0.0.1", "::1"}
    assert certificates.is_signed_by(serving.certificate, AUTHORITY.certificate)
    assert not certificates.is_signed_by(serving.certificate, OTHER.certificate)


def test_a_key_matches_its_own_certificate_only() -> None:
    assert certificates.key_matches(ADMIN)
    assert not certificates.key_matches(certificates.KeyPair(ADMIN.certificate, AUTHORITY.key))


def test_identities_last_a_year_and_authorities_ten() -> None:
    now = dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=364) < certificates.expiration(ADMIN.certificate) - now < dt.timedelta(days=366)
    assert certificates.expiration(AUTHORITY.certificate) - now > dt.timedelta(days=3600)
