"""Kubernetes' modes of impersonation: which permissions each needs, and what it never allows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcp.api.errors import StatusError
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import ALLOWED, NO_OPINION, Decision, Rules
from kcp.auth.authorization.impersonation import impersonated
from kcp.auth.users import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, MASTERS, User, authenticated
from kcp.logical_clusters import DEFAULT, LogicalClusterName

JANE = authenticated("jane")
AGENT = User(
    "system:serviceaccount:kube-system:agent",
    groups=(ALL_AUTHENTICATED,),
    extra={"authentication.kubernetes.io/node-name": ("node-1",), "example.org/pod": ("p",)},
)
LIST_PODS = AuthorizationAttributes(DEFAULT, "list", version="v1", resource="pods", namespace="default")
ACCOUNT, NODE = "system:serviceaccount:team:robot", "system:node:node-1"


def shown(attributes: AuthorizationAttributes) -> str:
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    where = f"{attributes.namespace}/" if attributes.namespace else ""
    return f"{attributes.verb} {attributes.group}:{resource} {where}{attributes.name}"


@dataclass
class Allowing:
    """An authorizer that allows what is listed, and records what it is asked. ``*`` allows everything."""

    allowed: set[str]
    asked: list[str] = field(default_factory=list)
    users: list[User] = field(default_factory=list)

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision:
        self.asked.append(shown(attributes))
        self.users.append(user)
        assert attributes.cluster == DEFAULT
        return ALLOWED if self.allowed & {"*", shown(attributes)} else NO_OPINION

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:
        raise AssertionError


def headers_of(name: str, *groups: str, uid: str = "", **extra: str) -> list[tuple[bytes, bytes]]:
    found = [(b"impersonate-user", name.encode())]
    found += [(b"impersonate-group", group.encode()) for group in groups]
    if uid:
        found.append((b"impersonate-uid", uid.encode()))
    return found + [(b"impersonate-extra-" + key.encode(), value.encode()) for key, value in extra.items()]


AUTHENTICATION = "authentication.k8s.io"
ON = "impersonate-on:{}:list :pods default/"


@pytest.mark.parametrize(
    ("user", "headers", "allowed", "groups"),
    [
        (JANE, headers_of("joe"), {"impersonate :users joe"}, (ALL_AUTHENTICATED,)),
        (
            JANE,
            headers_of("joe", "devs", uid="u1"),
            {"impersonate :users joe", "impersonate :groups devs", f"impersonate {AUTHENTICATION}:uids u1"},
            ("devs", ALL_AUTHENTICATED),
        ),
        (
            JANE,
            headers_of("joe", "devs"),
            {
                ON.format("user-info"),
                f"impersonate:user-info {AUTHENTICATION}:users joe",
                f"impersonate:user-info {AUTHENTICATION}:groups devs",
            },
            ("devs", ALL_AUTHENTICATED),
        ),
        (
            JANE,
            headers_of("joe", "a", "b", "c", "d"),
            {
                ON.format("user-info"),
                f"impersonate:user-info {AUTHENTICATION}:users joe",
                f"impersonate:user-info {AUTHENTICATION}:groups *",
            },
            ("a", "b", "c", "d", ALL_AUTHENTICATED),
        ),
        (
            JANE,
            headers_of(ACCOUNT),
            {"impersonate :serviceaccounts team/robot"},
            ("system:serviceaccounts", "system:serviceaccounts:team", ALL_AUTHENTICATED),
        ),
        (
            JANE,
            headers_of(ACCOUNT),
            {ON.format("serviceaccount"), f"impersonate:serviceaccount {AUTHENTICATION}:serviceaccounts team/robot"},
            ("system:serviceaccounts", "system:serviceaccounts:team", ALL_AUTHENTICATED),
        ),
        (
            JANE,
            headers_of(NODE),
            {ON.format("arbitrary-node"), f"impersonate:arbitrary-node {AUTHENTICATION}:nodes node-1"},
            ("system:nodes", ALL_AUTHENTICATED),
        ),
        (
            AGENT,
            headers_of(NODE),
            {ON.format("associated-node"), f"impersonate:associated-node {AUTHENTICATION}:nodes *"},
            ("system:nodes", ALL_AUTHENTICATED),
        ),
        (JANE, headers_of(NODE), {f"impersonate :users {NODE}"}, (ALL_AUTHENTICATED,)),
        (JANE, headers_of("system:anonymous"), {"*"}, (ALL_UNAUTHENTICATED,)),
        (JANE, headers_of("joe", ALL_UNAUTHENTICATED), {"*"}, (ALL_UNAUTHENTICATED,)),
        (
            JANE,
            headers_of("system:anonymous", ALL_AUTHENTICATED),
            {"*"},
            (ALL_AUTHENTICATED, ALL_UNAUTHENTICATED),
        ),
        (
            JANE,
            headers_of("system:serviceaccount:Bad:x"),
            {"impersonate :users system:serviceaccount:Bad:x"},
            (ALL_AUTHENTICATED,),
        ),
    ],
)
async def test_each_mode_needs_its_own_permissions(
    user: User, headers: list[tuple[bytes, bytes]], allowed: set[str], groups: tuple[str, ...]
) -> None:
    found = await impersonated(headers, user, LIST_PODS, Allowing(allowed))
    assert found.groups == groups
    for missing in allowed - {"*"}:
        with pytest.raises(StatusError) as refusal:
            await impersonated(headers, user, LIST_PODS, Allowing(allowed - {missing}))
        assert (refusal.value.code, refusal.value.reason) == (403, "Forbidden")


async def test_an_agent_is_asked_about_without_its_pod() -> None:
    """All Pods of an agent have the same permissions on their nodes: the rest of its extra attributes does not count."""
    authorizer = Allowing({"*"})
    await impersonated(headers_of(NODE), AGENT, LIST_PODS, authorizer)
    (keys,) = {tuple(user.extra.items()) for user in authorizer.users}
    assert keys == (
        (
            "authentication.kubernetes.io/associated-node-keys",
            ("authentication.kubernetes.io/node-name", "example.org/pod"),
        ),
    )


@pytest.mark.parametrize("name", ["system:node:node-2", "system:node:Bad_"])
async def test_an_agent_is_associated_with_its_own_node_only(name: str) -> None:
    allowed = {ON.format("associated-node"), f"impersonate:associated-node {AUTHENTICATION}:nodes *"}
    with pytest.raises(StatusError):
        await impersonated(headers_of(name), AGENT, LIST_PODS, Allowing(allowed))


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (headers_of("joe", ""), "impersonating the empty string group is not allowed"),
        (headers_of("joe", scopes="a"), "impersonating an invalid key in extra is not allowed"),
        (headers_of("joe", **{"a.org%2fx": ""}), "impersonating the empty string value in extra is not allowed"),
    ],
)
async def test_constrained_modes_refuse_malformed_parts(headers: list[tuple[bytes, bytes]], why: str) -> None:
    allowed = {ON.format("user-info"), f"impersonate:user-info {AUTHENTICATION}:users joe"}
    with pytest.raises(StatusError) as refusal:
        await impersonated(headers, JANE, LIST_PODS, Allowing(allowed))
    assert why in refusal.value.message


async def test_the_first_refusal_is_the_answer() -> None:
    with pytest.raises(StatusError) as refusal:
        await impersonated(headers_of(ACCOUNT), JANE, LIST_PODS, Allowing(set()))
    assert refusal.value.message == (
        'pods is forbidden: User "jane" cannot impersonate-on:serviceaccount:list resource "pods" in API group "" '
        'in the namespace "default"'
    )


async def test_the_first_of_repeated_headers_counts() -> None:
    headers = [*headers_of("joe", uid="1"), *headers_of("admin", uid="2")]
    found = await impersonated(headers, JANE, LIST_PODS, Allowing({"*"}))
    assert (found.name, found.uid) == ("joe", "1")


async def test_class_19_no_permission_of_a_logical_cluster_makes_a_master() -> None:
    with pytest.raises(StatusError) as refusal:
        await impersonated(headers_of("joe", "devs", MASTERS), JANE, LIST_PODS, Allowing({"*"}))
    assert refusal.value.code == 403
    master = authenticated("admin", groups=(MASTERS,))
    assert MASTERS in (await impersonated(headers_of("joe", MASTERS), master, LIST_PODS, Allowing({"*"}))).groups


@pytest.mark.parametrize("key", ["kcp.io", "authentication.kcp.io%2fcluster-name", "a.b.kcp.io%2fx", "%4bCP.io%2fx"])
async def test_class_19_extra_attributes_of_the_server_cannot_be_impersonated(key: str) -> None:
    for user in (JANE, authenticated("admin", groups=(MASTERS,))):
        with pytest.raises(StatusError) as refusal:
            await impersonated(headers_of("joe", **{key: "x"}), user, LIST_PODS, Allowing({"*"}))
        assert refusal.value.code == 403


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    b"impersonate-user",
                    b"impersonate-group",
                    b"impersonate-uid",
                    b"impersonate-extra-%2F%ff",
                    b"impersonate-x",
                ]
            ),
            st.binary(max_size=12)
            | st.sampled_from([b"system:masters", b"system:serviceaccount:a:b", b"system:node:n"]),
        ),
        min_size=1,
    ),
    st.booleans(),
)
def test_any_headers_are_applied_or_refused(headers: list[tuple[bytes, bytes]], allowed: bool) -> None:
    authorizer = Allowing({"*"} if allowed else set())
    try:
        found = asyncio.run(impersonated(headers, JANE, LIST_PODS, authorizer))
    except StatusError as error:
        refusal = error.code
    else:
        refusal = 0
        assert allowed
        assert MASTERS not in found.groups
    assert refusal in (0, 400, 403)
