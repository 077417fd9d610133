"""Users that a front proxy names in headers, and requests that only pretend to come from one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcp.api.errors import StatusError
from kcp.auth.authentication.front_proxy import FrontProxy, FrontProxyOptions
from kcp.auth.certificates import new_authority, new_client_identity
from kcp.auth.users import ALL_AUTHENTICATED, User
from kcp.logical_clusters import DEFAULT, LogicalClusterName

AUTHORITY, OTHER = new_authority("front proxies"), new_authority("clients")
PROXY = (new_client_identity(AUTHORITY, "proxy", ()).certificate.decode(),)
STRANGE_NAME = (new_client_identity(AUTHORITY, "somebody", ()).certificate.decode(),)
CLIENT = (new_client_identity(OTHER, "proxy", ("system:masters",)).certificate.decode(),)
OPTIONS = FrontProxyOptions(
    allowed_names=("proxy",),
    username_headers=("X-Remote-User", "X-Other-User"),
    uid_headers=("X-Remote-Uid",),
    group_headers=("X-Remote-Group", "X-Other-Group"),
    extra_prefixes=("X-Remote-Extra-", "X-Other-"),
)


@dataclass
class Request:
    """The credentials of a request."""

    raw_headers: Sequence[tuple[bytes, bytes]] = ()
    certificate_chain: tuple[str, ...] = PROXY
    cluster: LogicalClusterName = DEFAULT
    path: str = "/"
    headers: dict[bytes, bytes] = field(default_factory=dict)


def user_of(*headers: tuple[bytes, bytes], chain: tuple[str, ...] = PROXY) -> User | None:
    return FrontProxy([AUTHORITY.certificate], OPTIONS).authenticate(Request(headers, chain))


def test_the_headers_name_the_user() -> None:
    user = user_of(
        (b"x-remote-user", b"jane"),
        (b"x-remote-uid", b"u1"),
        (b"x-remote-group", b"devs"),
        (b"x-other-group", b"third"),
        (b"x-remote-group", b"ops"),
        (b"x-remote-group", b""),
        (b"x-remote-extra-example.org%2fteam", b"a"),
        (b"x-remote-extra-example.org%2fteam", b"b"),
        (b"x-remote-extra-bad%zz", b"c"),
    )
    assert user == User(
        "jane",
        "u1",
        ("devs", "ops", "third", ALL_AUTHENTICATED),
        {"example.org/team": ("a", "b"), "bad%zz": ("c",), "group": ("third",)},
    )


def test_the_first_header_with_a_value_names_the_user() -> None:
    user = user_of((b"x-other-user", b"joe"), (b"x-remote-user", b"jane"), (b"x-remote-user", b"admin"))
    assert user is not None
    assert user.name == "jane"
    user = user_of((b"x-other-user", b"joe"), (b"x-remote-user", b""))
    assert user is not None
    assert user.name == "joe"


def test_a_proxy_without_a_user_says_nothing() -> None:
    assert user_of((b"x-remote-group", b"system:masters")) is None


def test_a_request_without_a_certificate_may_send_the_headers_in_vain() -> None:
    assert user_of((b"x-remote-user", b"admin"), chain=()) is None


@pytest.mark.parametrize("chain", [STRANGE_NAME, CLIENT])
def test_a_certificate_that_is_not_the_proxys_is_refused(chain: tuple[str, ...]) -> None:
    with pytest.raises(StatusError) as refusal:
        user_of((b"x-remote-user", b"admin"), chain=chain)
    assert refusal.value.code == 401


def test_without_allowed_names_every_certificate_of_the_authority_is_a_proxys() -> None:
    proxy = FrontProxy([AUTHORITY.certificate], FrontProxyOptions(username_headers=("X-Remote-User",)))
    user = proxy.authenticate(Request([(b"x-remote-user", b"jane")], STRANGE_NAME))
    assert user is not None
    assert user.name == "jane"


def test_new_authorities_end_the_trust_in_old_ones() -> None:
    proxy = FrontProxy([AUTHORITY.certificate], OPTIONS)
    request = Request([(b"x-remote-user", b"jane")])
    assert proxy.authenticate(request) is not None
    proxy.replace_authorities([OTHER.certificate])
    with pytest.raises(StatusError):
        proxy.authenticate(request)
    assert proxy.authenticate(Request([(b"x-remote-user", b"jane")], CLIENT)) is not None


def test_an_anonymous_user_stays_anonymous() -> None:
    user = user_of((b"x-remote-user", b"system:anonymous"), (b"x-remote-group", b"system:unauthenticated"))
    assert user is not None
    assert user.groups == ("system:unauthenticated",)


def test_headers_that_are_no_text_are_refused() -> None:
    with pytest.raises(StatusError) as refusal:
        user_of((b"x-remote-user", b"\xff"))
    assert refusal.value.code == 401


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"x-remote-user", b"x-remote-group", b"x-remote-extra-%ff", b"x-other-"]), st.binary()
        )
    )
)
def test_any_headers_name_a_user_or_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    def answer() -> User | int | None:
        try:
            return user_of(*headers)
        except StatusError as refusal:
            return refusal.code

    found = answer()
    assert found in (401, None) or (isinstance(found, User) and found.name)
