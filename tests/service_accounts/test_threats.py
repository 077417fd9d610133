"""The classes of attacks on tokens, each a test: a forged or misused token is 401, whatever is wrong with it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kcp.auth import json_web_tokens
from kcp.auth.service_accounts.claims import LEGACY_ISSUER
from kcp.auth.service_accounts.keys import base64url, public_pem, read_signing_key
from tests.service_accounts.conftest import Tenant, new_tenant
from tests.service_accounts.signing import encoded, other_key, parts, signed, signed_with_secret
from tests.support.running_server import RunningServer


@pytest.fixture
def token(tenant: Tenant) -> str:
    """A valid token of the account ``bob``."""
    tenant.create("serviceaccounts", "bob")
    return tenant.token("bob")


def server_key(tenant: Tenant) -> Any:
    """The key that the server signs with."""
    composition = tenant.server.process.composition
    assert composition is not None
    accounts = composition.registry.catalog.base.find("", "v1", "serviceaccounts")
    return accounts.strategy.context.issuer.key_ring.signing_key()  # type: ignore[union-attr]


def signed_by_server(tenant: Tenant, claims: dict[str, Any]) -> str:
    """A token with the server's own signature, which an attacker cannot make: its claims alone must refuse it."""
    return signed(claims, server_key(tenant))


def assert_refused(tenant: Tenant, token: str) -> None:
    answer = tenant.who(token)
    assert (answer.status, answer.json["reason"]) == (401, "Unauthorized")
    assert "authenticated" not in tenant.review(token)


def test_cross_logical_cluster(tenant: Tenant, token: str) -> None:
    other = new_tenant(tenant.server)
    other.create("serviceaccounts", "bob")
    assert tenant.who(token).status == 201
    assert_refused(other, token)
    assert "the token is for another logical cluster" in other.review(token)["error"]
    wildcard = tenant.server.get("/clusters/*/api/v1/configmaps", token=token)
    assert wildcard.status == 401
    assert tenant.who(token).status == 201, "being refused elsewhere does not end the token"


def test_a_claim_of_another_logical_cluster_needs_the_servers_signature(tenant: Tenant, token: str) -> None:
    other = new_tenant(tenant.server)
    other.create("serviceaccounts", "bob")
    header, claims, signature = parts(token)
    claims["kubernetes.io"]["clusterName"] = other.name
    assert_refused(other, encoded(header, claims, signature))
    assert_refused(other, signed_by_server(tenant, claims))  # the UID is that of an account elsewhere


def test_audience_confusion(tenant: Tenant, token: str) -> None:
    for_registry = tenant.token("bob", audiences=["registry", "store"])
    answer = tenant.who(for_registry)
    assert answer.status == 401
    assert "authenticated" not in tenant.review(for_registry)
    assert tenant.review(for_registry, "registry", "other")["audiences"] == ["registry"]
    assert "authenticated" not in tenant.review(token, "registry")


def test_algorithm_none(tenant: Tenant, token: str) -> None:
    header, claims, signature = parts(token)
    for name in ("none", "None", "NONE", "nOnE", ""):
        assert_refused(tenant, encoded({**header, "alg": name}, claims))
        assert_refused(tenant, encoded({**header, "alg": name}, claims, signature))
    assert_refused(tenant, encoded(header, claims))


def test_key_confusion(tenant: Tenant, token: str) -> None:
    """The public key is no secret: it must not verify an HMAC, and no key may come from the token."""
    header, claims, _ = parts(token)
    public = public_pem(server_key(tenant))
    for name in ("HS256", "HS384", "HS512"):
        assert_refused(tenant, signed_with_secret({**header, "alg": name}, claims, public))
    mine = other_key()
    web_key = {"kty": "EC", "crv": "P-256", "kid": mine.id, "alg": "ES256"}
    for key_header in (
        {},
        {"kid": header["kid"]},
        {"jwk": web_key},
        {"jku": "https://localhost/keys"},
        {"x5c": ["AAAA"]},
    ):
        forged = signed(claims, mine)
        text = encoded({**parts(forged)[0], **key_header}, claims, forged.rpartition(".")[2])
        assert_refused(tenant, text)


@pytest.mark.parametrize("name", ["RS256", "ES384", "ES512", "EdDSA", "PS256"])
def test_another_algorithm_than_that_of_the_key(tenant: Tenant, token: str, name: str) -> None:
    header, claims, signature = parts(token)
    assert_refused(tenant, encoded({**header, "alg": name}, claims, signature))


def test_an_expired_token(tenant: Tenant, token: str) -> None:
    _, claims, _ = parts(token)
    now = int(time.time())
    assert tenant.who(signed_by_server(tenant, {**claims, "exp": now + 600})).status == 201
    expired = signed_by_server(tenant, {**claims, "exp": now - 61})
    assert_refused(tenant, expired)
    assert tenant.review(expired)["error"] == "[invalid bearer token, service account token has expired]"
    early = signed_by_server(tenant, {**claims, "nbf": now + 600})
    assert_refused(tenant, early)
    assert "not valid yet" in tenant.review(early)["error"]


def test_a_token_whose_claims_do_not_fit_together(tenant: Tenant, token: str) -> None:
    _, claims, _ = parts(token)
    tenant.create("serviceaccounts", "eve")
    private = claims["kubernetes.io"]
    changes: tuple[dict[str, Any], ...] = (
        {"sub": "system:serviceaccount:default:eve"},
        {"iss": "https://elsewhere"},
        {"iss": LEGACY_ISSUER},
        {"kubernetes.io": {**private, "serviceaccount": {"name": "eve", "uid": private["serviceaccount"]["uid"]}}},
        {"kubernetes.io": {**private, "namespace": "kube-system"}},
        {"kubernetes.io": {**private, "clusterName": "*"}},
        {"kubernetes.io": {name: each for name, each in private.items() if name != "clusterName"}},
        {"kubernetes.io": {**private, "secret": {"name": "missing", "uid": "1"}}},
        {"kubernetes.io": {**private, "pod": {"name": "missing", "uid": "1"}}},
        {"kubernetes.io": {**private, "node": {"name": "missing", "uid": "1"}}},
        {"exp": None},
        {"aud": []},
    )
    for change in changes:
        assert_refused(tenant, signed_by_server(tenant, {**claims, **change}))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_malformed_claims_with_a_valid_signature(server: RunningServer, data: st.DataObject) -> None:
    """Whatever a signed claim holds, the answer is 401 or, where it does not matter, the account."""
    tenant = Tenant(server, "malformed")
    if server.get(tenant.path("serviceaccounts", "bob")).status == 404:
        tenant.create("serviceaccounts", "bob")
    _, claims, _ = parts(tenant.token("bob"))
    private = claims["kubernetes.io"]
    name = data.draw(st.sampled_from([*claims, *(f"kubernetes.io/{each}" for each in private)]))
    value = data.draw(_JSON)
    if name.startswith("kubernetes.io/"):
        private[name.removeprefix("kubernetes.io/")] = value
    else:
        claims[name] = value
    assert tenant.who(signed_by_server(tenant, claims)).status in (201, 401)


_HEADER_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=200)


@given(st.binary(max_size=60) | _HEADER_TEXT)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_malformed_tokens(server: RunningServer, text: bytes | str) -> None:
    tenant = Tenant(server, "malformed")
    encoded_text = text if isinstance(text, str) else f"eyJ{base64url(text)}.eyJ{base64url(text)}.{base64url(text)}"
    if encoded_text:
        assert tenant.who(encoded_text).status == 401


@pytest.mark.parametrize(
    "text",
    [
        "eyJ",
        "eyJ..",
        "eyJhbGciOiJFUzI1NiJ9.e30.",
        "eyJhbGciOiJFUzI1NiJ9.bnVsbA.",
        "eyJhbGciOiJFUzI1NiJ9.W10.AA",
        "eyJ" + "a" * 20_000,
        "eyJ" + "." * 20_000,
        "eyJhbGciOiJFUzI1NiJ9." + "W" * 60_000 + ".AA",
        "eyJhbGciOiJFUzI1NiJ9." + base64url(b'{"iss":' + b"[" * 9_000 + b"]" * 9_000 + b"}") + ".AA",
    ],
)
def test_huge_and_broken_tokens(tenant: Tenant, text: str) -> None:
    assert_refused(tenant, text)


def test_a_huge_token_is_refused_before_anything_is_decoded() -> None:
    short = json_web_tokens.parse(b"eyJhbGciOiJFUzI1NiJ9.e30.AA")
    assert short is not None
    assert short.header == {"alg": "ES256"}
    assert json_web_tokens.parse(b"eyJhbGciOiJFUzI1NiJ9.e30." + b"A" * json_web_tokens.MAX_TOKEN) is None


def test_no_answer_and_no_log_shows_a_token(tenant: Tenant, token: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "kcp")
    header, claims, signature = parts(token)
    forged = encoded(header, {**claims, "jti": "forged"}, signature)
    for refused in (forged, token + "x"):
        answer = tenant.who(refused)
        assert answer.status == 401
        assert refused not in answer.body.decode() + caplog.text
        assert refused not in str(tenant.review(refused)["error"])


def test_the_key_of_another_server_signs_nothing_here(tenant: Tenant, token: str) -> None:
    _, claims, _ = parts(token)
    key = server_key(tenant)
    stolen_id = read_signing_key(public_key_of_another())._replace(id=key.id)
    assert_refused(tenant, signed(claims, stolen_id))


def public_key_of_another() -> bytes:
    """A private key in PEM form, made elsewhere."""
    from kcp.auth.service_accounts.keys import generate

    return generate()
