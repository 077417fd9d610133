"""Tokens of a real OpenID Connect issuer: which are accepted, as which user, and how its keys are found and rotated."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kcp.auth import json_web_tokens
from kcp.auth.json_web_tokens import InvalidTokenError
from kcp.auth.users import ALL_AUTHENTICATED, User
from tests.authentication.conftest import Tokens
from tests.support.oidc_issuer import Issuer, rsa_key
from tests.support.waiting import eventually


async def test_a_valid_token_is_its_subject(issuer: Issuer, tokens: Tokens) -> None:
    tokens.configure(issuer.configuration())
    assert await tokens.user(issuer.token()) == User("jane", groups=(ALL_AUTHENTICATED,))


async def test_claims_are_mapped_with_prefixes(issuer: Issuer, tokens: Tokens) -> None:
    mappings = {
        "username": {"claim": "email", "prefix": "mail:"},
        "groups": {"claim": "teams", "prefix": "team:"},
        "uid": {"claim": "oid"},
    }
    tokens.configure(issuer.configuration(claimMappings=mappings))
    user = await tokens.user(issuer.token(email="jane@example.com", teams=["a", "b"], oid="7", jti="id-1"))
    assert user is not None
    assert (user.name, user.uid, user.groups) == ("mail:jane@example.com", "7", ("team:a", "team:b", ALL_AUTHENTICATED))
    assert user.extra == {"authentication.kubernetes.io/credential-id": ("JTI=id-1",)}
    user = await tokens.user(issuer.token(email="jane@example.com", teams="only", oid="7"))
    assert user is not None
    assert user.groups == ("team:only", ALL_AUTHENTICATED)


async def test_claims_are_mapped_by_expressions(issuer: Issuer, tokens: Tokens) -> None:
    mappings = {
        "username": {"expression": "'user-' + claims.sub"},
        "groups": {"expression": "claims.roles.split(',')"},
        "uid": {"expression": "claims.ids.object"},
        "extra": [
            {"key": "example.org/tenant", "valueExpression": "claims.tenant"},
            {"key": "example.org/empty", "valueExpression": "''"},
            {"key": "example.org/absent", "valueExpression": "has(claims.nothing) ? claims.nothing : null"},
        ],
    }
    tokens.configure(issuer.configuration(claimMappings=mappings))
    user = await tokens.user(issuer.token(roles="a,b", ids={"object": "x"}, tenant=["t1", "", "t2"]))
    assert user is not None
    assert (user.name, user.uid, user.groups) == ("user-jane", "x", ("a", "b", ALL_AUTHENTICATED))
    assert user.extra == {"example.org/tenant": ("t1", "t2")}


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": None},
        {"sub": 7},
        {"sub": ["jane"]},
        {"sub": ""},
        {"aud": "other"},
        {"aud": None},
        {"aud": ["other"]},
        {"aud": {"kcp": True}},
        {"exp": None},
        {"exp": 1},
        {"exp": "never"},
        {"exp": True},
        {"nbf": 99999999999},
        {"nbf": "soon"},
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"iss": 5},
    ],
)
async def test_a_token_with_wrong_claims_is_refused(issuer: Issuer, tokens: Tokens, claims: dict[str, Any]) -> None:
    tokens.configure(issuer.configuration())
    if claims.get("iss", "") is not None and not isinstance(claims.get("iss", ""), str):
        payload = issuer.claims(**claims)
        token = unchecked(payload, issuer)
    else:
        token = issuer.token(**claims)
    assert await tokens.user(token) is None


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unchecked(payload: dict[str, Any], issuer: Issuer) -> str:
    """A signed token with claims that PyJWT refuses to sign."""
    return jwt.api_jws.PyJWS().encode(
        json.dumps(payload).encode(), issuer.keys[issuer.signing], algorithm="ES256", headers={"kid": issuer.signing}
    )


async def test_one_of_several_audiences_is_enough(issuer: Issuer, tokens: Tokens) -> None:
    audiences = {"audiences": ["a", "b"], "audienceMatchPolicy": "MatchAny"}
    tokens.configure(issuer.configuration(issuer=audiences))
    assert await tokens.user(issuer.token(aud=["x", "b"])) is not None
    assert await tokens.user(issuer.token(aud="a")) is not None
    assert await tokens.user(issuer.token(aud=["x", "y"])) is None


async def test_rules_on_claims_and_user_must_hold(issuer: Issuer, tokens: Tokens) -> None:
    claim_rules = [
        {"claim": "hd", "requiredValue": "example.com"},
        {"expression": "claims.exp - claims.iat <= 86400", "message": "lives too long"},
    ]
    user_rules = [{"expression": "!user.username.startsWith('system:')", "message": "reserved"}]
    tokens.configure(issuer.configuration(claimValidationRules=claim_rules, userValidationRules=user_rules))
    now = int(time.time())
    assert await tokens.user(issuer.token(hd="example.com", iat=now)) is not None
    assert await tokens.user(issuer.token(hd="example.org", iat=now)) is None
    assert await tokens.user(issuer.token(iat=now)) is None
    assert await tokens.user(issuer.token(hd="example.com", iat=now - 100_000)) is None
    assert await tokens.user(issuer.token(hd="example.com")) is None
    assert await tokens.user(issuer.token(hd="example.com", iat=now, sub="system:admin")) is None


@pytest.mark.parametrize(("verified", "accepted"), [(True, True), (False, False), ("true", False), (None, True)])
async def test_an_email_address_must_be_verified(
    issuer: Issuer, tokens: Tokens, verified: object, accepted: bool
) -> None:
    tokens.configure(issuer.configuration(claimMappings={"username": {"claim": "email", "prefix": ""}}))
    user = await tokens.user(issuer.token(email="jane@example.com", email_verified=verified))
    assert (user is not None) is accepted


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_rsa_signatures_are_verified(issuer: Issuer, tokens: Tokens, algorithm: str) -> None:
    issuer.rotate("rsa", rsa_key())
    tokens.configure(issuer.configuration())
    assert await tokens.user(issuer.token(algorithm=algorithm)) is not None


@pytest.mark.parametrize(
    ("algorithm", "curve"), [("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1()), ("ES512", ec.SECP521R1())]
)
async def test_elliptic_curve_signatures_are_verified(
    issuer: Issuer, tokens: Tokens, algorithm: str, curve: ec.EllipticCurve
) -> None:
    issuer.rotate("ec", ec.generate_private_key(curve))
    tokens.configure(issuer.configuration())
    assert await tokens.user(issuer.token(algorithm=algorithm)) is not None


async def test_forged_signatures_are_refused(issuer: Issuer, tokens: Tokens) -> None:
    """No signature, the public key as an HMAC secret, another key, and changed claims (RFC 8725, section 2)."""
    key = rsa_key()
    issuer.rotate("rsa", key)
    tokens.configure(issuer.configuration())
    genuine = issuer.token(algorithm="RS256")
    head, payload, signature = genuine.split(".")
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    forged = [
        f"{part({'alg': 'none', 'kid': 'rsa'})}.{payload}.",
        f"{part({'alg': 'None'})}.{payload}.{signature}",
        f"{head}.{payload}.",
        f"{head}.{part(issuer.claims(sub='admin'))}.{signature}",
        f"{part({'alg': 'RS256', 'kid': 'rsa', 'crit': ['x'], 'x': 1})}.{payload}.{signature}",
        f"{part({'alg': 'RS512', 'kid': 'rsa'})}.{payload}.{signature}",
        jwt.encode(issuer.claims(), rsa_key(), algorithm="RS256", headers={"kid": "rsa"}),
        jwt.api_jws.PyJWS().encode(
            json.dumps(issuer.claims()).encode(),
            base64.b64encode(public),
            algorithm="HS256",
            headers={"kid": "rsa"},
        ),
        jwt.encode(
            issuer.claims(),
            rsa_key(),
            algorithm="RS256",
            headers={"kid": "rsa", "jku": issuer.server.url("/keys"), "jwk": {"kty": "RSA"}},
        ),
    ]
    for token in forged:
        assert await tokens.user(token) is None
    assert await tokens.user(genuine) is not None


@pytest.mark.parametrize(("algorithm", "named"), [("RS512", "RS512"), ("top-secret", "another algorithm")])
def test_a_refusal_names_the_algorithm_and_those_that_are_accepted(issuer: Issuer, algorithm: str, named: str) -> None:
    _, payload, signature = issuer.token().split(".")
    token = json_web_tokens.parse(f"{part({'alg': algorithm})}.{payload}.{signature}".encode())
    assert token is not None
    with pytest.raises(InvalidTokenError, match=f"^signed with {named}; accepted are RS256, ES256$"):
        json_web_tokens.verify(token, [], ("RS256", "ES256"))


async def test_a_weak_key_is_not_used(issuer: Issuer, tokens: Tokens) -> None:
    tokens.configure(issuer.configuration())
    issuer.rotate("weak", rsa_key(1024))
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        weak = issuer.token(algorithm="RS256")
    assert await tokens.user(weak) is None


async def test_a_rotated_key_is_fetched_when_a_token_names_it(issuer: Issuer, tokens: Tokens) -> None:
    tokens.configure(issuer.configuration())
    old = issuer.token()
    assert await tokens.user(old) is not None
    issuer.rotate("second")
    tokens.clock.now += 10
    assert await tokens.user(issuer.token()) is not None
    assert issuer.fetches == 2
    tokens.clock.now += 10
    assert await tokens.user(old) is None, "its key is no longer published"


async def test_a_key_that_is_replaced_under_its_id_is_fetched(issuer: Issuer, tokens: Tokens) -> None:
    tokens.configure(issuer.configuration())
    assert await tokens.user(issuer.token()) is not None
    issuer.rotate("first")
    tokens.clock.now += 10
    assert await tokens.user(issuer.token(sub="joe")) is not None


async def test_hostile_tokens_do_not_make_the_server_fetch_keys_more_often(issuer: Issuer, tokens: Tokens) -> None:
    tokens.configure(issuer.configuration())
    assert await tokens.user(issuer.token()) is not None
    for number in range(50):
        assert await tokens.user(issuer.token(header={"kid": f"unknown-{number}"})) is None
    assert issuer.fetches == 1
    tokens.clock.now += 10
    unknown = (tokens.user(issuer.token(header={"kid": f"other-{number}"})) for number in range(50))
    assert set(await asyncio.gather(*unknown)) == {None}
    assert issuer.fetches == 2


async def test_an_issuer_that_is_down_is_asked_again_and_keeps_its_keys(
    issuer: Issuer, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    tokens.configure(issuer.configuration())
    assert await tokens.user(issuer.token()) is not None
    issuer.failing = True
    tokens.clock.now += 100
    assert await tokens.user(issuer.token(header={"kid": "unknown"})) is None
    assert await tokens.user(issuer.token(sub="joe")) is not None
    assert f"cannot fetch the signing keys of the OIDC issuer {issuer.url}" in caplog.text
    tokens.clock.now += 2 * 3600
    assert await tokens.user(issuer.token(sub="jim")) is None, "its keys are too old"
    issuer.failing = False
    tokens.clock.now += 10
    assert await tokens.user(issuer.token(sub="jim")) is not None


async def test_keys_are_fetched_in_the_background(issuer: Issuer, tokens: Tokens) -> None:
    tokens.configure(issuer.configuration())
    following = asyncio.create_task(tokens.oidc.follow())
    await eventually(lambda: issuer.fetches == 1, "the keys are fetched before a token comes")
    assert await tokens.user(issuer.token()) is not None
    assert issuer.fetches == 1
    following.cancel()


async def test_the_discovery_url_may_differ_from_the_issuers(issuer: Issuer, tokens: Tokens) -> None:
    tokens.configure(issuer.configuration(issuer={"discoveryURL": issuer.server.url("/discovery")}))
    assert await tokens.user(issuer.token()) is not None
    assert ("GET", "/discovery") in issuer.server.requests


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://elsewhere.example"},
        {"jwks_uri": None},
        {"jwks_uri": "http://localhost/keys"},
        {"jwks_uri": 5},
    ],
)
async def test_a_discovery_document_that_cannot_be_trusted_gives_no_keys(
    issuer: Issuer, tokens: Tokens, discovery: dict[str, Any]
) -> None:
    issuer.discovery = discovery
    tokens.configure(issuer.configuration())
    assert await tokens.user(issuer.token()) is None
    assert issuer.fetches == 0


async def test_two_issuers_do_not_vouch_for_each_other(tmp_path: Path, issuer: Issuer, tokens: Tokens) -> None:
    other = Issuer(tmp_path / "other")
    with other.server:
        tokens.configure(
            issuer.configuration(claimMappings={"username": {"claim": "sub", "prefix": "a:"}}),
            other.configuration(claimMappings={"username": {"claim": "sub", "prefix": "b:"}}),
        )
        first, second = await tokens.user(issuer.token()), await tokens.user(other.token())
        assert first is not None
        assert second is not None
        assert (first.name, second.name) == ("a:jane", "b:jane")
        assert await tokens.user(other.token(iss=issuer.url)) is None


async def test_a_verified_token_is_kept_for_ten_seconds_and_not_beyond_its_end(
    issuer: Issuer, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kcp.auth import json_web_tokens

    verified = 0
    real = json_web_tokens.verify

    def counting(*arguments: Any, **named: Any) -> None:
        nonlocal verified
        verified += 1
        real(*arguments, **named)

    monkeypatch.setattr(json_web_tokens, "verify", counting)
    started = int(time.time())
    tokens.now = lambda: started
    tokens.configure(issuer.configuration())
    token = issuer.token()
    for _ in range(3):
        assert await tokens.user(token) is not None
    assert verified == 1
    tokens.clock.now += 10
    assert await tokens.user(token) is not None
    assert verified == 2
    short = issuer.token(exp=started + 3)
    assert await tokens.user(short) is not None
    tokens.clock.now += 3
    await tokens.user(short)
    assert verified == 4


async def test_a_new_configuration_is_in_force_for_the_next_request(issuer: Issuer, tokens: Tokens) -> None:
    tokens.configure(issuer.configuration())
    token = issuer.token()
    assert await tokens.user(token) is not None
    tokens.configure(issuer.configuration(claimMappings={"username": {"claim": "sub", "prefix": "new:"}}))
    user = await tokens.user(token)
    assert user is not None
    assert user.name == "new:jane"
    assert issuer.fetches == 1, "the keys of an issuer that stays are kept"
    tokens.configure()
    assert await tokens.user(token) is None


async def test_a_refusal_is_logged_without_the_token(
    issuer: Issuer, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    tokens.configure(issuer.configuration())
    token = issuer.token(sub="secret-subject", aud="elsewhere")
    with caplog.at_level(logging.INFO, "kcp.server"):
        assert await tokens.user(token) is None
    assert "the token is for another audience" in caplog.text
    assert "secret-subject" not in caplog.text
    assert not any(piece in caplog.text for piece in token.split("."))


async def test_kept_users_are_bounded(issuer: Issuer, tokens: Tokens) -> None:
    from kcp.auth.authentication.token_cache import TokenCache
    from kcp.auth.result_cache import Outcome

    cache: TokenCache[str] = TokenCache(tokens.clock, size=3)

    async def found() -> Outcome[str]:
        return Outcome("user", 10)

    for number in range(10):
        await cache.compute(cache.key(str(number).encode()), found)
    assert len(cache) == 3
    assert cache.get(cache.key(b"9")) == ("user",)
    tokens.clock.now += 10
    assert cache.get(cache.key(b"9")) is None
