"""The permissions that hold without any RBAC object, and the messages of refusals."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Decision, PathRule, Rules, forbidden
from kcp.auth.authorization.basic_rules import BasicAuthorizer
from kcp.auth.authorization.union import UnionAuthorizer
from kcp.auth.users import ANONYMOUS, MASTERS, MONITORING, authenticated
from kcp.logical_clusters import DEFAULT, WILDCARD

ADMIN = authenticated("admin", groups=(MASTERS,))
JANE = authenticated("jane")
PROBE = authenticated("prometheus", groups=(MONITORING,))


def allowed(user: Any, attributes: AuthorizationAttributes) -> bool:
    return BasicAuthorizer().decide(user, attributes).allowed


def reading(path: str) -> AuthorizationAttributes:
    return AuthorizationAttributes(DEFAULT, "get", is_resource=False, path=path)


def test_masters_may_do_everything() -> None:
    assert allowed(ADMIN, AuthorizationAttributes(DEFAULT, "delete", resource="namespaces", name="default"))
    assert allowed(ADMIN, AuthorizationAttributes(WILDCARD, "list", resource="secrets"))
    assert allowed(ADMIN, reading("/metrics"))
    assert allowed(ADMIN, AuthorizationAttributes(DEFAULT, "impersonate", resource="users", name="jane"))


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/livez/ping", "/readyz", "/version", "/version/"])
def test_everybody_may_ask_for_health_and_version(path: str) -> None:
    assert allowed(ANONYMOUS, reading(path))
    assert allowed(JANE, reading(path))


@pytest.mark.parametrize("path", ["/api", "/api/v1", "/apis", "/apis/rbac.authorization.k8s.io/v1", "/openapi/v3"])
def test_the_authenticated_may_discover(path: str) -> None:
    assert allowed(JANE, reading(path))
    assert not allowed(ANONYMOUS, reading(path))


@pytest.mark.parametrize("path", ["/", "/metrics", "/apisx", "/versions", "/healthzz", ""])
def test_other_paths_are_forbidden(path: str) -> None:
    assert not allowed(JANE, reading(path))
    assert not allowed(ANONYMOUS, reading(path))


def test_monitoring_may_read_metrics() -> None:
    assert allowed(PROBE, reading("/metrics"))


def test_paths_may_only_be_read() -> None:
    assert not allowed(JANE, AuthorizationAttributes(DEFAULT, "post", is_resource=False, path="/api"))


def test_the_authenticated_may_ask_about_themselves_only() -> None:
    review = AuthorizationAttributes(
        DEFAULT, "create", group="authorization.k8s.io", resource="selfsubjectaccessreviews"
    )
    others = AuthorizationAttributes(DEFAULT, "create", group="authorization.k8s.io", resource="subjectaccessreviews")
    assert allowed(JANE, review)
    assert not allowed(ANONYMOUS, review)
    assert not allowed(JANE, others)
    assert not allowed(
        JANE, AuthorizationAttributes(DEFAULT, "get", resource="configmaps", namespace="default", name="a")
    )


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            AuthorizationAttributes(DEFAULT, "list", version="v1", resource="configmaps", namespace="default"),
            'configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" in the namespace "default"',
        ),
        (
            AuthorizationAttributes(DEFAULT, "get", group="example.com", resource="widgets", name="w"),
            (
                'widgets.example.com "w" is forbidden: User "jane" cannot get resource "widgets" in API group "example.com" '
                "at the cluster scope"
            ),
        ),
        (
            AuthorizationAttributes(
                DEFAULT, "update", resource="namespaces", subresource="finalize", namespace="a", name="a"
            ),
            (
                'namespaces "a" is forbidden: User "jane" cannot update resource "namespaces/finalize" in API group "" '
                'in the namespace "a"'
            ),
        ),
        (reading("/"), 'forbidden: User "jane" cannot get path "/"'),
    ],
)
def test_a_refusal_is_worded_as_kubernetes_words_it(attributes: AuthorizationAttributes, message: str) -> None:
    refusal = forbidden(JANE, attributes)
    assert (refusal.code, refusal.reason, refusal.message) == (403, "Forbidden", message)


def test_a_refusal_contains_the_reason_of_the_authorizer() -> None:
    assert forbidden(JANE, reading("/"), "closed on Sundays").message.endswith('path "/": closed on Sundays')


class Fixed:
    """An authorizer with one fixed decision, and rules for one path."""

    def __init__(self, decision: Decision, path: str = "") -> None:
        self.decision = decision
        self.path = path

    async def decide(self, *_: object) -> Decision:
        return self.decision

    async def rules_for(self, *_: object) -> Rules:
        return Rules((), (PathRule(("get",), (self.path,)),), f"{self.path} may be incomplete")


ALLOW, DENY = Decision(True), Decision(False, "blocked", denied=True)


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ((Decision(False), ALLOW), ALLOW),
        ((DENY, ALLOW), DENY),
        ((ALLOW, DENY), ALLOW),
        (
            (Decision(False, "no role"), Decision(False), Decision(False, "no webhook")),
            Decision(False, "no role; no webhook"),
        ),
    ],
)
async def test_the_first_authorizer_with_an_opinion_decides(
    decisions: tuple[Decision, ...], expected: Decision
) -> None:
    union = UnionAuthorizer([Fixed(decision) for decision in decisions])
    assert await union.decide(JANE, reading("/")) == expected


async def test_the_rules_of_all_authorizers_are_listed() -> None:
    union = UnionAuthorizer([Fixed(ALLOW, "/a"), Fixed(ALLOW, "/b")])
    rules = await union.rules_for(JANE, DEFAULT, "team")
    assert [rule.paths for rule in rules.paths] == [("/a",), ("/b",)]
    assert rules.problem == "/a may be incomplete; /b may be incomplete"
