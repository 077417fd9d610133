"""Static bearer tokens and their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from kcp.api.errors import StatusError
from kcp.auth.authentication.authenticators import BearerTokens
from kcp.auth.authentication.static_tokens import StaticTokens, TokenFileError, read_token_file
from kcp.auth.users import ALL_AUTHENTICATED, authenticated


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tokens.csv"
    path.write_text(text)
    return path


def test_a_line_gives_token_user_uid_and_groups(tmp_path: Path) -> None:
    path = write(tmp_path, 't1,jane,u1,"devs, ops"\n\n# a remark, ignored\nt2,joe,u2\n')
    tokens = dict(read_token_file(path))
    assert tokens["t1"].groups == ("devs", "ops", ALL_AUTHENTICATED)
    assert (tokens["t1"].name, tokens["t1"].uid) == ("jane", "u1")
    assert tokens["t2"].groups == (ALL_AUTHENTICATED,)
    assert len(tokens) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [("t1,jane\n", "line 1"), ("t1,jane,u\n,joe,u\n", "line 2: the token"), ("t,,u\n", "may not be empty")],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TokenFileError, match=words):
        read_token_file(write(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(b"\xff\xfe,a,b\n")
    with pytest.raises(TokenFileError, match="not a CSV file"):
        read_token_file(path)


JANE = authenticated("jane")


def test_a_known_token_is_its_user_whatever_the_case_of_the_scheme() -> None:
    bearer = BearerTokens([StaticTokens([("secret", JANE)])])
    assert bearer.user(b"Bearer secret") is JANE
    assert bearer.user(b"bearer  secret ") is JANE


def test_an_unknown_token_is_401_and_another_scheme_is_no_user() -> None:
    bearer = BearerTokens([StaticTokens([("secret", JANE)])])
    with pytest.raises(StatusError) as refusal:
        bearer.user(b"Bearer wrong")
    assert (refusal.value.code, refusal.value.reason) == (401, "Unauthorized")
    assert bearer.user(b"Basic amFuZTpzZWNyZXQ=") is None
    assert bearer.user(b"Bearer ") is None


def test_tokens_are_not_kept_in_the_clear() -> None:
    tokens = StaticTokens([("secret-word", JANE)])
    assert "secret-word" not in repr(vars(tokens))
