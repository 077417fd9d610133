"""Static bearer tokens and their file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest

from kcp.api.errors import StatusError, unauthorized
from kcp.auth import certificates
from kcp.auth.authentication.anonymous import Anonymous
from kcp.auth.authentication.authenticator import Authenticator, Reviewed, resolved
from kcp.auth.authentication.bearer_tokens import BearerTokens
from kcp.auth.authentication.client_certificates import ClientCertificates
from kcp.auth.authentication.static_tokens import StaticTokens, TokenFileError, parse_token_file
from kcp.auth.authentication.union import UnionAuthenticator
from kcp.auth.users import ALL_AUTHENTICATED, ANONYMOUS, User, authenticated
from kcp.logical_clusters import DEFAULT, LogicalClusterName


def test_a_line_gives_token_user_uid_and_groups() -> None:
    tokens = dict(parse_token_file(b't1,jane,u1,"devs, ops"\n\n# a remark, ignored\nt2,joe,u2\n'))
    assert tokens["t1"].groups == ("devs", "ops", ALL_AUTHENTICATED)
    assert (tokens["t1"].name, tokens["t1"].uid) == ("jane", "u1")
    assert tokens["t2"].groups == (ALL_AUTHENTICATED,)
    assert len(tokens) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [("t1,jane\n", "line 1"), ("t1,jane,u\n,joe,u\n", "line 2: the token"), ("t,,u\n", "may not be empty")],
)
def test_a_bad_line_is_named(text: str, words: str) -> None:
    with pytest.raises(TokenFileError, match=words):
        parse_token_file(text.encode())


def test_a_file_that_is_no_text_is_refused() -> None:
    with pytest.raises(TokenFileError, match="not a CSV file"):
        parse_token_file(b"\xff\xfe,a,b\n")


JANE = authenticated("jane")


TOKENS = BearerTokens([StaticTokens([("secret", JANE)])])


@dataclass
class Request:
    """The credentials of a request."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    certificate_chain: tuple[str, ...] = ()
    cluster: LogicalClusterName = DEFAULT
    path: str = "/"

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        return list(self.headers.items())


async def user_of(authorization: bytes, authenticator: Authenticator = TOKENS) -> User | None:
    request = Request({b"authorization": authorization} if authorization else {})
    return await resolved(authenticator.authenticate(request))


async def test_a_known_token_is_its_user_whatever_the_case_of_the_scheme() -> None:
    assert await user_of(b"Bearer secret") is JANE
    assert await user_of(b"bearer  secret ") is JANE


async def test_an_unknown_token_is_401_and_another_scheme_is_no_user() -> None:
    with pytest.raises(StatusError) as refusal:
        await user_of(b"Bearer wrong")
    assert (refusal.value.code, refusal.value.reason) == (401, "Unauthorized")
    assert await user_of(b"Basic amFuZTpzZWNyZXQ=") is None
    assert await user_of(b"Bearer ") is None
    assert await user_of(b"") is None


def test_tokens_are_not_kept_in_plain_text() -> None:
    tokens = StaticTokens([("secret-word", JANE)])
    assert "secret-word" not in repr(vars(tokens))


OTHERS = BearerTokens([StaticTokens([("other", authenticated("joe"))])])


async def test_a_token_that_one_authenticator_refuses_may_be_accepted_by_the_next() -> None:
    assert await user_of(b"Bearer secret", UnionAuthenticator([OTHERS, TOKENS])) is JANE


async def test_only_a_request_without_a_credential_is_anonymous() -> None:
    union = UnionAuthenticator([TOKENS, OTHERS], Anonymous())
    assert await user_of(b"", union) is ANONYMOUS
    with pytest.raises(StatusError, match="Unauthorized"):
        await user_of(b"Bearer wrong", union)


async def test_a_valid_token_is_accepted_beside_a_certificate_that_does_not_verify() -> None:
    unknown = certificates.new_client_identity(certificates.new_authority("other"), "joe", ())
    known = ClientCertificates([certificates.new_authority("mine").certificate])
    union = UnionAuthenticator([known, TOKENS], Anonymous())
    chain = (unknown.certificate.decode(),)
    assert await resolved(union.authenticate(Request({b"authorization": b"Bearer secret"}, chain))) is JANE
    with pytest.raises(StatusError, match="Unauthorized"):
        await resolved(union.authenticate(Request({}, chain)))


async def test_without_anonymous_requests_a_credential_is_needed() -> None:
    with pytest.raises(StatusError) as refusal:
        await user_of(b"", UnionAuthenticator([TOKENS]))
    assert refusal.value.code == 401


class ForTheRegistry:
    """Accepts one token, which is for the audiences ``registry`` and ``store`` and not for the API server."""

    def authenticate_token(self, token: bytes, cluster: LogicalClusterName) -> User | None:
        return None

    def review_token(self, token: bytes, cluster: LogicalClusterName, audiences: Sequence[str]) -> Reviewed | None:
        if token == b"expired":
            raise unauthorized("the token has expired")
        shared = tuple(name for name in audiences if name in ("registry", "store"))
        return Reviewed(JANE, shared) if token == b"for registry" and cluster == DEFAULT and shared else None


API: Final = ("https://api", "https://old-api")


@pytest.mark.parametrize(
    ("token", "requested", "audiences"),
    [
        (b"secret", (), API),
        (b"secret", ("registry", "https://old-api"), ("https://old-api",)),
        (b"secret", ("registry",), None),
        (b"for registry", ("registry", "other"), ("registry",)),
        (b"for registry", (), None),
        (b"for registry", ("other",), None),
        (b"unknown", (), None),
    ],
)
async def test_audience_confusion(token: bytes, requested: Sequence[str], audiences: Sequence[str] | None) -> None:
    """A review names the requested audiences that a token is for; a token that states none is for the API server."""
    tokens = BearerTokens([ForTheRegistry(), StaticTokens([("secret", JANE)])], API)
    reviewed = await tokens.review_token(token, DEFAULT, requested)
    assert (reviewed and reviewed.audiences) == audiences
    if requested and audiences is None:
        assert await tokens.review_token(token, DEFAULT, ()) == (Reviewed(JANE, API) if token == b"secret" else None)


async def test_a_review_says_why_a_token_is_refused_unless_another_authenticator_accepts_it() -> None:
    tokens = BearerTokens([ForTheRegistry(), StaticTokens([("secret", JANE)])], API)
    with pytest.raises(StatusError, match="the token has expired"):
        await tokens.review_token(b"expired", DEFAULT, ())
    accepting = BearerTokens([ForTheRegistry(), StaticTokens([("expired", JANE)])], API)
    assert await accepting.review_token(b"expired", DEFAULT, ()) == Reviewed(JANE, API)
