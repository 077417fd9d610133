"""Reviews, which are answered and not stored."""

from typing import Any

import pytest

from kcp.api.errors import StatusError
from kcp.auth.users import ALL_AUTHENTICATED, User
from kcp.logical_clusters import DEFAULT
from kcp.registry.contexts import RequestContext
from tests.builtin.conftest import ADMIN, Types

JANE = User("jane", groups=(ALL_AUTHENTICATED,))
ASKED = {"resourceAttributes": {"verb": "get", "resource": "configmaps", "namespace": "team"}}


async def answer(types: Types, plural: str, group: str, spec: dict[str, Any], user: User) -> dict[str, Any]:
    type_ = types(plural, group)
    obj: dict[str, Any] = {"apiVersion": type_.api_version, "kind": type_.kind, "metadata": {}, "spec": spec}
    if type_.namespaced:
        obj["metadata"]["namespace"] = "team"
    answered = await type_.strategy.answer(obj, RequestContext(user, DEFAULT))
    assert answered is not None
    assert type_.schema.validate(answered) == []
    status: dict[str, Any] = answered["status"]
    return status


async def test_a_self_subject_review_returns_the_user(types: Types) -> None:
    status = await answer(types, "selfsubjectreviews", "authentication.k8s.io", {}, ADMIN)
    assert status["userInfo"] == {
        "username": "admin",
        "uid": "42",
        "groups": ["system:masters"],
        "extra": {"scope": ["all"]},
    }


async def test_a_self_subject_access_review_returns_the_decision(types: Types) -> None:
    for user, allowed in ((ADMIN, True), (JANE, False)):
        status = await answer(types, "selfsubjectaccessreviews", "authorization.k8s.io", dict(ASKED), user)
        assert status["allowed"] is allowed


async def test_a_subject_access_review_returns_the_decision_for_a_user_or_group(types: Types) -> None:
    spec = {**ASKED, "user": "jane"}
    assert not (await answer(types, "subjectaccessreviews", "authorization.k8s.io", spec, ADMIN))["allowed"]
    spec = {**ASKED, "groups": ["system:masters"]}
    assert (await answer(types, "subjectaccessreviews", "authorization.k8s.io", spec, JANE))["allowed"]


@pytest.mark.parametrize(
    ("plural", "spec", "error"),
    [
        (
            "selfsubjectaccessreviews",
            {},
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        ("subjectaccessreviews", ASKED, "at least one of user or group must be specified"),
        (
            "localsubjectaccessreviews",
            {"user": "jane", "resourceAttributes": {"namespace": "other"}},
            'spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace',
        ),
        (
            "localsubjectaccessreviews",
            {"user": "jane", "nonResourceAttributes": {"path": "/"}},
            "disallowed on this kind of request",
        ),
    ],
)
async def test_incomplete_reviews_are_refused(types: Types, plural: str, spec: dict[str, Any], error: str) -> None:
    with pytest.raises(StatusError) as refusal:
        await answer(types, plural, "authorization.k8s.io", spec, ADMIN)
    assert refusal.value.code == 422
    assert error in refusal.value.message


async def test_an_unknown_token_is_not_authenticated(types: Types) -> None:
    status = await answer(types, "tokenreviews", "authentication.k8s.io", {"token": "x"}, ADMIN)
    assert not status.get("authenticated")
    assert status["error"]
    with pytest.raises(StatusError, match="token is required"):
        await answer(types, "tokenreviews", "authentication.k8s.io", {}, ADMIN)


async def test_a_self_subject_rules_review_lists_what_the_authorizer_lists(types: Types) -> None:
    status = await answer(types, "selfsubjectrulesreviews", "authorization.k8s.io", {"namespace": "team"}, ADMIN)
    assert status == {
        "resourceRules": [
            {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"]},
        ],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}],
        "incomplete": True,
        "evaluationError": "more",
    }
    with pytest.raises(StatusError, match="no namespace"):
        await answer(types, "selfsubjectrulesreviews", "authorization.k8s.io", {}, ADMIN)
