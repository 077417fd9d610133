"""The messages of refusals, authorizers that always answer alike, and several authorizers as one."""

from __future__ import annotations

import pytest

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Decision, PathRule, Rules, forbidden
from kcp.auth.authorization.constant import ALWAYS_ALLOW, ALWAYS_DENY
from kcp.auth.authorization.union import UnionAuthorizer
from kcp.auth.users import authenticated
from kcp.logical_clusters import DEFAULT

JANE = authenticated("jane")


def reading(path: str) -> AuthorizationAttributes:
    return AuthorizationAttributes(DEFAULT, "get", is_resource=False, path=path)


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
        return Rules((), (PathRule(("get",), (self.path,)),), f"{self.path} may be incomplete", incomplete=True)


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
    assert rules.incomplete


async def test_an_authorizer_may_allow_or_refuse_everything() -> None:
    assert ALWAYS_ALLOW.decide(JANE, reading("/")).allowed
    assert (await ALWAYS_ALLOW.rules_for(JANE, DEFAULT, "team")).paths == ((("*",), ("*",)),)
    assert ALWAYS_DENY.decide(JANE, reading("/")) == Decision(False, "Everything is forbidden.")
    assert await ALWAYS_DENY.rules_for(JANE, DEFAULT, "team") == ((), (), "", False)
