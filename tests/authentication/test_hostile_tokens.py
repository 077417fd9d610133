"""Tokens that an attacker makes: every one is a 401, and none ends a request with another error or costs a lookup too many."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api.errors import StatusError
from kcp.auth import json_web_tokens
from kcp.auth.authentication.authenticator import TokenAuthenticator, resolved
from kcp.auth.authentication.bearer_tokens import BearerTokens
from kcp.auth.authentication.oidc import claims, configuration
from kcp.auth.authentication.oidc.claims import ClaimsError
from kcp.auth.authentication.oidc.configuration import JWTAuthenticator
from kcp.auth.authentication.oidc.tokens import OIDCTokens
from kcp.auth.authentication.static_tokens import StaticTokens
from kcp.auth.authentication.union import UnionAuthenticator
from kcp.auth.json_web_tokens import InvalidTokenError
from kcp.auth.users import User
from kcp.outbound.owner import Outbound
from tests.auth.test_tokens import Request
from tests.support.oidc_issuer import AUDIENCE, Issuer, configuration_file
from tests.support.running_server import RunningServer

ISSUER = "https://issuer.example"
CONFIGURATION = configuration.read(
    json.dumps(
        configuration_file(
            {
                "issuer": {"url": ISSUER, "audiences": [AUDIENCE]},
                "claimMappings": {
                    "username": {"expression": "claims.sub + string(claims.n)"},
                    "groups": {"claim": "groups", "prefix": "g:"},
                    "uid": {"expression": "claims.uid"},
                    "extra": [{"key": "a.org/x", "valueExpression": "claims.x"}],
                },
                "claimValidationRules": [{"claim": "hd", "requiredValue": "x"}, {"expression": "claims.n > 1"}],
                "userValidationRules": [{"expression": "user.groups.all(g, g.startsWith('g:'))"}],
            }
        )
    ).encode()
)
(AUTHENTICATOR,) = CONFIGURATION.authenticators

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
claim_sets = st.fixed_dictionaries(
    {},
    optional={
        "iss": st.just(ISSUER) | values,
        "aud": st.just(AUDIENCE) | st.just([AUDIENCE]) | values,
        "exp": st.just(10**11) | values | st.integers(min_value=10**400, max_value=10**401),
        "nbf": values,
        "sub": st.just("jane") | values,
        "groups": st.just(["a"]) | values,
        "uid": st.just("u") | values,
        "x": st.just("x") | values,
        "hd": st.just("x") | values,
        "n": st.just(2) | values,
        "jti": values,
    },
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from([*json_web_tokens.ALGORITHMS, "none", "None", "HS256", "EdDSA", ""]) | values,
        "kid": st.just("first") | values,
        "typ": values,
        "crit": values,
        "b64": values,
        "jwk": values,
        "x5c": values,
        "zip": values,
    },
)


def part(value: Any) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


forged = st.builds(
    lambda header, payload, signature: b".".join((part(header), part(payload), signature)),
    headers,
    claim_sets,
    st.binary(max_size=80).map(lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=")) | st.binary(max_size=20),
)
texts = st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | st.just(b"." * 2) | st.just(b"e30.e30.")


KEY = ec.generate_private_key(ec.SECP256R1()).public_key()


class Verifying:
    """Authenticators with an issuer whose keys are there, in an event loop of their own."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._union = runner.run(self._made())

    async def _made(self) -> UnionAuthenticator:
        self.outbound = Outbound()
        oidc = OIDCTokens(self.outbound, CONFIGURATION)
        for keys in oidc._keys.values():
            keys._keys = [json_web_tokens.PublicKey("first", frozenset({"ES256"}), KEY)]
            keys._fresh_until = keys._fetched = float("inf")
        tokens: list[TokenAuthenticator] = [StaticTokens([("known", User("known"))]), oidc]
        return UnionAuthenticator([BearerTokens(tokens)])

    def found(self, token: bytes) -> User | int:
        """The user of a token, or the status of the refusal."""
        try:
            user = self._runner.run(resolved(self._union.authenticate(Request({b"authorization": b"Bearer " + token}))))
        except StatusError as error:
            return error.code
        assert user is not None
        return user


@pytest.fixture(scope="module")
def verifying() -> Iterator[Verifying]:
    with asyncio.Runner() as runner:
        made = Verifying(runner)
        yield made
        runner.run(made.outbound.close())


@given(forged | texts)
@settings(max_examples=200)
def test_a_forged_token_is_401(verifying: Verifying, token: bytes) -> None:
    if token.strip() not in (b"known", b""):
        assert verifying.found(token) == 401


@given(claim_sets)
@settings(max_examples=200)
def test_any_claims_that_an_issuer_signs_are_a_user_or_a_refusal(payload: dict[str, Any]) -> None:
    decoded = json_web_tokens.parse(b".".join((part({"alg": "ES256"}), part(payload), b"")))
    if decoded is None:
        return

    def user() -> User | None:
        try:
            claims.check_standard_claims(AUTHENTICATOR, decoded.claims, 0.0)
            return claims.user_of(AUTHENTICATOR, decoded.claims)
        except ClaimsError:
            return None

    found = user()
    assert found is None or (found.name.startswith("jane") or found.name)


@given(st.binary(max_size=300), headers)
def test_any_signature_is_verified_or_refused(signature: bytes, header: dict[str, Any]) -> None:
    token = json_web_tokens.parse(b".".join((part(header), part({}), base64.urlsafe_b64encode(signature))))
    if token is None:
        return
    key = json_web_tokens.PublicKey("first", frozenset({"ES256"}), KEY)
    with pytest.raises(InvalidTokenError):
        json_web_tokens.verify(token, [key])


@given(values | st.fixed_dictionaries({"keys": values | st.lists(values | st.fixed_dictionaries(
    {"kty": st.sampled_from(["RSA", "EC", "oct", "OKP"])},
    optional=dict.fromkeys(("n", "e", "d", "crv", "x", "y", "alg", "use", "kid"), values),
))}))  # fmt: skip
@settings(max_examples=100)
def test_any_key_set_is_read_or_refused(document: Any) -> None:
    try:
        keys = json_web_tokens.read_key_set(document)
    except ValueError:
        return
    assert isinstance(keys, list)


def test_a_token_that_is_too_long_is_not_looked_at() -> None:
    assert json_web_tokens.parse(b"e30." + b"e30" * 100_000 + b".x") is None


def test_an_expected_audience_as_a_substring_does_not_count() -> None:
    authenticator: JWTAuthenticator = AUTHENTICATOR
    with pytest.raises(ClaimsError, match="another audience"):
        claims.check_standard_claims(authenticator, {"aud": f"x{AUDIENCE}", "exp": 10**11}, 0.0)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Issuer]]:
    from kcp.server.process.authentication_options import AuthenticationOptions

    folder: Path = tmp_path_factory.mktemp("hostile")
    issuer = Issuer(folder / "issuer")
    with issuer.server:
        file = folder / "authentication.yaml"
        file.write_text(json.dumps(configuration_file(issuer.configuration())))
        with RunningServer(folder / "server", authentication=AuthenticationOptions(config_file=file)) as server:
            yield server, issuer


FORGERIES = (
    lambda token: token[:-1],
    lambda token: token + "A",
    lambda token: token + ".x",
    lambda token: token.replace(".", "..", 1),
    lambda token: token.rpartition(".")[0] + ".",
    lambda token: token.swapcase(),
    lambda token: token + "=",
    lambda token: token.split(".")[1],
    lambda token: "." + token,
    lambda _: "a" * 60_000,
    lambda _: "a." * 20_000,
    lambda token: token[:20] + "\u00ff" + token[21:],
)


@pytest.mark.parametrize("number", range(len(FORGERIES)))
def test_a_running_server_answers_a_changed_token_with_401(running: tuple[RunningServer, Issuer], number: int) -> None:
    server, issuer = running
    genuine = issuer.token()
    assert server.get("/api", token=genuine).status == 200
    answer = server.get("/api", token=FORGERIES[number](genuine))
    assert (answer.status, answer.json["reason"]) == (401, "Unauthorized")
