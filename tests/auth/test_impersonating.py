"""The ``Impersonate-*`` headers: applied for authorized users, refused for all others, never ignored."""

from __future__ import annotations

import pytest

from kcp.api.errors import StatusError
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Decision, ResourceRule, Rules
from kcp.auth.authorization.impersonation import impersonated
from kcp.auth.users import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, MASTERS, User, authenticated
from kcp.logical_clusters import DEFAULT, LogicalClusterName

ADMIN = authenticated("admin", groups=(MASTERS,))
JANE = authenticated("jane")
USER = (b"impersonate-user", b"joe")


LIST_PODS = AuthorizationAttributes(DEFAULT, "list", version="v1", resource="pods", namespace="default")


class MastersOnly:
    """An authorizer that allows everything to administrators, and nothing to others."""

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision:
        return Decision(MASTERS in user.groups)

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:
        return Rules((), ())


async def act(*headers: tuple[bytes, bytes], user: User = ADMIN) -> User:
    return await impersonated([(b"accept", b"*/*"), *headers], user, LIST_PODS, MastersOnly())


async def refused(*headers: tuple[bytes, bytes], user: User = ADMIN) -> StatusError:
    with pytest.raises(StatusError) as refusal:
        await act(*headers, user=user)
    return refusal.value


async def test_masters_may_impersonate_any_user() -> None:
    joe = await act(
        USER,
        (b"impersonate-uid", b"u1"),
        (b"impersonate-group", b"devs"),
        (b"impersonate-group", b"ops"),
        (b"impersonate-extra-acme.com%2fscopes", b"view"),
        (b"impersonate-extra-acme.com%2Fscopes", b"edit"),
    )
    assert (joe.name, joe.uid, joe.groups) == ("joe", "u1", ("devs", "ops", ALL_AUTHENTICATED))
    assert dict(joe.extra) == {"acme.com/scopes": ("view", "edit")}


async def test_other_users_may_not_impersonate() -> None:
    refusal = await refused(USER, user=JANE)
    assert refusal.code == 403
    assert (
        refusal.message
        == 'pods is forbidden: User "jane" cannot impersonate-on:user-info:list resource "pods" in API group "" '
        'in the namespace "default"'
    )


async def test_the_impersonator_s_groups_are_not_inherited() -> None:
    assert MASTERS not in (await act(USER)).groups


async def test_a_service_account_gets_its_groups() -> None:
    account = await act((b"impersonate-user", b"system:serviceaccount:team:robot"))
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:team", ALL_AUTHENTICATED)


async def test_anonymous_stays_unauthenticated() -> None:
    assert (await act((b"impersonate-user", b"system:anonymous"))).groups == (ALL_UNAUTHENTICATED,)


@pytest.mark.parametrize(
    "header", [(b"impersonate-group", b"devs"), (b"impersonate-uid", b"1"), (b"impersonate-extra-a", b"b")]
)
async def test_parts_without_a_user_are_refused(header: tuple[bytes, bytes]) -> None:
    found = await refused(header)
    assert (found.code, found.reason) == (400, "BadRequest")


async def test_an_unknown_header_of_the_family_is_refused() -> None:
    assert (await refused(USER, (b"impersonate-role", b"x"))).code == 400


async def test_reserved_extra_keys_cannot_be_impersonated() -> None:
    assert (await refused(USER, (b"impersonate-extra-authentication.kcp.io%2fscopes", b"cluster:x"))).code == 403
    assert (await refused(USER, (b"impersonate-extra-kcp.io", b"x"))).code == 403


class AllButReading:
    """An authorizer that lets everybody impersonate, as an overly broad rule would."""

    async def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision:
        return Decision(attributes.verb == "impersonate")

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:
        return Rules((ResourceRule(("impersonate",), ("*",), ("*",)),), ())


async def test_only_masters_may_impersonate_masters() -> None:
    with pytest.raises(StatusError) as refusal:
        await impersonated([USER, (b"impersonate-group", MASTERS.encode())], JANE, LIST_PODS, AllButReading())
    assert refusal.value.code == 403
    assert refusal.value.message == (
        'groups "system:masters" is forbidden: User "jane" cannot impersonate resource "groups" in API group "" '
        "at the cluster scope: impersonating the system:masters group is not allowed"
    )
